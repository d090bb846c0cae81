"""The predictions of a category with labels and masks: all that evaluate reads. The model is not part of it."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from viad.artifacts.anomaly_maps import Maps, StoredMaps
from viad.artifacts.images import read_mask
from viad.artifacts.samples import ANOMALOUS, NORMAL, read_samples
from viad.artifacts.scores import read_scores
from viad.errors import DataError


@dataclass(frozen=True)
class LabelledPredictions:
    """The predictions for the validation and test images of a category, with labels and masks.

    val_normals: (V,) float32 scores of the validation normals, higher is more anomalous.
    test: the test rows of samples.csv with their `score`, and with `row`, the position of their map.
    maps: of all rows.
    root: the folder that the paths in `test` are relative to.
    """

    val_normals: NDArray[np.float32]
    test: pd.DataFrame
    maps: StoredMaps
    root: Path

    @property
    def has_masks(self) -> bool:
        """Whether any test image has a mask."""
        return bool((self.test["mask"] != "").any())

    @property
    def resolution(self) -> tuple[int, int]:
        """Height and width of the images, in pixels."""
        return self.maps.recipe.height, self.maps.recipe.width

    def stream_masked_maps(self) -> Iterator[tuple[Maps, NDArray[np.bool_]]]:
        """Yield maps and masks of the normal test images and the anomalous ones that have a mask, in batches.

        Raises:
            DataError: a mask does not have the size of the maps.
        """
        images = self.test[(self.test["label"] != ANOMALOUS) | (self.test["mask"] != "")]
        masks = dict(zip(images["row"], images["mask"], strict=True))
        for rows, full in self.maps.stream(images["row"].to_numpy()):
            yield full, np.stack([self._read_mask(masks[row]) for row in rows])

    def _read_mask(self, path: str) -> NDArray[np.bool_]:
        height, width = self.resolution
        mask = read_mask(self.root / path) if path else np.zeros((height, width), bool)
        if mask.shape != (height, width):
            raise DataError(
                f"{path}: mask size {mask.shape[1]}x{mask.shape[0]} does not match map size {width}x{height}. "
                "Run `dvc repro` to predict again."
            )
        return mask


def read_labelled_predictions(dataset: str, category: str, root: Path = Path()) -> LabelledPredictions:
    """Read predictions/<dataset>/<category> and its rows of samples.csv.

    Args:
        dataset: name of the dataset.
        category: name of the category.
        root: the folder that contains predictions/ and data/.

    Raises:
        DataError: a file is missing or belongs to other images.
    """
    folder = root / "predictions" / dataset / category
    samples = read_samples(root / "data/contaminated" / dataset / category)
    val, test = samples[samples["split"] == "val"], read_samples(root / "data/shifted" / dataset / category)
    scored = read_scores(folder, pd.concat([val["sample"], test["sample"]]))
    scores, rows = scored["score"].to_numpy(), scored["row"].to_numpy()
    val_normals = scores[: len(val)][val["label"].to_numpy() == NORMAL]
    test = test.assign(score=scores[len(val) :], row=rows[len(val) :])
    return LabelledPredictions(val_normals, test, StoredMaps(folder, len(scored)), root)
