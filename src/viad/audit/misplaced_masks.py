"""Misplaced masks: masks on an unremarkable part of an image that is unusual elsewhere.

The test divides an image into cells and describes each cell by its mean colour, its contrast and its edges. The
distance to the nearest cell of normal images measures how unusual a cell is. A mask is misplaced if the image outside
it is more unusual than any normal image, and the cells under it are less than half as unusual. The test cannot detect
defects that look normal cell by cell, such as very small ones or missing parts; it then reports nothing.
"""

from collections.abc import Iterator, Mapping, Sequence

import cv2
import numpy as np
from scipy.spatial import cKDTree

from viad.artifacts.images import Pixels
from viad.seeds import generator

GRID = 32  # cells a side
CELL_SIDE = 8  # pixels
NORMAL_CELLS = 20_000  # cells of normal images, with which other cells are compared
LEAST_NORMALS = 30
AVERAGED_CELLS = 6  # most unusual cells of an image
LEAST_UNUSUAL_RATIO = 2.0  # times as unusual as any normal image
MOST_MASKED_RATIO = 0.5


def describe_cells(pixels: Pixels) -> np.ndarray:
    """Describe each cell of an image, (GRID, GRID, 5) float32: mean red, green and blue, contrast, edge strength."""
    side = GRID * CELL_SIDE
    image = cv2.resize(pixels, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
    image = image if image.ndim == 3 else np.repeat(image[:, :, None], 3, axis=2)
    grey = image.mean(axis=2)
    edges = np.hypot(cv2.Sobel(grey, cv2.CV_32F, 1, 0), cv2.Sobel(grey, cv2.CV_32F, 0, 1))
    parts = image.reshape(GRID, CELL_SIDE, GRID, CELL_SIDE, 3)
    contrast = grey.reshape(GRID, CELL_SIDE, GRID, CELL_SIDE).std(axis=(1, 3))
    strength = edges.reshape(GRID, CELL_SIDE, GRID, CELL_SIDE).mean(axis=(1, 3))
    return np.dstack([parts.mean(axis=(1, 3)), contrast, strength])


def find_marked_cells(mask: np.ndarray) -> np.ndarray:
    """Find the cells (GRID, GRID) bool that a mask (H, W) bool touches, and their neighbours."""
    rows, columns = np.nonzero(mask)
    touched = np.zeros((GRID, GRID), dtype=np.uint8)
    touched[rows * GRID // mask.shape[0], columns * GRID // mask.shape[1]] = 1
    return cv2.dilate(touched, np.ones((3, 3), np.uint8)).astype(bool)


def find_misplaced_masks(
    normal: Sequence[np.ndarray], masked: Mapping[int, tuple[np.ndarray, np.ndarray]]
) -> Iterator[tuple[int, str]]:
    """Find misplaced masks.

    Args:
        normal: the cells of normal images, each (GRID, GRID, 5).
        masked: by index, the cells of an anomalous image and the cells that its mask marks, (GRID, GRID) bool.

    Yields:
        an index, and the place of the most unusual cell in that image, as a phrase.
    """
    if len(normal) < LEAST_NORMALS or not masked:
        return
    # Half of the normal images form the bank; the other half shows how unusual normal cells are.
    bank = np.concatenate([image_cells.reshape(GRID * GRID, -1) for image_cells in normal[::2]])
    scale = bank.std(axis=0) + 1e-6
    tree = cKDTree(bank[generator(0, "audit").permutation(len(bank))[:NORMAL_CELLS]] / scale)

    def measure_distance(image_cells: np.ndarray) -> np.ndarray:
        distance, _ = tree.query(image_cells.reshape(GRID * GRID, -1) / scale, k=1)
        return np.asarray(distance).reshape(GRID, GRID)

    normal_level = max(_average_most_unusual(measure_distance(image_cells)) for image_cells in normal[1::2])
    for i, (image_cells, marked) in masked.items():
        if marked.all():
            continue
        distances = measure_distance(image_cells)
        inside, outside = _average_most_unusual(distances[marked]), _average_most_unusual(distances[~marked])
        if outside > LEAST_UNUSUAL_RATIO * normal_level and inside < MOST_MASKED_RATIO * outside:
            row, column = np.unravel_index(int(np.where(marked, -1, distances).argmax()), distances.shape)
            yield i, f"the image is unusual {column * 100 // GRID} % from its left, {row * 100 // GRID} % from its top"


def _average_most_unusual(distances: np.ndarray) -> float:
    """Average the distances of the most unusual cells."""
    return float(np.sort(distances, axis=None)[-AVERAGED_CELLS:].mean())
