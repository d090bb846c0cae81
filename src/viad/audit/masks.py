"""Misplaced masks: masks on an unremarkable part of an image that is unusual elsewhere.

Images are cut into cells; a cell is described by its mean colour, its contrast and its edges. A cell is
unusual by its distance to the nearest cell of normal images. A mask is misplaced if the image outside it is more
unusual than any normal image, and the cells under it are less than half as unusual. The test cannot detect defects that
look normal cell by cell, such as very small ones or missing parts; it then reports nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from viad.artifacts.images import Pixels
from viad.seeds import generator

GRID = 32  # cells a side
CELL = 8  # pixels
BANK = 20_000  # cells of normal images that others are compared with
LEAST_NORMALS = 30
MOST = 6  # cells, the most unusual ones, that are averaged
CLEARLY = 2.0  # times as unusual as any normal image
HALF = 0.5


def cells(pixels: Pixels) -> np.ndarray:
    """The description of each cell, (GRID, GRID, 5) float32: mean red, green and blue, contrast, strength of edges."""
    side = GRID * CELL
    image = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    image = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    grey = image.mean(axis=2)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    parts = image.reshape(GRID, CELL, GRID, CELL, 3)
    contrast = grey.reshape(GRID, CELL, GRID, CELL).std(axis=(1, 3))
    strength = edges.reshape(GRID, CELL, GRID, CELL).mean(axis=(1, 3))
    return np.dstack([parts.mean(axis=(1, 3)), contrast, strength])


def marked_cells(mask: np.ndarray) -> np.ndarray:
    """Which cells (GRID, GRID) bool a mask (H, W) bool touches, or neighbours."""
    rows, columns = np.nonzero(mask)
    touched = np.zeros((GRID, GRID), dtype=np.uint8)
    touched[rows * GRID // mask.shape[0], columns * GRID // mask.shape[1]] = 1
    return cv2.dilate(touched, np.ones((3, 3), np.uint8)).astype(bool)


def misplaced(
    normal: Sequence[np.ndarray], masked: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[int, str]]:
    """Find misplaced masks.

    Args:
        normal: the cells of normal images, each (GRID, GRID, 5).
        masked: by index the cells of an anomalous image, and which of them its mask marks, (GRID, GRID) bool.

    Yields:
        an index, and the unusual place in that image, in words.
    """
    if len(normal) < LEAST_NORMALS or not masked:
        return
    # One half is the bank, the other measures how unusual normal cells are.
    bank = np.concatenate([one.reshape(GRID * GRID, -1) for one in normal[::2]])
    scale = bank.std(axis=0) + 1e-6
    tree = cKDTree(bank[generator(0, "audit").permutation(len(bank))[:BANK]] / scale)

    def unusual(one: np.ndarray) -> np.ndarray:
        distance, _ = tree.query(one.reshape(GRID * GRID, -1) / scale, k=1)
        return np.asarray(distance).reshape(GRID, GRID)

    usual = max(_most(unusual(one)) for one in normal[1::2])
    for i, (one, marked) in masked.items():
        if marked.all():
            continue
        found = unusual(one)
        inside, outside = _most(found[marked]), _most(found[~marked])
        if outside > CLEARLY * usual and inside < HALF * outside:
            row, column = np.unravel_index(int(np.where(marked, -1, found).argmax()), found.shape)
            yield i, f"the image is unusual {column * 100 // GRID} % from its left, {row * 100 // GRID} % from its top"


def _most(found: np.ndarray) -> float:
    """Mean of the most unusual cells."""
    return float(np.sort(found, axis=None)[-MOST:].mean())
