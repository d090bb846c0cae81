"""The paper's claims, and one function per claim that answers it from our tables.

Each function returns the verdict and the text below it in docs/findings.md: its evidence, the numbers, a figure.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pandas as pd
from scipy.stats import spearmanr

from viad.artifacts import markdown
from viad.comparison.comparison_tables import Scores, add_baselines, compare_detectors, select_baseline_runs
from viad.comparison.condition_axes import AXES, list_fixed_columns
from viad.comparison.condition_curves import build_curves
from viad.documentation.paper_claims.curve_figures import plot_curves
from viad.documentation.paper_claims.evidence import (
    combine_verdicts,
    count_differences,
    format_comparison,
    judge_claim,
    list_means,
    select_rows,
)
from viad.documentation.paper_claims.exposures import ALL_EXPOSURES, SOME_EXPOSURES, compare_exposures, format_exposures
from viad.documentation.paper_claims.publication_year import find_publication_year

Tables = Mapping[str, pd.DataFrame]
FIGURES_FOLDER = Path("docs/findings")
RECENT_YEAR = (
    2023  # from this year on a detector counts as recent; PatchCore appeared in 2021 and was published in 2022
)


@dataclass(frozen=True)
class Claim:
    """A claim of the paper, and the function that answers it."""

    name: str
    says: str
    answer: Callable[[Tables, Scores], tuple[str, str]]  # the verdict, and the text below it


def answer_newer(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Newer detectors against older ones; the optimistic bias of two bad habits."""
    averages = select_baseline_runs(tables["means"])
    averages = averages[~averages["detector"].astype(str).str.endswith(("label)", "labels)"))]
    years = {name: year for name in averages["detector"] if (year := find_publication_year(name)) is not None}
    runs = select_baseline_runs(tables["experiments"])
    recent = [name for name, year in years.items() if year >= RECENT_YEAR]
    pairs = compare_detectors(runs, scores, recent, [name for name in years if name not in recent])
    won = count_differences(pairs)
    crop, chosen = select_rows(tables["effects"], axis="crop"), tables["best_on_test"]
    text = (
        f"Each detector published from {RECENT_YEAR} on against each older one, at the baseline: "
        f"{won.describe('the newer detector won', 'the older one')}.\n\n{format_comparison('versus', pairs)}\n"
        "All detectors that were run, including those whose image scores are not in docs/scores:\n\n"
        f"{_format_years(averages, years)}\n{_describe_presets(averages)}\n\n{_describe_biases(crop, chosen)}\n\n"
        "**Cropping the centre** (to 0.875 of each side, for example 224 of 256 pixels):\n\n"
        f"{format_comparison('effects', crop)}\n"
        "**Choosing the number of epochs on the test set**, per category the best of several fixed numbers:\n\n"
        f"{format_comparison('best_on_test', chosen)}"
    )
    biased = count_differences(pd.concat([crop[["low", "high"]], chosen[["low", "high"]]]))
    misled = judge_claim(biased.above, 0, biased.total)  # a pessimistic bias would not contradict the claim
    return combine_verdicts(judge_claim(won.below, won.above, won.total), misled), text


def _describe_presets(averages: pd.DataFrame) -> str:
    if not (averages["preset"] == "small").all():
        return f"All detectors ran with the preset {', '.join(sorted(set(averages['preset'])))}."
    return (
        "All detectors ran with the preset small: few epochs on a small backbone. A detector that needs long training "
        "loses more by this than a memory bank does, so this is evidence only about detectors that a CPU can train."
    )


