"""Tables of comparisons, each with a row for one statement: means, differences, effects, Pareto fronts.

All take the table that `conditions.prepared` makes and the scores of `Experiments`.
"""

import itertools
import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from viad.comparison.conditions import AXES, BASELINE, baseline_of, held, in_order
from viad.comparison.statistics import (
    Pair,
    interval,
    paired_difference,
    pareto,
    resampled,
    wins,
)
from viad.experiments.conditions import baseline_texts
from viad.metrics.catalogue import measured_metrics, metrics_at

RESAMPLES = 1000
COSTLY = ("latency_p50_ms", "peak_memory_megabytes")  # what a front weighs against AUROC
RUN = ("experiment", "category", "seed")  # what comparing two runs takes from the table
Scores = Mapping[tuple[str, str], pd.DataFrame]


def means(table: pd.DataFrame) -> pd.DataFrame:
    """Means over categories and seeds by setting and detector, with both spreads (standard deviations).

    `METRIC_categories` is the spread of the categories' means, `METRIC_seeds` the mean over the categories of
    the spread over seeds; empty with one category or one seed.
    """
    measured = [metric.key for metric in measured_metrics()]
    costs = [metric.column for metric in metrics_at("cost", "training")]
    rows = []
    for key, group in _groups(table, [*held(), "condition", "detector"]):
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
    head = [*held(), "condition", "detector", "categories", "seeds", *columns, *costs]
    return pd.DataFrame(rows).reindex(columns=head)


