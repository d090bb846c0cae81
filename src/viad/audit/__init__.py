"""The audit of a dataset before training: the table of findings, and the images that it excludes."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.errors import DataError

FOLDER, FILE = Path("data/audit"), "findings.csv"
COLUMNS = ["category", "kind", "sample", "other", "detail"]
EXCLUDE = ("none", "duplicates")  # values of audit.exclude
EXCLUDED = "excluded"  # the kind of row that says what `duplicates` leaves out
KINDS = (
    "unreadable", "duplicate", "near_duplicate", "leak", "label_conflict", "mask_empty", "mask_on_normal", "mask_size",
    "mask_misplaced", "size_outlier", "brightness_outlier",
)  # fmt: skip


def write_findings(table: pd.DataFrame, folder: Path) -> None:
    """Write findings.csv into the folder, whole or not at all."""
    with replacing(folder) as aside:
        aside.mkdir()
        table.to_csv(aside / FILE, index=False, lineterminator="\n")


def excluded_samples(dataset: str, category: str, exclude: str) -> set[str]:
    """The samples of a category that `audit.exclude` leaves out: of duplicate images, all but one.

    Raises:
        DataError: the findings are missing.
    """
    if exclude == "none":
        return set()
    path = FOLDER / dataset / FILE
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro` to write it.")
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    return set(table.loc[(table["category"] == category) & (table["kind"] == EXCLUDED), "sample"])