def _format_years(averages: pd.DataFrame, years: Mapping[str, int]) -> str:
    rows = []
    for dataset, group in averages.groupby("dataset.name"):
        group = group.assign(year=group["detector"].map(years)).dropna(subset=["year"])
        if len(group) < 3:
            continue
        trend = spearmanr(group["year"], group["image_auroc"])
        best = [
            part.sort_values("image_auroc").tail(1)
            for part in (group[group["year"] < RECENT_YEAR], group[group["year"] >= RECENT_YEAR])
        ]
        named = [
            "".join(f"{row['detector']} {row['image_auroc']:.3f}" for row in part.to_dict("records")) for part in best
        ]
        rows.append([dataset, len(group), *named, f"{trend.statistic:+.2f} (p = {trend.pvalue:.2f})"])
    head = [
        "dataset",
        "detectors",
        f"best before {RECENT_YEAR}",
        f"best from {RECENT_YEAR} on",
        "rank correlation of year and AUROC",
    ]
    return markdown.format_table(head, rows) if rows else "*Too few detectors.*\n"


def _describe_biases(crop: pd.DataFrame, chosen: pd.DataFrame) -> str:
    biases = []
    if len(chosen):
        biases.append(f"of choosing the best epoch on the test set, against the longest run: {list_means(chosen)}")
    if len(crop):
        biases.append(f"of cropping the centre: {list_means(crop)}")
    return f"Optimistic bias in AUROC {'; '.join(biases)}." if biases else "The optimistic bias was not measured."


