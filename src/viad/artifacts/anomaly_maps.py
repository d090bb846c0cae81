"""Anomaly maps: stored at the model's resolution, evaluated at the images' resolution.

The recipe describes how to resize them, and `resize_maps` follows it, both for the scores that predict takes from maps
and for the metrics that evaluate computes on them.
"""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional as F  # noqa: N812

from viad.errors import DataError

Maps = NDArray[np.float32]
KERNEL_RADIUS = 4.0  # kernel radius in standard deviations, as in anomalib's generators


@dataclass(frozen=True)
class Recipe:
    """How maps of any resolution are resized to the images' resolution.

    height, width: of the images, in pixels. interpolation: nearest or bilinear (pixel
    centres, corners not aligned). sigma: of the Gaussian smoothing after it, in pixels
    of the image; 0 for none.
    """

    height: int
    width: int
    interpolation: str = "bilinear"
    sigma: float = 0.0


def resize_maps(maps: Maps, recipe: Recipe) -> Maps:
    """Resize maps (N, h, w) float32 to the images' resolution, (N, height, width) float32."""
    full = F.interpolate(
        torch.from_numpy(np.ascontiguousarray(maps))[:, None],
        size=(recipe.height, recipe.width),
        mode=recipe.interpolation,
        align_corners=None if recipe.interpolation == "nearest" else False,
    )[:, 0].numpy()
    return full if recipe.sigma == 0 else np.stack([_smooth(full_map, recipe.sigma) for full_map in full])


def _smooth(full: Maps, sigma: float) -> Maps:
    side = 2 * int(KERNEL_RADIUS * sigma + 0.5) + 1
    # Mirrored borders, as anomalib pads; separable, so 20 times faster than its 2-d kernel.
    return np.asarray(cv2.GaussianBlur(full, (side, side), sigma, borderType=cv2.BORDER_REFLECT_101), dtype=np.float32)


class StoredMaps:
    """The maps of a predictions folder, read from disk a few at a time.

    Raises:
        DataError: maps.npy or its recipe is missing, or the number of maps is not `count`.
    """

    def __init__(self, folder: Path, count: int) -> None:
        try:
            self._maps = np.load(folder / "maps.npy", mmap_mode="r")
            self.recipe = Recipe(**json.loads((folder / "recipe.json").read_text(encoding="utf-8")))
        except (OSError, EOFError, ValueError, TypeError) as error:
            raise DataError(
                f"{folder}: cannot read the anomaly maps ({error}). Run `dvc repro` to write them."
            ) from error
        if len(self._maps) != count:
            raise DataError(
                f"{folder}: {len(self._maps)} maps for {count} rows of scores.csv. Run `dvc repro` to predict again."
            )

    def read_full(self, rows: NDArray[np.int64]) -> Maps:
        """Read the maps of `rows` at the images' resolution, (len(rows), H, W) float32."""
        return resize_maps(np.asarray(self._maps[rows], dtype=np.float32), self.recipe)

    def stream(self, rows: NDArray[np.int64], *, at_once: int = 16) -> Iterator[tuple[NDArray[np.int64], Maps]]:
        """Yield rows and their maps in batches, so that memory does not grow with the number of maps."""
        for start in range(0, len(rows), at_once):
            piece = rows[start : start + at_once]
            yield piece, self.read_full(piece)


def write_recipe(recipe: Recipe, folder: Path) -> None:
    """Write the recipe into the folder of the maps."""
    (folder / "recipe.json").write_text(json.dumps(asdict(recipe), indent=1) + "\n", encoding="utf-8")
