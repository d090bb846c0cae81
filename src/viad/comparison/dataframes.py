"""The tables of a comparison as DataFrames, for notebooks."""

import pandas as pd

from viad.comparison.writing import compare
from viad.experiments.committed_results import known


def load_tables() -> dict[str, pd.DataFrame]:
    """The tables of a comparison as DataFrames, for notebooks.

    `experiments` (a row an experiment and category, with `condition` in words and `caveats`), `means`, `differences`,
    `effects`, `ranks`, `pareto`, `best_on_test`, `recommendations`; and for each dataset and category the
    image scores of its test images as `scores/DATASET/CATEGORY`, a column an experiment.
    """
    experiments = known()
    scores = {f"scores/{dataset}/{category}": table for (dataset, category), table in experiments.scores.items()}
    return compare(experiments) | scores
