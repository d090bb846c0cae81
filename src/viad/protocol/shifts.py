"""Distribution shifts of test images: what changes between the lab and the line.

`SEVERITIES` is the one table of strengths; docs/shifts.md is generated from it. Lengths
are shares of the image's side, so that a severity means the same at every image size.
Colours are torchvision's, filters and geometry OpenCV's, compression Pillow's.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from viad.artifacts.images import Mask, Pixels
from viad.config.numbers import check_whole_number
from viad.config.params import one_of
from viad.errors import ConfigError

# name: (what the number means, its values at severity 1 to 5)
SEVERITIES: dict[str, tuple[str, tuple[float, ...]]] = {
    "brightness": ("brightness times this, or divided by it (drawn an image)", (1.1, 1.2, 1.35, 1.5, 1.75)),
    "contrast": ("contrast times this", (0.85, 0.7, 0.55, 0.4, 0.25)),
    "gamma": ("exponent of the grey values, or its inverse (drawn an image)", (1.15, 1.3, 1.5, 1.8, 2.2)),
    "color_temperature": ("red times this and blue divided by it, or the reverse (drawn)", (1.05, 1.1, 1.15, 1.2, 1.3)),
    "defocus": ("radius of the blur disc, as a share of the side", (0.004, 0.006, 0.009, 0.013, 0.02)),
    "motion_blur": ("length of the motion, as a share of the side (direction drawn)", (0.01, 0.02, 0.03, 0.045, 0.06)),
    "noise": ("standard deviation of Gaussian sensor noise, of 255", (3, 6, 10, 15, 22)),
    "jpeg": ("JPEG quality", (70, 50, 30, 20, 10)),
    "rotation": ("degrees, to either side (drawn)", (2, 4, 7, 10, 15)),
    "translation": ("way in a drawn direction, as a share of the side", (0.01, 0.02, 0.04, 0.06, 0.1)),
    "zoom": ("magnification, or its inverse (drawn)", (1.03, 1.06, 1.1, 1.15, 1.25)),
    "illumination": ("light falls by this share across the image (direction drawn)", (0.1, 0.2, 0.3, 0.45, 0.6)),
}
GEOMETRIC = ("rotation", "translation", "zoom")

ImageMap = Callable[[Pixels], Pixels]


@dataclass(frozen=True)
class Transform:
    """One drawn shift: for the image, and for its mask where geometry moves."""

    image: ImageMap
    mask: Callable[[Mask], Mask]


@dataclass(frozen=True)
class Shift:
    """A kind of shift at one strength."""

    name: str
    strength: float

    @property
    def moves_masks(self) -> bool:
        """Whether masks move with the image."""
        return self.name in GEOMETRIC

    def draw(self, rng: np.random.Generator) -> Transform:
        """Fix what is random about the shift for one image."""
        if self.moves_masks:
            return _warp(_matrix(self.name, self.strength, rng))
        return Transform(_FILTERS[self.name](self.strength, rng), lambda mask: mask)


def shift_for(name: str, severity: int) -> Shift | None:
    """The shift of a kind and severity; None for `none`.

    Raises:
        ConfigError: an unknown kind, or a severity that is not 1 to 5.
    """
    if name == "none":
        if severity != 0:
            raise ConfigError(f"shift.severity: {severity}, but shift is none. Choose one, as -S shift=brightness.")
        return None
    one_of("shift", name, ("none", *SEVERITIES))
    strengths = SEVERITIES[name][1]
    return Shift(name, strengths[check_whole_number("shift.severity", severity, low=1, high=len(strengths)) - 1])


def _either(value: float, rng: np.random.Generator) -> float:
    return value if rng.random() < 0.5 else 1 / value


def _direction(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def _torch(change: Callable[[torch.Tensor], torch.Tensor]) -> ImageMap:
    def apply(pixels: Pixels) -> Pixels:
        # torchvision counts channels first; grey images have one.
        tensor = torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())
        return change(tensor).permute(1, 2, 0).numpy().reshape(pixels.shape)

    return apply


def _scaled(factor: Callable[[Pixels], NDArray[np.float64]]) -> ImageMap:
    def apply(pixels: Pixels) -> Pixels:
        return np.clip(np.rint(pixels * factor(pixels)), 0, 255).astype(np.uint8)

    return apply


def _brightness(strength: float, rng: np.random.Generator) -> ImageMap:
    factor = _either(strength, rng)
    return _torch(lambda image: tv.adjust_brightness(image, factor))


def _contrast(strength: float, rng: np.random.Generator) -> ImageMap:
    del rng
    # Computed on grey: torchvision wants one or three channels and keeps them.
    return _torch(lambda image: tv.adjust_contrast(image, strength))


def _gamma(strength: float, rng: np.random.Generator) -> ImageMap:
    exponent = _either(strength, rng)
    return _torch(lambda image: tv.adjust_gamma(image, exponent))


def _color_temperature(strength: float, rng: np.random.Generator) -> ImageMap:
    warm = _either(strength, rng)

    def gains(pixels: Pixels) -> NDArray[np.float64]:
        # A grey camera sees no colour; the mean gain is what is left.
        return np.array((warm + 1 + 1 / warm) / 3) if _is_grey(pixels) else np.array([warm, 1, 1 / warm])

    return _scaled(gains)


def _defocus(strength: float, rng: np.random.Generator) -> ImageMap:
    del rng

    def apply(pixels: Pixels) -> Pixels:
        return _filter(pixels, _disc(strength * pixels.shape[0]))

    return apply


def _motion_blur(strength: float, rng: np.random.Generator) -> ImageMap:
    direction = _direction(rng)

    def apply(pixels: Pixels) -> Pixels:
        return _filter(pixels, _line(strength * pixels.shape[0], direction))

    return apply


def _disc(radius: float) -> NDArray[np.float64]:
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # The rim's pixels count by how far the disc covers them.
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return kernel / kernel.sum()


def _line(length: float, direction: tuple[float, float]) -> NDArray[np.float64]:
    reach = int(np.ceil(length / 2))
    kernel = np.zeros((2 * reach + 1, 2 * reach + 1))
    steps = np.linspace(-length / 2, length / 2, 20 * reach + 1)
    for x, y in zip(steps * direction[0], steps * direction[1], strict=True):
        left, top = int(np.floor(x)), int(np.floor(y))
        for dy, wy in ((0, 1 - (y - top)), (1, y - top)):
            for dx, wx in ((0, 1 - (x - left)), (1, x - left)):
                if wx * wy > 0:
                    kernel[top + dy + reach, left + dx + reach] += wx * wy
    return kernel / kernel.sum()


def _filter(pixels: Pixels, kernel: NDArray[np.float64]) -> Pixels:
    return np.asarray(cv2.filter2D(pixels, -1, kernel, borderType=cv2.BORDER_REFLECT_101), dtype=np.uint8)


def _noise(strength: float, rng: np.random.Generator) -> ImageMap:
    seed = int(rng.integers(2**63))

    def apply(pixels: Pixels) -> Pixels:
        # Grey in three channels is one sensor: the same noise in all of them.
        grey = pixels.ndim == 3 and _is_grey(pixels)
        noise = np.random.default_rng(seed).normal(0, strength, (*pixels.shape[:2], 1) if grey else pixels.shape)
        return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)

    return apply


def _is_grey(pixels: Pixels) -> bool:
    return pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())


def _jpeg(strength: float, rng: np.random.Generator) -> ImageMap:
    del rng

    def apply(pixels: Pixels) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=int(strength))
        with Image.open(file) as image:
            return np.asarray(image)

    return apply


def _illumination(strength: float, rng: np.random.Generator) -> ImageMap:
    direction = _direction(rng)

    def ramp(pixels: Pixels) -> NDArray[np.float64]:
        height, width = pixels.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        across = (x * direction[0] + y * direction[1]) / (abs(direction[0]) + abs(direction[1]))
        light = 1 + strength / 2 * across  # brighter on one side, darker on the other, equal on average
        return light[:, :, None] if pixels.ndim == 3 else light

    return _scaled(ramp)


_FILTERS: dict[str, Callable[[float, np.random.Generator], ImageMap]] = {
    "brightness": _brightness,
    "contrast": _contrast,
    "gamma": _gamma,
    "color_temperature": _color_temperature,
    "defocus": _defocus,
    "motion_blur": _motion_blur,
    "noise": _noise,
    "jpeg": _jpeg,
    "illumination": _illumination,
}


def _matrix(name: str, strength: float, rng: np.random.Generator) -> Callable[[int, int], NDArray[np.float64]]:
    sign = 1 if rng.random() < 0.5 else -1
    direction, scale = _direction(rng), _either(strength, rng) if name == "zoom" else 1.0

    def matrix(height: int, width: int) -> NDArray[np.float64]:
        centre = ((width - 1) / 2, (height - 1) / 2)
        affine = cv2.getRotationMatrix2D(centre, sign * strength if name == "rotation" else 0.0, scale)
        if name == "translation":
            affine[:, 2] += np.array(direction) * strength * height
        return np.asarray(affine, dtype=np.float64)

    return matrix


def _warp(matrix: Callable[[int, int], NDArray[np.float64]]) -> Transform:
    """Move image and mask alike. What comes in at the border mirrors the image, and so does the mask."""

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
