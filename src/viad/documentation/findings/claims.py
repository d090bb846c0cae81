"""The paper's claims, one function each: what our tables say of it, in words whose numbers are computed.

Each returns the section of docs/findings.md below its heading: a verdict, what it rests on, the numbers, a figure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from viad.artifacts import markdown
from viad.comparison.conditions import AXES, held
from viad.comparison.curves import curves
from viad.comparison.tables import Scores, plain_runs, versus, with_baselines
from viad.documentation.findings.age import first_year
from viad.documentation.findings.evidence import both, count, mean_words, of, shown, verdict
from viad.documentation.findings.exposures import ALL, SOME, exposures_table, unseen_above_seen
from viad.documentation.findings.figures import draw_curves

Tables = Mapping[str, pd.DataFrame]
FOLDER = Path("docs/findings")
NEW = 2023  # from this year on a detector counts as recent; PatchCore appeared in 2021 and was published in 2022


@dataclass(frozen=True)
class Claim:
    """What the paper says, and the section that answers it."""

    name: str
    says: str
    answer: Callable[[Tables, Scores], tuple[str, str]]  # the verdict, and the text below it


def newer(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Newer detectors against older ones; what bad habits would have added."""
    averages = plain_runs(tables["means"])
    averages = averages[~averages["detector"].astype(str).str.endswith(("label)", "labels)"))]
    years = {name: year for name in averages["detector"] if (year := first_year(name)) is not None}
    runs = plain_runs(tables["experiments"])
    recent = [name for name, year in years.items() if year >= NEW]
    pairs = versus(runs, scores, recent, [name for name in years if name not in recent])
    found = count(pairs)
    crop, chosen = of(tables["effects"], axis="crop"), tables["best_on_test"]
    text = (
        f"Each detector published from {NEW} on against each older one, under the plain condition: "
        f"{found.words('are won by the newer', 'by the older')}.\n\n{shown('versus', pairs)}\n"
        f"Over all detectors that were run, whose scores are not all kept:\n\n{_by_year(averages, years)}\n"
        f"{_preset(averages)}\n\n{_habits(crop, chosen)}\n\n"
        "**Cropping the centre** (0.875 of each side, as 224 of 256 pixels):\n\n"
        f"{shown('effects', crop)}\n**Choosing the epochs on the test set**, for each category the best of several "
        f"fixed numbers:\n\n{shown('best_on_test', chosen)}"
    )
    pretended = count(pd.concat([crop[["low", "high"]], chosen[["low", "high"]]]))
    misled = verdict(pretended.above, 0, pretended.total)  # what a habit hides it pretends as well
    return both(verdict(found.below, found.above, found.total), misled), text


def _preset(averages: pd.DataFrame) -> str:
    if not (averages["preset"] == "small").all():
        return f"All ran with the {', '.join(sorted(set(averages['preset'])))} preset."
    return (
        "All ran with the small preset, few epochs on a small backbone; a detector that lives on long training loses "
        "more by that than a memory bank does, so this is evidence about detectors that a CPU can train."
    )


def _by_year(averages: pd.DataFrame, years: Mapping[str, int]) -> str:
    rows = []
    for dataset, group in averages.groupby("dataset.name"):
        group = group.assign(year=group["detector"].map(years)).dropna(subset=["year"])
        if len(group) < 3:
            continue
        trend = spearmanr(group["year"], group["image_auroc"])
        best = [
            part.sort_values("image_auroc").tail(1)
            for part in (group[group["year"] < NEW], group[group["year"] >= NEW])
        ]
        said = [
            "".join(f"{row['detector']} {row['image_auroc']:.3f}" for row in one.to_dict("records")) for one in best
        ]
        rows.append([dataset, len(group), *said, f"{trend.statistic:+.2f} (p = {trend.pvalue:.2f})"])
    head = ["dataset", "detectors", f"best before {NEW}", f"best from {NEW} on", "rank correlation of year and AUROC"]
    return markdown.format_table(head, rows) if rows else "*Too few detectors.*\n"


def _habits(crop: pd.DataFrame, chosen: pd.DataFrame) -> str:
    said = []
    if len(chosen):
        said.append(f"the best epoch on the test set would have added {mean_words(chosen)} to the longest run")
    if len(crop):
        said.append(f"cropping the centre changes AUROC by {mean_words(crop)}")
    return f"What two bad habits do to the numbers: {'; '.join(said)}." if said else "The two bad habits were not run."


