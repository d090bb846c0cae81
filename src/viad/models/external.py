"""Predictions made elsewhere: scores.csv and anomaly maps, brought in as if a model here had made them.

The folder holds, for each category in a folder of its name (or at the top, if there is one category):

    scores.csv        columns `sample` or `image`, and `score`; higher is more anomalous
    maps/SAMPLE.npy   or .png, .tif, .tiff: one anomaly map an image, (h, w) of any size, float or 8 or 16 bits

The rows are the validation and test images, as listed in predictions/<dataset>/<category>/scores.csv of
any other model. A map covers the image as it lies under data/resized.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from anomalib import LearningType
from anomalib.models import AnomalibModule
from numpy.lib.format import open_memmap
from PIL import Image, UnidentifiedImageError
from torch import nn

from viad.artifacts.anomaly_maps import Maps, Recipe, resize_maps
from viad.errors import DataError

MAP_SUFFIXES = (".npy", ".png", ".tif", ".tiff")
LISTED = 10  # names that an error spells out


class External(AnomalibModule):
    """Takes the place of a model: it has nothing to train, and its predictions are in a folder.

    Args:
        path: the folder.
        options: as for anomalib's modules.
    """

    def __init__(self, path: str, **options: Any) -> None:
        super().__init__(**options)
        self.model, self.path = nn.Module(), Path(path)

    @property
    def trainer_arguments(self) -> dict[str, Any]:
        """Nothing is trained."""
        return {}

    @property
    def learning_type(self) -> LearningType:
        """Unknown; anomalib requires one."""
        return LearningType.ONE_CLASS

    def predictions(self, category: str, rows: pd.DataFrame, recipe: Recipe, maps_file: Path) -> np.ndarray:
        """Scores (N,) float32 in the order of `rows`, after their maps were written to `maps_file`.

        Args:
            category: names the folder.
            rows: with `sample` and `image`.
            recipe: maps of unequal sizes are brought to its resolution.
            maps_file: becomes (N, h, w) float32.

        Raises:
            DataError: a row or map is missing, surplus, unreadable or not finite; the message lists them.
        """
        folder = self.path / category if (self.path / category).is_dir() else self.path
        scores = _scores(folder / "scores.csv", rows)
        files = [_map_file(folder / "maps", sample) for sample in rows["sample"]]
        missing = [sample for sample, file in zip(rows["sample"], files, strict=True) if file is None]
        if missing:
            raise DataError(
                f"{folder / 'maps'}: {len(missing)} images have no map: {_listed(missing)}. Add their maps."
            )
        sizes = {read_map(file).shape for file in files if file}
        size = sizes.pop() if len(sizes) == 1 else (recipe.height, recipe.width)
        stored = open_memmap(maps_file, mode="w+", dtype=np.float32, shape=(len(rows), *size))
        for i, one in enumerate(read_map(file) for file in files if file):
            stored[i] = one if one.shape == size else resize_maps(one[None], Recipe(*size))[0]
        stored.flush()
        return scores


def read_map(path: Path) -> Maps:
    """An anomaly map as (h, w) float32; 8 and 16 bits become 0 to 1.

    Raises:
        DataError: unreadable, not one channel, or not finite.
    """
    try:
        values = np.load(path) if path.suffix == ".npy" else np.asarray(Image.open(path))
    except (OSError, ValueError, EOFError, UnidentifiedImageError) as error:
        raise DataError(f"{path} is not a readable map ({error}). Replace it.") from error
    values = values.squeeze()
    if values.ndim != 2 or values.dtype.kind not in "fiub":
        raise DataError(
            f"{path}: a map must be one channel (h, w) of numbers, but this is {values.shape} of {values.dtype}."
        )
    whole = {np.dtype(np.uint8): 255, np.dtype(np.uint16): 65535}.get(values.dtype, 1)
    result = (values / whole).astype(np.float32)
    if not np.isfinite(result).all():
        raise DataError(f"{path} holds values that are not finite. Correct them.")
    return result


def _scores(path: Path, rows: pd.DataFrame) -> np.ndarray:
    try:
        table = pd.read_csv(path, dtype={"sample": "str", "image": "str"}, keep_default_na=False)
        key = next(name for name in ("sample", "image") if name in table)
        values = pd.to_numeric(table["score"]).astype(np.float32)
    except (OSError, ValueError, KeyError, StopIteration) as error:
        raise DataError(
            f"{path}: cannot read the scores ({error!r}). The file needs a column `sample` or `image`, and a "
            "column `score`."
        ) from error
    problems = list(_problems(table[key], rows[key]))
    if not np.isfinite(values).all():
        problems.append(f"scores are not finite: {_listed(table[key][~np.isfinite(values)].tolist())}")
    if problems:
        raise DataError(f"{path}: {'; '.join(problems)}. List exactly the validation and test images.")
    return np.asarray(values.set_axis(table[key]).loc[rows[key]], dtype=np.float32)


def _problems(found: pd.Series, wanted: pd.Series) -> Iterator[str]:
    if missing := sorted(set(wanted) - set(found)):
        yield f"{len(missing)} images have no score: {_listed(missing)}"
    if surplus := sorted(set(found) - set(wanted)):
        yield f"{len(surplus)} scores belong to no image: {_listed(surplus)}"
    if twice := sorted(set(found[found.duplicated()])):
        yield f"{len(twice)} images have two scores: {_listed(twice)}"


def _listed(names: list[str]) -> str:
    more = len(names) - LISTED
    return ", ".join(names[:LISTED]) + (f" and {more} more" if more > 0 else "")


def _map_file(folder: Path, sample: str) -> Path | None:
    return next((file for suffix in MAP_SUFFIXES if (file := folder / f"{sample}{suffix}").is_file()), None)
