"""Detectors by their ranks over test sets that all of them were run on."""

from dataclasses import replace

import numpy as np
import pandas as pd

from viad.comparison.statistics import Ranks, ranks
from viad.comparison.tables import baseline_runs
from viad.experiments.tables import READER


def ranked(table: pd.DataFrame) -> tuple[list[str], list[str], Ranks] | None:
    """Ranks of the detectors over the test sets that all of them were run on, under the baseline.

    Returns:
        the detectors, best first, the test sets and their ranks, or None with fewer than three detectors or two sets.
    """
    runs = _one_cut_each(baseline_runs(table[table["labels"] == "0"]))
    wide = runs.pivot_table(index=["dataset.name", "category"], columns="detector", values="image_auroc")
    wide = _most_complete(wide)
    if wide.shape[0] < 2 or wide.shape[1] < 3:
        return None
    found = ranks(wide.to_numpy())
    order = np.argsort(found.mean, kind="stable")
    sets = [f"{dataset} {category}" for dataset, category in wide.index]
    return [str(wide.columns[i]) for i in order], sets, replace(found, mean=found.mean[order])


def _one_cut_each(runs: pd.DataFrame) -> pd.DataFrame:
    """Of datasets that one reader cuts out of the same images, the one with the most runs: ranks count a set once."""
    reader = runs[READER].where(runs[READER] != "", runs["dataset.name"])
    count = runs.groupby([reader, "dataset.name"])["experiment"].nunique().sort_values(ascending=False, kind="stable")
    kept = {name for _, name in count.groupby(level=0, sort=False).head(1).index}
    return runs[runs["dataset.name"].isin(kept)]


def _most_complete(wide: pd.DataFrame) -> pd.DataFrame:
    """The largest complete part: those detectors, most often run first, that keep the most filled cells."""
    order = wide.notna().sum().sort_values(ascending=False, kind="stable").index
    parts = [wide[list(order[:count])].dropna() for count in range(1, len(order) + 1)]
    return max(parts, key=lambda part: (min(part.shape[0], 2), min(part.shape[1], 3), part.size), default=wide)
