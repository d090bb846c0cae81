"""Regions of an image that an annotation outlines, and masks made of them."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from viad.artifacts.images import Mask
from viad.errors import DataError

FARTHEST = 1.0  # image sides that a region may reach beyond its image before its unit must be wrong
ROUNDING = 1.0  # pixels beyond the image that are rounding, not worth a note


@dataclass(frozen=True)
class Region:
    """A box (two corners), a polygon, or a run-length code.

    `points` are x and y in pixels, or in shares of width and height if `relative`. `counts` are the lengths of
    alternating runs of normal and anomalous pixels, column by column, of an image of `size` (height, width).
    """

    kind: str  # box, polygon or runs
    points: tuple[tuple[float, float], ...] = ()
    relative: bool = False
    counts: tuple[int, ...] = ()
    size: tuple[int, int] = (0, 0)


def draw_regions(regions: Sequence[Region], height: int, width: int) -> tuple[Mask, int]:
    """Draw regions as a mask (height, width), and count those clipped at the border.

    A pixel is anomalous if its centre lies inside; a region smaller than a pixel marks the pixel around it.

    Raises:
        DataError: a region lies outside of the image, or its size is another one. The message lacks the file.
    """
    mask = np.zeros((height, width), bool)
    clipped = 0
    for region in regions:
        if region.kind == "runs":
            mask |= _draw_runs(region, height, width)
            continue
        points = np.array(region.points, float) * ((width, height) if region.relative else (1, 1))
        low, high, sides = points.min(axis=0), points.max(axis=0), np.array([width, height])
        if (low < -FARTHEST * sides).any() or (high > (1 + FARTHEST) * sides).any():
            raise DataError(
                f"a region reaches from {_name(low)} to {_name(high)}, far outside of the image of {width}x{height}. "
                "Correct it, or its unit"
            )
        if (high <= 0).any() or (low >= sides).any():
            raise DataError(
                f"a region from {_name(low)} to {_name(high)} lies outside of the image of {width}x{height}. Remove it"
            )
        clipped += bool((low < -ROUNDING).any() or (high > sides + ROUNDING).any())
        if region.kind == "box":
            points = np.array([low, (high[0], low[1]), high, (low[0], high[1])])
        part = _fill_polygon(points, height, width)
        if not part.any():
            x, y = np.clip((low + high) / 2, 0, sides - 1).astype(int)
            part[y, x] = True
        mask |= part
    return mask, clipped


def _name(point: Sequence[float]) -> str:
    return f"({point[0]:.4g}, {point[1]:.4g})"


def _draw_runs(region: Region, height: int, width: int) -> Mask:
    if region.size != (height, width):
        raise DataError(
            f"a run-length code is for an image of {region.size[1]}x{region.size[0]}, the image is {width}x{height}. "
            "Use the image that was annotated"
        )
    if min(region.counts, default=0) < 0 or sum(region.counts) != height * width:
        raise DataError(
            f"a run-length code has {sum(region.counts)} pixels, the image {height * width}. Export it again"
        )
    values = np.arange(len(region.counts)) % 2 == 1
    return np.repeat(values, region.counts).reshape(width, height).T


def _fill_polygon(points: np.ndarray, height: int, width: int) -> Mask:
    """Fill a polygon row by row, by the even-odd rule, wherever its points lie."""
    mask = np.zeros((height, width), bool)
    x0, y0 = points.T
    x1, y1 = np.roll(points, -1, axis=0).T
    for row in range(max(0, math.ceil(y0.min() - 0.5)), min(height, math.ceil(y0.max() - 0.5))):
        y = row + 0.5
        crossing = (y0 <= y) != (y1 <= y)
        share = (y - y0[crossing]) / (y1 - y0)[crossing]
        crossings = np.sort(x0[crossing] + share * (x1 - x0)[crossing])
        columns = np.clip(np.ceil(crossings - 0.5), 0, width).astype(int)
        for first, last in zip(columns[::2], columns[1::2], strict=True):
            mask[row, first:last] = True
    return mask
