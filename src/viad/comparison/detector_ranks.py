"""Ranks of detectors over the test sets that all of them were run on."""

from dataclasses import replace

import numpy as np
import pandas as pd

from viad.comparison.comparison_tables import select_baseline_runs
from viad.comparison.paired_bootstrap import Ranks, rank_models
from viad.experiments.experiment_tables import READER_COLUMN


def rank_detectors(table: pd.DataFrame) -> tuple[list[str], list[str], Ranks] | None:
    """Rank the detectors over the test sets that all of them were run on, at the baseline.

    Returns:
        the detectors, best first, the test sets and the ranks; None with fewer than three detectors or two test sets.
    """
    runs = _select_largest_cuts(select_baseline_runs(table[table["labels"] == "0"]))
    wide = runs.pivot_table(index=["dataset.name", "category"], columns="detector", values="image_auroc")
    wide = _select_complete_block(wide)
    if wide.shape[0] < 2 or wide.shape[1] < 3:
        return None
    found = rank_models(wide.to_numpy())
    order = np.argsort(found.mean, kind="stable")
    sets = [f"{dataset} {category}" for dataset, category in wide.index]
    return [str(wide.columns[i]) for i in order], sets, replace(found, mean=found.mean[order])


def _select_largest_cuts(runs: pd.DataFrame) -> pd.DataFrame:
    """Select the dataset with the most runs of those with the same reader: they are subsets of the same images."""
    reader = runs[READER_COLUMN].where(runs[READER_COLUMN] != "", runs["dataset.name"])
    count = runs.groupby([reader, "dataset.name"])["experiment"].nunique().sort_values(ascending=False, kind="stable")
    kept = {name for _, name in count.groupby(level=0, sort=False).head(1).index}
    return runs[runs["dataset.name"].isin(kept)]


def _select_complete_block(wide: pd.DataFrame) -> pd.DataFrame:
    """Select the largest complete block of test sets and detectors; detectors with the most runs come first."""
    order = wide.notna().sum().sort_values(ascending=False, kind="stable").index
    parts = [wide[list(order[:count])].dropna() for count in range(1, len(order) + 1)]
    return max(parts, key=lambda part: (min(part.shape[0], 2), min(part.shape[1], 3), part.size), default=wide)