def input_size(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What more pixels do to small, large and logical defects."""
    effects = of(tables["effects"], axis="input_size")
    more = effects[pd.to_numeric(effects["value"]) > pd.to_numeric(effects["baseline"])]
    small = count(of(more, defect="small"))
    others = count(more[more["defect"].isin(["large", "logical"])])
    result = both(verdict(small.above, small.below, small.total), verdict(others.below, 0, others.total))
    drawn = [one for one in curves(tables["experiments"], scores, "input_size") if ":" in one["title"]]
    text = (
        f"Going up from 256 px: for small defects, {small.words('gain', 'lose')}; for large and logical ones, "
        f"{others.words('gain', 'lose')}.\n\n{shown('effects', effects)}\n" + _figure("input_size", drawn)
    )
    return result, text


def noise(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What unnoticed anomalies in training do, to one-class and to unsupervised detectors."""
    effects = of(tables["effects"], axis="contamination")
    lost = count(effects)
    under = tables["experiments"]
    under = under[under["condition"].astype(str).str.startswith("contamination")]
    kinds = (set(under[under["training.learning_type"] == kind]["detector"]) for kind in ("one_class", "unsupervised"))
    pairs = versus(under, scores, *kinds)
    above = count(pairs)
    result = both(verdict(lost.below, lost.above, lost.total), verdict(above.above, above.below, above.total))
    text = (
        f"*Sensitive to noise*: {lost.words('gain', 'lose')}; mean changes: {mean_words(effects)}. Of the unsupervised "
        "detectors, made for such data, and the one-class ones under the same noise: "
        f"{above.words('are won by the one-class detector', 'by the unsupervised one')}.\n\n"
        "Runs whose image scores were not kept have no interval here: "
        "[models.md](models.md#with-anomalies-that-nobody-noticed) has them.\n\n"
        f"{shown('effects', effects)}\nUnder the same noise:\n\n{shown('versus', pairs)}\n"
        + _figure("contamination", curves(tables["experiments"], scores, "contamination"))
    )
    return result, text


def shift(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What a change of the test images does that is no defect."""
    effects, natural = of(tables["effects"], axis="shift"), tables["domains"]
    lost = count(effects)
    alarms = _alarms(tables["experiments"])
    tiles = natural[natural["dataset.name"].isin([SOME, ALL])]
    tiles = tiles.sort_values(["dataset.name", "detector", "domain"], ascending=[False, True, True])
    unseen = unseen_above_seen(tables["experiments"], scores)
    taken = count(unseen)
    result = both(verdict(lost.below, lost.above, lost.total), verdict(taken.above, taken.below, taken.total))
    text = (
        f"AUROC: {lost.words('gain', 'lose')}. What an operator meets first is the false alarms: the threshold is that "
        f"of unshifted validation normals.\n\n{shown('effects', effects)}\n"
        f"Share of normal test images that are called anomalous:\n\n{alarms}\n"
        "**A natural shift**: magnetic tiles, trained under exposures 1 to 3, tested under all six. How often does a "
        "normal tile under exposures 4 to 6 score above one under 1 to 3 (0.5 is no difference)? Some exposures may "
        "look worse even to who knows them, so each detector is compared with itself trained on all:\n\n"
        f"{exposures_table(unseen)}\n"
        "By exposure (0 is a handful of tiles), trained on 1 to 3 (mtd_exposures) and on all (mtd); the test tiles of "
        f"the two are not the same:\n\n{shown('domains', tiles)}\n"
        "The audit finds tiles that are there under several exposures, so training may have seen a test tile in "
        "another light, and a change may be larger where it has not.\n\n"
        + _figure("shift", curves(tables["experiments"], scores, "shift"))
    )
    return result, text


def validation(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What stopping on validation images gains, by what these hold."""
    effects = of(tables["effects"], axis="validation")
    gained = count(effects)
    epochs = of(tables["effects"], axis="epochs")
    text = (
        f"Against a fixed number of epochs, {gained.words('gain', 'lose')}; mean changes by what validation holds: "
        f"{mean_words(effects, 'value')}.\n\n{shown('effects', effects)}\n"
        f"What other fixed numbers of epochs would have given:\n\n{shown('effects', epochs)}\n"
        + _figure("epochs", curves(tables["experiments"], scores, "epochs"))
    )
    return verdict(gained.above, gained.below, gained.total), text


def _alarms(table: pd.DataFrame) -> str:
    """False-alarm rates by detector, category, kind and severity of shift."""
    keys = ["dataset.name", "category", "detector", "shift.name"]
    same = [column for column in held(AXES["shift"]) if column not in keys]
    rates = with_baselines(table, "shift").groupby([*keys, *same, "shift.severity"])["false_positive_rate"].mean()
    wide = rates.unstack("shift.severity") if len(rates) else pd.DataFrame()
    if wide.shape[1] < 2:
        return "*Not run yet.*\n"
    rows = [
        [*key[: len(keys)], *("" if pd.isna(value) else f"{value:.3f}" for value in row)]
        for key, row in zip(wide.index, wide.to_numpy(), strict=True)
        if pd.notna(row).sum() > 1
    ]
    severities = ["unshifted" if one == "0" else f"severity {one}" for one in wide.columns]
    return markdown.format_table(["dataset", "category", "detector", "shift", *severities], rows)


def _figure(name: str, drawn: list[dict[str, object]]) -> str:
    if not drawn:
        return ""
    draw_curves(drawn, FOLDER / f"{name}.svg")
    return f"![AUROC against {drawn[0]['x']}; bars are 95 % intervals](findings/{name}.svg)\n"


CLAIMS = (
    Claim("Newer is not better", "Recent models do worse than those of 2021 over varied datasets; stopping on the test "
          "set and centre crops mislead.", newer),
    Claim("Input size", "A higher resolution helps small defects and, for some models, hurts large and logical ones.",
          input_size),
    Claim("Noisy labels", "Models are sensitive to anomalies among the training images, and truly unsupervised models "
          "stay below one-class ones even then.", noise),
    Claim("Distribution shift", "Every model takes a shift of the images for an anomaly.", shift),
    Claim("A validation set", "Stopping early on a validation set helps much, even on one unlike the test set.",
          validation),
)  # fmt: skip
