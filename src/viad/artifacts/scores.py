"""scores.csv, with one row per image, in the order of maps.npy."""

from pathlib import Path

import numpy as np
import pandas as pd

from viad.errors import DataError


def write_scores(samples: pd.Series, scores: np.ndarray, folder: Path) -> None:
    """Write scores so that reading restores the same float32 values."""
    table = pd.DataFrame({"sample": samples.to_numpy(), "score": scores.astype(np.float32)})
    # Nine significant digits identify a float32.
    table.to_csv(folder / "scores.csv", index=False, float_format="%.9g", lineterminator="\n")


def read_scores(folder: Path, samples: pd.Series) -> pd.DataFrame:
    """Read scores in the order of `samples`, with `row`, the position of the image's map.

    Raises:
        DataError: the file is missing, or its rows are not those of `samples`.
    """
    path = folder / "scores.csv"
    try:
        table = pd.read_csv(path, dtype={"sample": "str", "score": "float32"}, keep_default_na=False)
    except (FileNotFoundError, ValueError) as error:
        raise DataError(f"{path}: cannot read the scores ({error}). Run `dvc repro` to predict again.") from error
    missing, surplus = set(samples) - set(table["sample"]), set(table["sample"]) - set(samples)
    if missing or surplus or table["sample"].duplicated().any():
        raise DataError(
            f"{path}: {len(missing)} images have no score {sorted(missing)[:5]}, {len(surplus)} scores belong to no "
            f"image {sorted(surplus)[:5]}, or a sample is listed twice. Run `dvc repro` to predict again."
        )
    table["row"] = np.arange(len(table))
    return table.set_index("sample").loc[samples].reset_index()