def answer_input_size(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Higher resolution, and the detection of small, large and logical defects."""
    effects = select_rows(tables["effects"], axis="input_size")
    more = effects[pd.to_numeric(effects["value"]) > pd.to_numeric(effects["baseline"])]
    small = count_differences(select_rows(more, defect="small"))
    others = count_differences(more[more["defect"].isin(["large", "logical"])])
    result = combine_verdicts(
        judge_claim(small.above, small.below, small.total), judge_claim(others.below, 0, others.total)
    )
    by_defect = [curve for curve in build_curves(tables["experiments"], scores, "input_size") if ":" in curve["title"]]
    text = (
        "More than 256 px against 256 px. Small defects: "
        f"{small.describe('AUROC rose in', 'fell in')}. Large and logical defects: "
        f"{others.describe('AUROC rose in', 'fell in')}.\n\n{format_comparison('effects', effects)}\n"
        + _plot_figure("input_size", by_defect)
    )
    return result, text


def answer_contamination(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Contamination of the training set, for one-class and for unsupervised detectors."""
    effects = select_rows(tables["effects"], axis="contamination")
    lost = count_differences(effects)
    under = tables["experiments"]
    under = under[under["contamination.ratio"] != "0"]
    kinds = (set(under[under["training.learning_type"] == kind]["detector"]) for kind in ("one_class", "unsupervised"))
    pairs = compare_detectors(under, scores, *kinds)
    above = count_differences(pairs)
    result = combine_verdicts(
        judge_claim(lost.below, lost.above, lost.total), judge_claim(above.above, above.below, above.total)
    )
    text = (
        f"With contamination against without: {lost.describe('AUROC rose in', 'fell in')}. Mean changes: "
        f"{list_means(effects)}. One-class detectors against unsupervised ones, which are designed for contaminated "
        f"data, at the same contamination: {above.describe('the one-class detector won', 'the unsupervised one')}.\n\n"
        "This page leaves out runs whose image scores are not in docs/scores: "
        "[models.md](models.md#with-contamination) lists them.\n\n"
        f"{format_comparison('effects', effects)}\nAt the same contamination:\n\n"
        f"{format_comparison('versus', pairs)}\n"
        + _plot_figure("contamination", build_curves(tables["experiments"], scores, "contamination"))
    )
    return result, text


def answer_shift(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Changes of the test images that are not defects."""
    effects, natural = select_rows(tables["effects"], axis="shift"), tables["domains"]
    lost = count_differences(effects)
    alarms = _format_false_alarms(tables["experiments"])
    tiles = natural[natural["dataset.name"].isin([SOME_EXPOSURES, ALL_EXPOSURES])]
    tiles = tiles.sort_values(["dataset.name", "detector", "domain"], ascending=[False, True, True])
    unseen = compare_exposures(tables["experiments"], scores)
    mistaken = count_differences(unseen)
    result = combine_verdicts(
        judge_claim(lost.below, lost.above, lost.total), judge_claim(mistaken.above, mistaken.below, mistaken.total)
    )
    text = (
        f"With a shift against without: {lost.describe('AUROC rose in', 'fell in')}.\n\n"
        f"{format_comparison('effects', effects)}\n"
        "An operator notices the false positive rate (false alarms) first: the share of normal test images above the "
        f"threshold, which comes from unshifted validation normals.\n\n{alarms}\n"
        "**A natural shift**: magnetic tiles, with exposures 1 to 3 in training and all six in the test set. The table "
        "shows how often a normal tile under exposures 4 to 6 scores higher than one under exposures 1 to 3 (0.5 is no "
        "difference). Some exposures may be harder in themselves, so each detector is compared with the same detector "
        f"trained on all exposures:\n\n{format_exposures(unseen)}\n"
        "Results per exposure (exposure 0 has only a few tiles), trained on exposures 1 to 3 (mtd_exposures) and on "
        f"all (mtd); the two test sets hold different tiles:\n\n{format_comparison('domains', tiles)}\n"
        "The audit found tiles that occur under several exposures. Training may have seen a test tile under another "
        "exposure, so the effect of a shift on unseen tiles may be larger.\n\n"
        + _plot_figure("shift", build_curves(tables["experiments"], scores, "shift"))
    )
    return result, text


def answer_early_stopping(tables: Tables, scores: Scores) -> tuple[str, str]:
    """Early stopping on validation images, by the images that validation holds."""
    effects = select_rows(tables["effects"], axis="validation")
    gained = count_differences(effects)
    epochs = select_rows(tables["effects"], axis="epochs")
    text = (
        f"Early stopping against a fixed number of epochs: {gained.describe('AUROC rose in', 'fell in')}. Mean changes "
        f"by the images in validation: {list_means(effects, 'value')}.\n\n{format_comparison('effects', effects)}\n"
        f"Other fixed numbers of epochs:\n\n{format_comparison('effects', epochs)}\n"
        + _plot_figure("epochs", build_curves(tables["experiments"], scores, "epochs"))
    )
    return judge_claim(gained.above, gained.below, gained.total), text


def _format_false_alarms(table: pd.DataFrame) -> str:
    """False positive rates by detector, category, kind and severity of shift."""
    keys = ["dataset.name", "category", "detector", "shift.name"]
    same = [column for column in list_fixed_columns(AXES["shift"]) if column not in keys]
    rates = add_baselines(table, "shift").groupby([*keys, *same, "shift.severity"])["false_positive_rate"].mean()
    wide = rates.unstack("shift.severity") if len(rates) else pd.DataFrame()
    if wide.shape[1] < 2:
        return "*Not run yet.*\n"
    rows = [
        [*key[: len(keys)], *("" if pd.isna(value) else f"{value:.3f}" for value in row)]
        for key, row in zip(wide.index, wide.to_numpy(), strict=True)
        if pd.notna(row).sum() > 1
    ]
    severities = ["unshifted" if severity == "0" else f"severity {severity}" for severity in wide.columns]
    return markdown.format_table(["dataset", "category", "detector", "shift", *severities], rows)


def _plot_figure(name: str, panels: list[dict[str, object]]) -> str:
    if not panels:
        return ""
    plot_curves(panels, FIGURES_FOLDER / f"{name}.svg")
    return f"![AUROC against {panels[0]['x']}; bars are 95 % intervals](findings/{name}.svg)\n"


CLAIMS = (
    Claim("Newer is not better", "Recent models are worse than those of 2021 over varied datasets; choosing the epoch "
          "on the test set and cropping the centre give an optimistic bias.", answer_newer),
    Claim("Input size", "A higher resolution helps small defects and, for some models, hurts large and logical ones.",
          answer_input_size),
    Claim("Contamination", "Models are sensitive to anomalies in the training set, and unsupervised models stay below "
          "one-class models even then.", answer_contamination),
    Claim("Distribution shift", "Every model mistakes a shift of the images for an anomaly.", answer_shift),
    Claim("Early stopping", "Early stopping on a validation set helps much, even if the validation set is unlike the "
          "test set.", answer_early_stopping),
)  # fmt: skip
