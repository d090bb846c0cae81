"""Results of all experiments: those in this repository's DVC experiments, and those committed in docs/.

DVC stores experiments in git refs that a clone does not fetch. The results that the docs show are therefore committed
as files: docs/experiments.csv, and in docs/scores/ the image scores of every experiment on a category's test images.
"""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.experiments.conditions import format_cell, read_baselines
from viad.experiments.earlier_versions import RENAMED_COLUMNS
from viad.experiments.experiment_tables import READER_COLUMN, Experiments, list_table_columns, load_dvc_experiments

EXPERIMENTS_CSV = Path("docs/experiments.csv")
SCORES_FOLDER = Path("docs/scores")
SCORES_SEPARATOR = "."  # between dataset and category in the name of a score file; neither name contains a dot


def load_all_results() -> Experiments:
    """Load all experiments; an experiment in DVC replaces a committed one of the same name."""
    return load_committed_results().merge(load_dvc_experiments())


def load_committed_results() -> Experiments:
    """Load the experiments committed in docs/."""
    scores = {}
    for path in sorted(SCORES_FOLDER.glob("*.csv")):
        dataset, _, category = path.stem.partition(SCORES_SEPARATOR)
        texts = {"sample": str, "defect": str, "domain": str}
        table = pd.read_csv(path, dtype=texts)
        scores[dataset, category] = table.fillna(dict.fromkeys(texts, ""))
    return Experiments(_read_table(), scores)


def _read_table() -> pd.DataFrame:
    if not EXPERIMENTS_CSV.is_file():
        return pd.DataFrame(columns=list_table_columns())
    table = pd.read_csv(EXPERIMENTS_CSV, keep_default_na=False, na_values=[""]).rename(columns=RENAMED_COLUMNS)
    table = table.reindex(columns=list_table_columns())
    for column, value in (read_baselines() | {READER_COLUMN: ""}).items():  # experiments of earlier versions lack some
        if value is not None and table[column].isna().any():
            filled = table[column].astype(object).where(table[column].notna(), format_cell(value))
            table[column] = filled.infer_objects()
    return table


def collect_results() -> int:
    """Write the experiments that DVC has here to docs/, next to the committed ones; return their number of rows."""
    experiments = load_dvc_experiments()
    merged = load_committed_results().merge(experiments)
    with replacing(EXPERIMENTS_CSV) as aside:
        merged.table.to_csv(aside, index=False, float_format="%.6g", lineterminator="\n")
    with replacing(SCORES_FOLDER) as aside:
        aside.mkdir()
        for (dataset, category), table in merged.scores.items():
            path = aside / f"{dataset}{SCORES_SEPARATOR}{category}.csv"
            table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return len(experiments.table)
