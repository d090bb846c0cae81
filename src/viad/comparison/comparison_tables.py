"""Tables of comparisons: means, differences, effects and Pareto fronts, one row per result.

All functions take the table of `prepare_experiments` and the scores of `Experiments`.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from viad.comparison.condition_axes import AXES, BASELINE, find_axis_baseline, list_fixed_columns, sort_axis_values
from viad.comparison.paired_bootstrap import (
    Pair,
    bootstrap_difference,
    compare_image_pairs,
    compute_interval,
    find_pareto_front,
    resample_mean,
)
from viad.experiments.conditions import format_baselines
from viad.metrics.catalogue import measured_metrics, metrics_at

PAIRED_RESAMPLES = 1000
FRONT_COSTS = ("latency_p50_ms", "peak_memory_megabytes")  # weighed against AUROC in a Pareto front
RUN_COLUMNS = ("experiment", "category", "seed")  # needed to compare two runs
Scores = Mapping[tuple[str, str], pd.DataFrame]


def average_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Average metrics over categories and seeds by setting and detector, with both spreads (standard deviations).

    `METRIC_categories` is the spread of the categories' means, `METRIC_seeds` the mean over the categories of
    the spread over seeds; empty with a single category or seed.
    """
    measured = [metric.key for metric in measured_metrics()]
    costs = [metric.column for metric in metrics_at("cost", "training")]
    rows = []
    for key, group in _group_rows(table, [*list_fixed_columns(), "condition", "detector"]):
        row = {**key, "categories": group["category"].nunique(), "seeds": group["seed"].nunique()}
        for metric in measured:
            values = group[metric].astype(float)
            if values.isna().any():
                continue
            by_category = values.groupby(group["category"])
            row[metric] = by_category.mean().mean()
            row[f"{metric}_categories"] = by_category.mean().std()
            row[f"{metric}_seeds"] = by_category.std().mean()
        rows.append(row | {cost: group[cost].astype(float).mean() for cost in costs})
    columns = [f"{metric}{end}" for metric in measured for end in ("", "_categories", "_seeds")]
    head = [*list_fixed_columns(), "condition", "detector", "categories", "seeds", *columns, *costs]
    return pd.DataFrame(rows).reindex(columns=head)


