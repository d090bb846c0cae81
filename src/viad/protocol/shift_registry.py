"""The registry of shifts: each is a function, decorated with its meaning and its strengths."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

import cv2
import numpy as np
from numpy.typing import NDArray

from viad.artifacts.images import Mask, Pixels

ShiftFunction = TypeVar("ShiftFunction", bound=Callable[..., Any])
ImageMap = Callable[[Pixels], Pixels]
Affine = Callable[[int, int], NDArray[np.float64]]  # from height and width to a matrix (2, 3)


@dataclass(frozen=True)
class Transform:
    """A shift with its random part fixed: for the image, and for its mask where geometry moves."""

    image: ImageMap
    mask: Callable[[Mask], Mask]


@dataclass(frozen=True)
class ShiftKind:
    """A kind of shift.

    name: of the function, and in conf/shift.
    meaning: what the numbers of `severities` measure.
    severities: the numbers at severity 1 to 5.
    sampled: whether a part of it is sampled at random for each image.
    moves_masks: whether it moves image and mask alike.
    function: from the number (and a generator, if sampled) to an `ImageMap`, or to an `Affine` if it moves masks.
    """

    name: str
    meaning: str
    severities: tuple[float, ...]
    sampled: bool
    moves_masks: bool
    function: Callable[..., Any]


@dataclass(frozen=True)
class Shift:
    """A kind of shift at one strength."""

    kind: ShiftKind
    strength: float

    def sample(self, rng: np.random.Generator) -> Transform:
        """Sample the random part of the shift for one image."""
        change = self.kind.function(*((self.strength, rng) if self.kind.sampled else (self.strength,)))
        return _make_warp(change) if self.kind.moves_masks else Transform(change, lambda mask: mask)


SHIFTS: dict[str, ShiftKind] = {}  # by name, in the order of docs/shifts.md


def shift(
    meaning: str, *, severities: tuple[float, float, float, float, float], sampled: bool, moves_masks: bool = False
) -> Callable[[ShiftFunction], ShiftFunction]:
    """Register the decorated function as a shift of its name; the arguments are those of `ShiftKind`."""

    def register(function: ShiftFunction) -> ShiftFunction:
        name = function.__name__
        SHIFTS[name] = ShiftKind(name, meaning, severities, sampled, moves_masks, function)
        return function

    return register


def _make_warp(matrix: Affine) -> Transform:
    """Move image and mask alike. Mirrored pixels of image and mask fill the border."""

    def move(array: NDArray[np.uint8], interpolation: int) -> NDArray[np.uint8]:
        height, width = array.shape[:2]
        moved = cv2.warpAffine(
            array, matrix(height, width), (width, height), flags=interpolation, borderMode=cv2.BORDER_REFLECT_101
        )
        return np.asarray(moved, dtype=np.uint8)

    return Transform(
        lambda pixels: move(np.ascontiguousarray(pixels), cv2.INTER_LINEAR),
        lambda mask: move(mask.astype(np.uint8), cv2.INTER_NEAREST).astype(bool),
    )