def differences(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """In each setting the best detector against each other one, of those that ran on all of its categories."""
    rows = []
    for key, group in _groups(table, [*held(), "condition"], keep=["detector", *RUN, "image_auroc"]):
        group = on_all_categories(group)
        order = group.groupby(["detector", "category"])["image_auroc"].mean().groupby("detector").mean()
        names = list(order.sort_values(ascending=False, kind="stable").index)
        for other in names[1:]:
            found = _versus(group, names[0], other, scores, key["dataset.name"])
            if found is not None:
                rows.append({**key, "better": names[0], "worse": other, **found})
    return pd.DataFrame(rows, columns=[*held(), "condition", "better", "worse", *FOUND])


def versus(table: pd.DataFrame, scores: Scores, ours: Collection[str], theirs: Collection[str]) -> pd.DataFrame:
    """In each setting every detector of `ours` against every one of `theirs`, both on all of its categories."""
    rows = []
    for key, group in _groups(table, [*held(), "condition"], keep=["detector", *RUN]):
        group = on_all_categories(group)
        there = sorted(set(group["detector"]))
        for one, other in itertools.product([n for n in there if n in ours], [n for n in there if n in theirs]):
            found = _versus(group, one, other, scores, key["dataset.name"])
            if found is not None:
                rows.append({**key, "detector": one, "against": other, **found})
    return pd.DataFrame(rows, columns=[*held(), "condition", "detector", "against", *FOUND])


def _versus(group: pd.DataFrame, one: str, other: str, scores: Scores, dataset: str) -> dict[str, Any] | None:
    ours, theirs = (group[group["detector"] == name] for name in (one, other))
    return _difference(ours, theirs, scores, dataset)


def on_all_categories(group: pd.DataFrame) -> pd.DataFrame:
    """The runs of those detectors that ran on every category of the group: means over others do not compare."""
    count = group.groupby("detector")["category"].transform("nunique")
    return group[count == group["category"].nunique()]


FOUND = ("categories", "seeds", "difference", "low", "high", "p", "told_apart")


def effects(table: pd.DataFrame, scores: Scores, name: str, *, by_defect: bool = False) -> pd.DataFrame:
    """What a condition does to each detector: each value of an axis against its baseline, on the same test images.

    `axis`, `baseline` and `value` say what is compared, the other columns what is held.

    Args:
        table: of experiments.
        scores: of their test images.
        name: of the axis.
        by_defect: whether each kind of defect is compared by itself as well (`defect`; '' is all of them).
    """
    axis, rows = AXES[name], []
    same = [*held(axis), *axis.together, "detector"]
    for key, group in _groups(with_baselines(table, name), same, keep=[axis.column, *RUN, "image_auroc_by_defect"]):
        values = in_order(group[axis.column])
        baseline = values[0] if (start := baseline_of(axis)) is None else start
        if baseline not in values:
            continue
        without = group[group[axis.column] == baseline]
        for value in values:
            if value == baseline:
                continue
            changed = group[group[axis.column] == value]
            for defect in ["", *(defects(changed) if by_defect else [])]:
                found = _difference(changed, without, scores, key["dataset.name"], defect)
                if found is not None:
                    compared = {"axis": name, "defect": defect, "baseline": baseline, "value": value}
                    rows.append({**key, **compared, **found})
    head = ["axis", *same, "defect", "baseline", "value", *FOUND]
    return pd.DataFrame(rows, columns=list(dict.fromkeys(head)))


def with_baselines(table: pd.DataFrame, name: str) -> pd.DataFrame:
    """The table with the baseline runs once for each kind that an axis has (of shift, of noise), as its baseline."""
    if name == "supervision":
        labelled = table[table["labels"] != "0"]
        return labelled.assign(detector=labelled["model.name"])
    axis = AXES[name]
    if not axis.together:
        return table
    (kind,) = axis.together
    baseline = table[axis.column] == baseline_of(axis)
    kinds = sorted(set(table[~baseline][kind]))
    return pd.concat([table[~baseline], *(table[baseline].assign(**{kind: one}) for one in kinds)])


def defects(group: pd.DataFrame) -> list[str]:
    """The kinds of defect in the test sets of some experiments; none where there is but one."""
    found = {kind for text in group["image_auroc_by_defect"] if isinstance(text, str) for kind in json.loads(text)}
    return sorted(found) if len(found) > 1 else []


def _difference(
    ours: pd.DataFrame, theirs: pd.DataFrame, scores: Scores, dataset: str, defect: str = ""
) -> dict[str, Any] | None:
    """Paired difference of AUROC, ours - theirs, over the seeds that both have; None without such or their scores."""
    mine, other = _by_category(ours), _by_category(theirs)
    pairs, counts, compared = [], [], []
    for category in sorted(mine.keys() & other.keys()):
        tested = scores.get((dataset, category))
        if defect and tested is not None and not (tested["defect"] == defect).any():
            continue  # not every category has every kind of defect
        seeds = sorted(mine[category].keys() & other[category].keys())
        ours_here, theirs_here = ([runs[category][seed] for seed in seeds] for runs in (mine, other))
        made = pair(tested, ours_here, theirs_here, defect) if seeds else None
        if made is None:
            return None
        pairs.append(made)
        counts.append(len(seeds))
        compared.append(category)
    if not pairs:
        return None
    found = paired_difference(pairs, RESAMPLES)
    return {
        "categories": "+".join(compared), "seeds": min(counts), "difference": found.mean, "low": found.low,
        "high": found.high, "p": found.p, "told_apart": found.told_apart,
    }  # fmt: skip


def _by_category(runs: pd.DataFrame) -> dict[str, dict[int, str]]:
    """The names of experiments by category and seed."""
    found: dict[str, dict[int, str]] = {}
    for experiment, category, seed in zip(*(runs[column] for column in RUN), strict=True):
        found.setdefault(category, {})[seed] = experiment
    return found


def best_on_test(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """What the best of several numbers of epochs, chosen on the test set, gains over the longest run.

    The bad habit is only played here, afterwards, on runs with fixed epochs: for each category and seed with three
    numbers or more the run with the highest test AUROC. `epochs` are the numbers chosen from, and `chosen` what each
    category took.
    """
    axis, rows = AXES["epochs"], []
    fixed = table[table["training.selection"] == "last"].dropna(subset=["image_auroc", "training.epochs"])
    for key, group in _groups(fixed, [*held(axis), "detector"]):
        group = group[group.groupby(["category", "seed"])["training.epochs"].transform("nunique") > 2]
        if group.empty:
            continue
        numbers = sorted(set(group["training.epochs"]))
        last = group[group["training.epochs"] == numbers[-1]]
        best = group.loc[group.groupby(["category", "seed"])["image_auroc"].idxmax()]
        found = _difference(best[best["category"].isin(last["category"])], last, scores, key["dataset.name"])
        if found is not None:
            chosen = ", ".join(f"{row['category']} {row['training.epochs']:g}" for row in best.to_dict("records"))
            rows.append({**key, "epochs": ", ".join(f"{number:g}" for number in numbers), "chosen": chosen, **found})
    return pd.DataFrame(rows, columns=[*held(axis), "detector", "epochs", "chosen", *FOUND])


def domains(table: pd.DataFrame, scores: Scores) -> pd.DataFrame:
    """AUROC with its interval, and false alarms, in each source condition (`domain`) of the test images by itself."""
    rows = []
    for run in table.to_dict("records"):
        by_domain = json.loads(run["by_domain"]) if isinstance(run["by_domain"], str) else {}
        tested = scores.get((run["dataset.name"], run["category"]))
        for domain, found in by_domain.items():
            row = {column: run[column] for column in [*held(), "condition", "detector", "category", "seed"]}
            row |= {"domain": domain, "image_auroc": found.get("image_auroc")}
            row |= {"false_positive_rate": found.get("false_positive_rate"), "low": None, "high": None}
            if tested is not None and run["experiment"] in tested.columns:
                row["low"], row["high"] = interval_of(tested[tested["domain"] == domain], run["experiment"])
            rows.append(row)
    end = ["category", "seed", "domain", "image_auroc", "low", "high", "false_positive_rate"]
    return pd.DataFrame(rows, columns=[*held(), "condition", "detector", *end])


def interval_of(tested: pd.DataFrame, experiment: str) -> tuple[float | None, float | None]:
    """The 95 % interval of an experiment's AUROC on some test images; None without both classes."""
    tested = tested.dropna(subset=[experiment])
    if tested["label"].nunique() < 2:
        return None, None
    return interval(resampled(wins(tested[experiment].to_numpy(float), tested["label"].to_numpy()), RESAMPLES, seed=0))


def pair(scores: pd.DataFrame | None, ours: Sequence[str], theirs: Sequence[str], defect: str = "") -> Pair | None:
    """Scores of two groups of experiments for the images that all of them tested; None where one's are not known.

    Args:
        scores: of the category.
        ours: names of experiments.
        theirs: names of experiments.
        defect: the kind that is compared with the normal images; '' takes all.
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


def baseline_runs(table: pd.DataFrame) -> pd.DataFrame:
    """The rows of the baseline at its image size, of the backbone and the preset that most of them have."""
    size = baseline_texts()["image_size"]
    runs = table[(table["condition"] == BASELINE) & (table["image_size"] == size)]
    parts = [part for _, part in runs.groupby(["backbone.name", "preset"])]
    return max(parts, key=len, default=runs)


def fronts(averages: pd.DataFrame) -> pd.DataFrame:
    """Means of the baseline with `front`: whether no other detector is as good, as quick and as small."""
    runs = averages[averages["condition"] == BASELINE].dropna(subset=["image_auroc", *COSTLY])
    parts = []
    for _, group in _groups(runs, held()):
        on = pareto(group["image_auroc"].to_numpy(float), group[list(COSTLY)].to_numpy(float))
        parts.append(group.assign(front=on).sort_values("image_auroc", ascending=False))
    return pd.concat(parts, ignore_index=True) if parts else runs.assign(front=[])


def _groups(
    table: pd.DataFrame, columns: Sequence[str], keep: Sequence[str] = ()
) -> Iterator[tuple[dict[str, Any], pd.DataFrame]]:
    """Groups of equal conditions, and what these are; the groups have `columns` and `keep`, or all columns."""
    names = list(dict.fromkeys(columns))
    narrow = table[list(dict.fromkeys([*names, *keep]))] if keep else table  # pandas copies columns one by one
    for key, group in narrow.groupby(names, dropna=False, sort=True):
        yield dict(zip(names, key if isinstance(key, tuple) else (key,), strict=True)), group
