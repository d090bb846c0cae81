"""samples.csv, the table of images that stages exchange, one row per image."""

from pathlib import Path

import pandas as pd

from viad.artifacts.atomic import replacing
from viad.errors import DataError

# image and mask are paths relative to the repository's root; label is the true label (0 normal, 1 anomalous),
# train_label the label that training sees; images of the same group must stay together; domain is the condition under
# which an image was taken.
SAMPLE_COLUMNS = ["sample", "image", "mask", "label", "train_label", "defect", "split", "group", "domain"]
SAMPLE_TYPES = dict.fromkeys(SAMPLE_COLUMNS, "str") | {"label": "int64", "train_label": "int64"}
SAMPLE_SPLITS = ("train", "val", "test", "reserve")
NORMAL, ANOMALOUS = 0, 1


def read_samples(folder: Path, *, columns: list[str] | None = None) -> pd.DataFrame:
    """Read the table in `folder`, or some of its columns (predict reads no labels).

    Raises:
        DataError: the table is missing or has other columns.
    """
    path = folder / "samples.csv"
    if not path.is_file():
        raise DataError(f"{path} does not exist. Run `dvc repro` to write it.")
    wanted = columns or SAMPLE_COLUMNS
    try:
        return pd.read_csv(path, dtype={c: SAMPLE_TYPES[c] for c in wanted}, usecols=wanted, keep_default_na=False)[
            wanted
        ]
    except ValueError as error:
        raise DataError(f"{path}: not a table of samples ({error}). Remove it and run `dvc repro`.") from error


def write_samples(samples: pd.DataFrame, folder: Path) -> None:
    """Write samples.csv into `folder`, the same bytes for the same rows.

    Raises:
        DataError: two rows have the same id, or a split is unknown.
    """
    repeated = samples["sample"][samples["sample"].duplicated()]
    if len(repeated):
        raise DataError(f"{folder}: {len(repeated)} samples have the same id as another, such as '{repeated.iloc[0]}'.")
    unknown = set(samples["split"]) - set(SAMPLE_SPLITS)
    if unknown:
        raise DataError(f"{folder}: unknown split {sorted(unknown)}. Use one of {', '.join(SAMPLE_SPLITS)}.")
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "samples.csv") as aside:
        samples[SAMPLE_COLUMNS].to_csv(aside, index=False, lineterminator="\n")
