"""The surface under the camera: a height, a colour and a gloss for each pixel.

Products and defects change these three, and light falls on them afterwards, so a dent, a bevel and a drilled hole get
their highlights and shadows from one place.

Lengths are in units of 1/512 of the picture's side, whatever its size in pixels. Arrays
are float32, at half the time of float64; a NumPy float64 scalar would widen them.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

UNITS = 512
Array = NDArray[np.floating]  # float32, see above
Color = tuple[float, float, float]


class Frame:
    """A window of the picture, in the coordinates of the object in it.

    `u` and `v` (h, w) are the distances of each pixel from (x, y) along axes turned by
    `angle`; `window` are the rows and columns that lie within `reach` of (x, y).
    """

    def __init__(self, size: int, x: float, y: float, reach: float, angle: float = 0.0) -> None:
        self.scale = size / UNITS
        self.window = (self._span(size, y - reach, y + reach), self._span(size, x - reach, x + reach))
        rows, columns = (
            (np.arange(span.start, span.stop, dtype=np.float32) + 0.5) / self.scale - float(middle)
            for span, middle in zip(self.window, (y, x), strict=True)
        )
        cosine, sine = np.float32(np.cos(angle)), np.float32(np.sin(angle))
        self.u: Array = columns * cosine + rows[:, None] * sine
        self.v: Array = rows[:, None] * cosine - columns * sine

    def cover(self, distance: Array) -> Array:
        """How much of each pixel (0 to 1) a shape covers, from the signed distance to its edge."""
        return np.clip(0.5 - distance * self.scale, 0, 1)

    def _span(self, size: int, low: float, high: float) -> slice:
        start, stop = (int(np.clip(np.floor(end * self.scale), 0, size)) for end in (low, high + 1 / self.scale))
        return slice(start, stop)


@dataclass
class Surface:
    """height (H, W) in units, colour (3, H, W) and gloss (H, W) from 0 to 1.

    Colour comes first here, unlike in pictures: NumPy then multiplies whole planes.
    """

    height: Array
    color: Array
    gloss: Array

    @classmethod
    def flat(cls, size: int, height: float, color: Color, gloss: float) -> "Surface":
        """A surface that is the same everywhere."""
        return cls(
            np.full((size, size), height, np.float32),
            np.repeat(paint(color), size * size).reshape(3, size, size),
            np.full((size, size), gloss, np.float32),
        )

    def copy(self) -> "Surface":
        """An independent surface of equal content."""
        return Surface(self.height.copy(), self.color.copy(), self.gloss.copy())

    def lay(
        self, frame: Frame, cover: Array, height: Array | float, color: Array | Color, gloss: Array | float
    ) -> None:
        """Put something on the surface that hides it where it covers it."""
        self.height[frame.window] += cover * (height - self.height[frame.window])
        self.gloss[frame.window] += cover * (gloss - self.gloss[frame.window])
        self.color[:, *frame.window] += cover * (paint(color) - self.color[:, *frame.window])

    def tint(self, cover: Array, factor: float | Color | Array) -> None:
        """Multiply the colour where `cover` (H, W) is 1, by one factor or one a channel or pixel."""
        self.color *= 1 + cover * (paint(factor) - 1)


def paint(color: Color | Array | float) -> Array:
    """A colour that goes with planes (3, H, W); planes and single factors stay as they are."""
    array = np.asarray(color, np.float32)
    return array[:, None, None] if array.ndim == 1 else array


def noise(rng: np.random.Generator, size: int, cell: float | tuple[float, float]) -> Array:
    """Smooth noise (size, size) of deviation about 1, with lumps of `cell` units (down, across)."""
    down, across = cell if isinstance(cell, tuple) else (cell, cell)
    coarse = rng.standard_normal((_cells(size, down), _cells(size, across)), dtype=np.float32)
    if coarse.shape == (size, size):
        return coarse
    return cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)


def stroke(size: int, points: NDArray[np.floating], width: float) -> Array:
    """The cover (size, size) of a line through `points` (K, 2), x and y in units."""
    fine, shift = 4, 4  # drawn four times as large, so that widths come in quarters of a pixel
    canvas = np.zeros((size * fine, size * fine), np.uint8)
    corners = np.rint(points * (size / UNITS * fine * 2**shift)).astype(np.int32)
    thickness = max(1, round(width * size / UNITS * fine))
    cv2.polylines(canvas, [corners], isClosed=False, color=255, thickness=thickness, lineType=cv2.LINE_AA, shift=shift)
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / 255


def _cells(size: int, cell: float) -> int:
    return int(np.clip(round(UNITS / cell), 2, size))
