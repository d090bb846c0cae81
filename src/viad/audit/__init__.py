"""The audit of a dataset before training: the table of findings, and the images that it excludes."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.errors import DataError

AUDIT_FOLDER, FINDINGS_CSV = Path("data/audit"), "findings.csv"
FINDING_COLUMNS = ["category", "kind", "sample", "other", "detail"]
EXCLUDE_OPTIONS = ("none", "duplicates")  # values of audit.exclude
EXCLUDED_KIND = "excluded"  # of the rows that list the samples that audit.exclude: duplicates leaves out
FINDING_KINDS = (
    "unreadable", "duplicate", "near_duplicate", "leak", "label_conflict", "mask_empty", "mask_on_normal", "mask_size",
    "mask_misplaced", "size_outlier", "brightness_outlier",
)  # fmt: skip


def write_findings(table: pd.DataFrame, folder: Path) -> None:
    """Write findings.csv into the folder, whole or not at all."""
    with replacing(folder) as aside:
        aside.mkdir()
        table.to_csv(aside / FINDINGS_CSV, index=False, lineterminator="\n")


def read_excluded_samples(dataset: str, category: str, exclude: str) -> set[str]:
    """Read the samples of a category that `audit.exclude` leaves out: all but one of each set of duplicate images.

    Raises:
        DataError: the findings are missing.
    """
    if exclude == "none":
        return set()
    path = AUDIT_FOLDER / dataset / FINDINGS_CSV
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro` to write it.")
    table = pd.read_csv(path, dtype="str", keep_default_na=False)
    return set(table.loc[(table["category"] == category) & (table["kind"] == EXCLUDED_KIND), "sample"])