def compare_with_best(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Compare, in each setting, the best detector with each other; all of them ran on all categories of the setting."""
    rows = []
    for key, group in _group_rows(
        table, [*list_fixed_columns(), "condition"], keep=["detector", *RUN_COLUMNS, "image_auroc"]
    ):
        group = select_complete_detectors(group)
        order = group.groupby(["detector", "category"])["image_auroc"].mean().groupby("detector").mean()
        names = list(order.sort_values(ascending=False, kind="stable").index)
        for other in names[1:]:
            result = _compare_pair(group, names[0], other, scores, key["dataset.name"])
            if result is not None:
                rows.append({**key, "better": names[0], "worse": other, **result})
    return pd.DataFrame(rows, columns=[*list_fixed_columns(), "condition", "better", "worse", *DIFFERENCE_COLUMNS])


def compare_detectors(
    table: pd.DataFrame, scores: Scores, ours: Collection[str], theirs: Collection[str]
) -> pd.DataFrame:
    """Compare, in each setting, each detector of `ours` with each of `theirs`; both ran on all of its categories."""
    rows = []
    for key, group in _group_rows(table, [*list_fixed_columns(), "condition"], keep=["detector", *RUN_COLUMNS]):
        group = select_complete_detectors(group)
        names = sorted(set(group["detector"]))
        for mine, other in itertools.product([n for n in names if n in ours], [n for n in names if n in theirs]):
            result = _compare_pair(group, mine, other, scores, key["dataset.name"])
            if result is not None:
                rows.append({**key, "detector": mine, "against": other, **result})
    return pd.DataFrame(rows, columns=[*list_fixed_columns(), "condition", "detector", "against", *DIFFERENCE_COLUMNS])


def _compare_pair(group: pd.DataFrame, one: str, other: str, scores: Scores, dataset: str) -> dict[str, Any] | None:
    ours, theirs = (group[group["detector"] == name] for name in (one, other))
    return _measure_difference(ours, theirs, scores, dataset)


def select_complete_detectors(group: pd.DataFrame) -> pd.DataFrame:
    """Select the runs of detectors that ran on all categories of the group: other means are not comparable."""
    count = group.groupby("detector")["category"].transform("nunique")
    return group[count == group["category"].nunique()]


DIFFERENCE_COLUMNS = ("categories", "seeds", "difference", "low", "high", "p", "significant")


def measure_effects(table: pd.DataFrame, scores: Scores, name: str, *, by_defect: bool = False) -> pd.DataFrame:
    """Measure the effect of a condition on each detector: each value of an axis against its baseline, same test images.

    The columns `axis`, `baseline` and `value` name the compared values, the other columns the fixed ones.

    Args:
        table: of experiments.
        scores: of their test images.
        name: of the axis.
        by_defect: whether each defect type is also compared separately (column `defect`; '' means all types).
    """
    axis, rows = AXES[name], []
    same = [*list_fixed_columns(axis), *axis.joint_keys, "detector"]
    for key, group in _group_rows(
        add_baselines(table, name), same, keep=[axis.column, *RUN_COLUMNS, "image_auroc_by_defect"]
    ):
        values = sort_axis_values(group[axis.column])
        baseline = values[0] if (start := find_axis_baseline(axis)) is None else start
        if baseline not in values:
            continue
        without = group[group[axis.column] == baseline]
        for value in values:
            if value == baseline:
                continue
            changed = group[group[axis.column] == value]
            for defect in ["", *(list_defects(changed) if by_defect else [])]:
                result = _measure_difference(changed, without, scores, key["dataset.name"], defect)
                if result is not None:
                    compared = {"axis": name, "defect": defect, "baseline": baseline, "value": value}
                    rows.append({**key, **compared, **result})
    head = ["axis", *same, "defect", "baseline", "value", *DIFFERENCE_COLUMNS]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(head)))


def add_baselines(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """Repeat the baseline runs for each kind of an axis (kind of shift, source of contamination), as its baseline."""
    if name == "supervision":
        labelled = table[table["labels"] != "0"]
        return labelled.assign(detector=labelled["model.name"])
    axis = AXES[name]
    if not axis.joint_keys:
        return table
    (kind,) = axis.joint_keys
    baseline = table[axis.column] == find_axis_baseline(axis)
    kinds = sorted(set(table[~baseline][kind]))
    return pd.concat([table[~baseline], *(table[baseline].assign(**{kind: value}) for value in kinds)])


def list_defects(group: pd.DataFrame) -> list[str]:
    """List the defect types in the test sets of some experiments; none if there is only one type."""
    types = {defect for text in group["image_auroc_by_defect"] if isinstance(text, str) for defect in json.loads(text)}
    return sorted(types) if len(types) > 1 else []


def _measure_difference(
    ours: pd.DataFrame, theirs: pd.DataFrame, scores: Scores, dataset: str, defect: str = ""
) -> dict[str, Any] | None:
    """Measure the paired difference of AUROC, ours - theirs, over common seeds; None without them or their scores."""
    mine, other = _group_by_category(ours), _group_by_category(theirs)
    pairs, counts, compared = [], [], []
    for category in sorted(mine.keys() & other.keys()):
        tested = scores.get((dataset, category))
        if defect and tested is not None and not (tested["defect"] == defect).any():
            continue  # not every category has every defect type
        seeds = sorted(mine[category].keys() & other[category].keys())
        our_runs, their_runs = ([runs[category][seed] for seed in seeds] for runs in (mine, other))
        pair = pair_scores(tested, our_runs, their_runs, defect) if seeds else None
        if pair is None:
            return None
        pairs.append(pair)
        counts.append(len(seeds))
        compared.append(category)
    if not pairs:
        return None
    result = bootstrap_difference(pairs, PAIRED_RESAMPLES)
    return {
        "categories": "+".join(compared), "seeds": min(counts), "difference": result.mean, "low": result.low,
        "high": result.high, "p": result.p, "significant": result.is_significant,
    }  # fmt: skip


def _group_by_category(runs: pd.DataFrame) -> dict[str, dict[int, str]]:
    """Group the names of experiments by category and seed."""
    names: dict[str, dict[int, str]] = {}
    for experiment, category, seed in zip(*(runs[column] for column in RUN_COLUMNS), strict=True):
        names.setdefault(category, {})[seed] = experiment
    return names


def measure_test_selection(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """Measure the optimistic bias of choosing the number of epochs on the test set, against the longest run.

    The choice is simulated afterwards, on runs with fixed epochs: for each category and seed with at least three
    numbers of epochs, the run with the highest test AUROC. The column `epochs` lists the numbers to choose from, and
    `chosen` the number of each category.
    """
    axis, rows = AXES["epochs"], []
    fixed = table[table["training.selection"] == "last"].dropna(subset=["image_auroc", "training.epochs"])
    for key, group in _group_rows(fixed, [*list_fixed_columns(axis), "detector"]):
        group = group[group.groupby(["category", "seed"])["training.epochs"].transform("nunique") > 2]
        if group.empty:
            continue
        numbers = sorted(set(group["training.epochs"]))
        last = group[group["training.epochs"] == numbers[-1]]
        best = group.loc[group.groupby(["category", "seed"])["image_auroc"].idxmax()]
        result = _measure_difference(best[best["category"].isin(last["category"])], last, scores, key["dataset.name"])
        if result is not None:
            chosen = ", ".join(f"{row['category']} {row['training.epochs']:g}" for row in best.to_dict("records"))
            rows.append({**key, "epochs": ", ".join(f"{number:g}" for number in numbers), "chosen": chosen, **result})
    return pd.DataFrame(rows, columns=[*list_fixed_columns(axis), "detector", "epochs", "chosen", *DIFFERENCE_COLUMNS])


def list_domain_results(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """List AUROC with its interval, and the false positive rate, by source condition (`domain`) of the test images."""
    rows = []
    for run in table.to_dict("records"):
        by_domain = json.loads(run["by_domain"]) if isinstance(run["by_domain"], str) else {}
        tested = scores.get((run["dataset.name"], run["category"]))
        for domain, metrics in by_domain.items():
            row = {
                column: run[column] for column in [*list_fixed_columns(), "condition", "detector", "category", "seed"]
            }
            row |= {"domain": domain, "image_auroc": metrics.get("image_auroc")}
            row |= {"false_positive_rate": metrics.get("false_positive_rate"), "low": None, "high": None}
            if tested is not None and run["experiment"] in tested.columns:
                row["low"], row["high"] = bootstrap_auroc(tested[tested["domain"] == domain], run["experiment"])
            rows.append(row)
    end = ["category", "seed", "domain", "image_auroc", "low", "high", "false_positive_rate"]
    return pd.DataFrame(rows, columns=[*list_fixed_columns(), "condition", "detector", *end])


def bootstrap_auroc(tested: pd.DataFrame, experiment: str) -> tuple[float | None, float | None]:
    """Compute the 95 % interval of an experiment's AUROC on some test images; None without both classes."""
    tested = tested.dropna(subset=[experiment])
    if tested["label"].nunique() < 2:
        return None, None
    return compute_interval(
        resample_mean(
            compare_image_pairs(tested[experiment].to_numpy(float), tested["label"].to_numpy()),
            PAIRED_RESAMPLES,
            seed=0,
        )
    )


def pair_scores(
    scores: pd.DataFrame | None, ours: Sequence[str], theirs: Sequence[str], defect: str = ""
) -> Pair | None:
    """Pair the scores of two groups of experiments for the images that all tested; None if scores are missing.

    Args:
        scores: of the category.
        ours: names of experiments.
        theirs: names of experiments.
        defect: the defect type that is compared with the normal images; '' means all.
    """
    if scores is None or not {*ours, *theirs} <= set(scores.columns):
        return None
    labels = scores["label"].to_numpy()
    a, b = (np.stack([scores[name].to_numpy(dtype=float) for name in names]) for names in (ours, theirs))
    tested = ~(np.isnan(a).any(axis=0) | np.isnan(b).any(axis=0))
    if defect:
        tested &= (labels == 0) | (scores["defect"] == defect).to_numpy()
    if len(set(labels[tested])) < 2:
        return None
    return Pair(a[:, tested], b[:, tested], labels[tested])


def select_baseline_runs(table: pd.DataFrame) -> pd.DataFrame:
    """Select the runs at the baseline and its image size, with the most frequent backbone and preset."""
    size = format_baselines()["image_size"]
    runs = table[(table["condition"] == BASELINE) & (table["image_size"] == size)]
    parts = [part for _, part in runs.groupby(["backbone.name", "preset"])]
    return max(parts, key=len, default=runs)


def find_fronts(averages: pd.DataFrame) -> pd.DataFrame:
    """Find the Pareto fronts of the baseline: `front` is whether no other detector is as good, as fast and as small."""
    runs = averages[averages["condition"] == BASELINE].dropna(subset=["image_auroc", *FRONT_COSTS])
    parts = []
    for _, group in _group_rows(runs, list_fixed_columns()):
        on = find_pareto_front(group["image_auroc"].to_numpy(float), group[list(FRONT_COSTS)].to_numpy(float))
        parts.append(group.assign(front=on).sort_values("image_auroc", ascending=False))
    return pd.concat(parts, ignore_index=True) if parts else runs.assign(front=[])


def _group_rows(
    table: pd.DataFrame, columns: Sequence[str], keep: Sequence[str] = ()
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Group rows with equal `columns`; yield these values and the rows, with `columns` and `keep` or all columns."""
    names = list(dict.fromkeys(columns))
    narrow = table[list(dict.fromkeys([*names, *keep]))] if keep else table  # pandas copies columns one by one
    for key, group in narrow.groupby(names, dropna=False, sort=True):
        yield dict(zip(names, key if isinstance(key, tuple) else (key,), strict=True)), group
