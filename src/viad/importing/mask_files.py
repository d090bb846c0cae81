"""Mask files: whether an image looks like a mask, and what its levels mark."""

from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image

from viad.artifacts.images import read_image, read_mask
from viad.errors import DataError

MOST_LEVELS = 32  # of grey, or palette entries of a mask
MOST_COLORS = 16
EXTREME_SHARE = 0.9  # of the pixels of a grey mask with blurred edges that are nearly black or white
EXTREME_MARGIN = 16  # grey levels
MOST_PIXELS = 1 << 16  # that are examined
MIDDLE_LEVEL = 128
MOST_MARKED = 0.5  # share of the pixels that a mask marks without a warning
LARGEST_GROWTH = 1.05  # of the marked area from the middle level to level 1, without a warning


@dataclass(frozen=True)
class MaskMeasure:
    """A readable mask: (height, width) in pixels, the marked share, and the growth of its area below level 128."""

    shape: tuple[int, int]
    marked: float
    growth: float


@lru_cache(maxsize=1 << 16)
def measure_mask(path: Path, mask_from: int) -> MaskMeasure:
    """Measure a mask.

    Args:
        path: of the file.
        mask_from: the lowest level of an anomalous pixel.

    Raises:
        DataError: the file is missing, truncated or not an image.
    """
    mask = read_mask(path, mask_from)
    middle = read_mask(path, MIDDLE_LEVEL)
    growth = float(mask.sum() / middle.sum()) if mask_from < MIDDLE_LEVEL and middle.any() else 1.0
    return MaskMeasure((mask.shape[0], mask.shape[1]), float(mask.mean()), growth)


@lru_cache(maxsize=1 << 16)
def looks_like_mask(path: Path) -> bool | None:
    """Tell whether an image has few levels or colours, or is nearly black and white; None if it is unreadable."""
    try:
        with Image.open(path) as image:
            stored_as_palette = image.mode in ("1", "P")
            levels = np.unique(np.asarray(image)).size if stored_as_palette else 0
        if stored_as_palette:
            return levels <= MOST_LEVELS
        pixels = read_image(path)
    except (DataError, OSError, ValueError):
        return None
    step = max(1, int((pixels.shape[0] * pixels.shape[1] / MOST_PIXELS) ** 0.5))
    pixels = pixels[::step, ::step]
    if pixels.ndim == 3:
        if len(np.unique(pixels.reshape(-1, 3), axis=0)) <= MOST_COLORS:
            return True
        if int(np.ptp(pixels.astype(np.int16), axis=2).max()) > EXTREME_MARGIN:
            return False
        pixels = pixels[:, :, 0]
    if np.unique(pixels).size <= MOST_LEVELS:
        return True
    extreme = (pixels <= EXTREME_MARGIN) | (pixels >= 255 - EXTREME_MARGIN)
    return float(extreme.mean()) >= EXTREME_SHARE
