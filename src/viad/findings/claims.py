"""The paper's claims, one function each: what our tables say of it, in words whose numbers are computed.

Each returns the section of docs/findings.md below its heading: a verdict, what it rests on, the numbers, a figure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from viad import markdown
from viad.comparison.conditions import PLAIN
from viad.comparison.tables import Scores
from viad.comparison.writing import interval
from viad.findings.age import first_year
from viad.findings.evidence import HOLDS, NOT_RUN, NOT_SEEN, PARTLY, count, mean_words, of, shown, verdict
from viad.findings.figures import draw_curves
from viad.report.curves import curves

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
    del scores
    averages = _plain(tables["means"])
    rows, gaps, later_better = [], [], 0
    for dataset, group in averages.groupby("dataset.name"):
        group = group.assign(year=group["detector"].map(first_year)).dropna(subset=["year"])
        old, new = group[group["year"] < NEW], group[group["year"] >= NEW]
        if old.empty or new.empty:
            continue
        best = [part.sort_values("image_auroc").iloc[-1].to_dict() for part in (old, new)]
        gap = float(best[1]["image_auroc"] - best[0]["image_auroc"])
        tested = _between(tables["differences"], str(dataset), best[0]["detector"], best[1]["detector"])
        gaps.append(gap)
        later_better += gap > 0
        trend = spearmanr(group["year"], group["image_auroc"]) if len(group) >= 5 else None
        rows.append(
            [dataset, len(group), *(f"{one['detector']} ({one['year']:.0f}) {one['image_auroc']:.3f}" for one in best),
             f"{gap:+.3f}" if tested is None else tested,
             "" if trend is None else f"{trend.statistic:+.2f} (p = {trend.pvalue:.2f})"]
        )  # fmt: skip
    head = ["dataset", "detectors", f"best before {NEW}", f"best from {NEW} on", "newer − older", "year against AUROC"]
    crop, chosen = of(tables["effects"], axis="crop"), tables["best_on_test"]
    habits = _habits(crop, chosen)
    result = NOT_RUN if not rows else HOLDS if later_better == 0 else PARTLY if later_better < len(rows) else NOT_SEEN
    text = (
        f"On {later_better} of {len(rows)} datasets the best detector published from {NEW} on is above the best older "
        "one. The last column is Spearman's correlation of year and AUROC over all detectors that were run.\n\n"
        f"{markdown.table(head, rows)}\n"
        "All ran with the small budget, few epochs on a small backbone; a detector that lives on long training loses "
        "more by that than a memory bank does, so this is evidence about detectors that a CPU can train.\n\n"
        f"{habits}\n\n**Cropping the centre** (0.875 of each side, as 224 of 256 pixels):\n\n{shown('effects', crop)}\n"
        f"**Choosing the epochs on the test set**:\n\n{shown('best_on_test', chosen)}"
    )
    return result, text


def _habits(crop: pd.DataFrame, chosen: pd.DataFrame) -> str:
    said = []
    if len(chosen):
        said.append(f"the best epoch on the test set would have added {mean_words(chosen)}")
    if len(crop):
        said.append(f"cropping the centre changes AUROC by {mean_words(crop)}")
    return f"What two bad habits do to the numbers: {'; '.join(said)}." if said else "The two bad habits were not run."


def input_size(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What more pixels do to small, large and logical defects."""
    effects = of(tables["effects"], axis="input_size")
    more = effects[pd.to_numeric(effects["value"]) > pd.to_numeric(effects["baseline"])]
    small = count(of(more, defect="small"))
    others = count(more[more["defect"].isin(["large", "logical"])])
    helped, hurt = verdict(small.above, small.below, small.total), verdict(others.below, 0, others.total)
    result = helped if helped == hurt or NOT_RUN in (helped, hurt) else PARTLY
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
    under = tables["differences"]
    under = under[under["condition"].astype(str).str.startswith("contamination")]
    one_class = _learning(tables["experiments"], "one_class")
    unsupervised = _learning(tables["experiments"], "unsupervised")
    above = under[under["better"].isin(one_class) & under["worse"].isin(unsupervised)]
    below = under[under["better"].isin(unsupervised) & under["worse"].isin(one_class)]
    clear = int(above["told_apart"].sum()), int(below["told_apart"].sum())
    sensitive, behind = verdict(lost.below, 0, lost.total), verdict(clear[0], clear[1], len(above) + len(below))
    result = sensitive if sensitive == behind or NOT_RUN in (sensitive, behind) else PARTLY
    both = pd.concat([above, below])
    text = (
        f"*Sensitive to noise*: {lost.words('gain', 'lose')}; mean changes: {mean_words(effects)}. Of the unsupervised "
        f"detectors, made for such data, and the one-class ones under the same noise: a one-class detector is clearly "
        f"above in {clear[0]} of {len(both)} comparisons, an unsupervised one in {clear[1]}.\n\n"
        f"{shown('effects', effects)}\nUnder the same noise:\n\n{shown('differences', both)}\n"
        + _figure("contamination", curves(tables["experiments"], scores, "contamination"))
    )
    return result, text


