"""The tables of a comparison as DataFrames, for notebooks."""

import pandas as pd

from viad.comparison.comparison_files import compare_experiments
from viad.experiments.committed_results import load_all_results


def load_tables() -> dict[str, pd.DataFrame]:
    """Load all experiments and return the tables of their comparison.

    `experiments` (one row per experiment and category, with `condition` as a text and `caveats`), `means`,
    `differences`, `effects`, `ranks`, `pareto`, `domains`, `best_on_test` and `recommendations`; and for each dataset
    and category the image scores of its test images as `scores/DATASET/CATEGORY`, one column per experiment.
    """
    experiments = load_all_results()
    scores = {f"scores/{dataset}/{category}": table for (dataset, category), table in experiments.scores.items()}
    return compare_experiments(experiments) | scores
