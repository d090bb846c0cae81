"""What is known of all experiments: those that DVC has here, and those kept in docs/.

DVC keeps experiments in git refs that a clone does not fetch, so what the docs show is kept as files beside them:
docs/experiments.csv, and in docs/scores/ the image scores of every experiment on a category's test images.
"""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.experiments.conditions import as_cell, read_baselines
from viad.experiments.earlier_versions import RENAMED_COLUMNS
from viad.experiments.tables import READER, Experiments, from_dvc, table_columns

FILE = Path("docs/experiments.csv")
SCORES = Path("docs/scores")
SEPARATOR = "."  # between dataset and category in the name of a file of scores; neither has one


def known() -> Experiments:
    """All experiments, those of DVC taking the place of kept ones of the same name."""
    return kept().updated(from_dvc())


def kept() -> Experiments:
    """The experiments that are kept in docs/."""
    scores = {}
    for path in sorted(SCORES.glob("*.csv")):
        dataset, _, category = path.stem.partition(SEPARATOR)
        texts = {"sample": str, "defect": str, "domain": str}
        table = pd.read_csv(path, dtype=texts)
        scores[dataset, category] = table.fillna(dict.fromkeys(texts, ""))
    return Experiments(_read_table(), scores)


def _read_table() -> pd.DataFrame:
    if not FILE.is_file():
        return pd.DataFrame(columns=table_columns())
    table = pd.read_csv(FILE, keep_default_na=False, na_values=[""]).rename(columns=RENAMED_COLUMNS)
    table = table.reindex(columns=table_columns())
    for column, value in (read_baselines() | {READER: ""}).items():  # what experiments of earlier versions lack
        if value is not None and table[column].isna().any():
            filled = table[column].astype(object).where(table[column].notna(), as_cell(value))
            table[column] = filled.infer_objects()
    return table


def collect() -> int:
    """Keep the experiments that DVC knows here in docs/; returns how many rows were found."""
    found = from_dvc()
    both = kept().updated(found)
    with replacing(FILE) as aside:
        both.table.to_csv(aside, index=False, float_format="%.6g", lineterminator="\n")
    with replacing(SCORES) as aside:
        aside.mkdir()
        for (dataset, category), table in both.scores.items():
            path = aside / f"{dataset}{SEPARATOR}{category}.csv"
            table.to_csv(path, index=False, float_format="%.6g", lineterminator="\n")
    return len(found.table)