def shift(tables: Tables, scores: Scores) -> tuple[str, str]:
    """What a change of the test images does that is no defect."""
    effects, natural = of(tables["effects"], axis="shift"), tables["domains"]
    lost = count(effects)
    alarms = _alarms(tables["experiments"])
    seen = natural[natural["dataset.name"].astype(str).str.contains("exposures")]
    text = (
        f"AUROC: {lost.words('gain', 'lose')}. What an operator meets first is the false alarms: the threshold is that "
        f"of unshifted validation normals.\n\n{shown('effects', effects)}\n"
        f"Share of normal test images that are called anomalous:\n\n{alarms}\n"
        "**A natural shift**: magnetic tiles, trained under exposures 1 to 3, tested under all six (0 is a handful of "
        f"tiles):\n\n{shown('domains', seen)}\n"
        "Images of one tile lie under several exposures, so that training has seen many of the test tiles: without "
        "that, the drop would be larger, not smaller.\n\n"
        + _figure("shift", curves(tables["experiments"], scores, "shift"))
    )
    return verdict(lost.below, 0, lost.total), text


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


def _plain(averages: pd.DataFrame) -> pd.DataFrame:
    """Detectors that need no labels, under the plain condition at 256 px."""
    plain = averages[(averages["condition"] == PLAIN) & (averages["image_size"] == "256")]
    return plain[~plain["detector"].astype(str).str.contains(",")]


def _between(differences: pd.DataFrame, dataset: str, one: str, other: str) -> str | None:
    """The paired difference other - one on a dataset, or None where it was not computed."""
    found = _plain(differences.rename(columns={"better": "detector"})).rename(columns={"detector": "better"})
    found = found[found["dataset.name"] == dataset]
    for better, worse, sign in ((one, other, -1), (other, one, 1)):
        rows = found[(found["better"] == better) & (found["worse"] == worse)].to_dict("records")
        if rows:
            row = rows[0]
            ends = sorted((sign * row["low"], sign * row["high"]))
            return interval({"difference": sign * row["difference"], "low": ends[0], "high": ends[1]})
    return None


def _learning(table: pd.DataFrame, kind: str) -> set[str]:
    return set(table[table["training.learning_type"] == kind]["detector"])


def _alarms(table: pd.DataFrame) -> str:
    """False-alarm rates by detector, category, kind and severity of shift."""
    shifted = table[table["shift.name"] != "none"]
    rows = []
    for key, group in shifted.groupby(["dataset.name", "category", "detector", "shift.name"]):
        dataset, category, detector, _ = key
        plain = table[
            (table["dataset.name"] == dataset) & (table["category"] == category) & (table["detector"] == detector)
            & (table["condition"] == PLAIN) & (table["image_size"].isin(group["image_size"]))
        ]  # fmt: skip
        cells = [f"{value:.3f}" for value in plain["false_alarm_rate"].head(1)] or [""]
        by_severity = group.groupby("shift.severity")["false_alarm_rate"].mean()
        cells.append(", ".join(f"{severity}: {value:.3f}" for severity, value in by_severity.items()))
        rows.append([*key, *cells])
    if not rows:
        return "*Not run yet.*\n"
    return markdown.table(["dataset", "category", "detector", "shift", "unshifted", "by severity"], rows)


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
