"""Distribution shifts of test images: changes between the lab and the production line.

A shift is a decorated function and its yaml in conf/shift; docs/shifts.md is generated from them. A shift that moves
the image (`moves_masks`: rotation, translation, zoom) moves its mask alike, so that the mask still covers the defect;
any other shift leaves the mask as it is. Lengths are shares of the image's side, so that a severity means the same at
every image size. Colours are changed by torchvision, filters and geometry are OpenCV's, compression is Pillow's.
"""

import io
from collections.abc import Callable

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torchvision.transforms.v2 import functional as tv

from viad.artifacts.images import Pixels
from viad.config.numbers import check_whole_number
from viad.config.params import one_of
from viad.errors import ConfigError
from viad.protocol.shift_registry import SHIFTS, Affine, ImageMap, Shift, shift


def find_shift(name: str, severity: int) -> Shift | None:
    """Find the shift of a kind and severity; None for `none`.

    Raises:
        ConfigError: an unknown kind, or a severity outside 1 to 5.
    """
    if name == "none":
        if severity != 0:
            raise ConfigError(f"shift.severity: {severity}, but shift is none. Choose one, as -S shift=brightness.")
        return None
    one_of("shift", name, ("none", *SHIFTS))
    kind = SHIFTS[name]
    number = check_whole_number("shift.severity", severity, low=1, high=len(kind.severities))
    return Shift(kind, kind.severities[number - 1])


@shift("brightness times this, or divided by it", severities=(1.1, 1.2, 1.35, 1.5, 1.75), sampled=True)
def brightness(strength: float, rng: np.random.Generator) -> ImageMap:
    """Make the image brighter or darker, as torchvision does."""
    factor = _sample_or_invert(strength, rng)
    return _apply_torch(lambda image: tv.adjust_brightness(image, factor))


@shift("contrast times this", severities=(0.85, 0.7, 0.55, 0.4, 0.25), sampled=False)
def contrast(strength: float) -> ImageMap:
    """Move all values closer to the mean grey."""
    # torchvision accepts one or three channels and computes the mean on grey.
    return _apply_torch(lambda image: tv.adjust_contrast(image, strength))


@shift("exponent of the grey values, or its inverse", severities=(1.15, 1.3, 1.5, 1.8, 2.2), sampled=True)
def gamma(strength: float, rng: np.random.Generator) -> ImageMap:
    """Change the exposure curve."""
    exponent = _sample_or_invert(strength, rng)
    return _apply_torch(lambda image: tv.adjust_gamma(image, exponent))


@shift("red times this and blue divided by it, or the reverse", severities=(1.05, 1.1, 1.15, 1.2, 1.3), sampled=True)
def color_temperature(strength: float, rng: np.random.Generator) -> ImageMap:
    """Make the light warmer or colder."""
    warm = _sample_or_invert(strength, rng)

    def gains(pixels: Pixels) -> NDArray[np.float64]:
        # A grey camera sees no colour, only the mean gain.
        return np.array((warm + 1 + 1 / warm) / 3) if _is_grey(pixels) else np.array([warm, 1, 1 / warm])

    return _scale_values(gains)


@shift("radius of the blur disc, as a share of the side", severities=(0.004, 0.006, 0.009, 0.013, 0.02), sampled=False)
def defocus(strength: float) -> ImageMap:
    """Blur the image with a disc, as a lens out of focus does."""

    def apply(pixels: Pixels) -> Pixels:
        return _filter(pixels, _make_disc(strength * pixels.shape[0]))

    return apply


@shift(
    "length of the motion in a sampled direction, as a share of the side",
    severities=(0.01, 0.02, 0.03, 0.045, 0.06),
    sampled=True,
)
def motion_blur(strength: float, rng: np.random.Generator) -> ImageMap:
    """Blur the image along a line, as a part that moves during the exposure."""
    direction = _sample_direction(rng)

    def apply(pixels: Pixels) -> Pixels:
        return _filter(pixels, _make_line(strength * pixels.shape[0], direction))

    return apply


@shift("standard deviation of Gaussian sensor noise, of 255", severities=(3, 6, 10, 15, 22), sampled=True)
def noise(strength: float, rng: np.random.Generator) -> ImageMap:
    """Add noise of the sensor."""
    seed = int(rng.integers(2**63))

    def apply(pixels: Pixels) -> Pixels:
        # Three equal grey channels come from one sensor, so all get the same noise.
        grey = pixels.ndim == 3 and _is_grey(pixels)
        noise = np.random.default_rng(seed).normal(0, strength, (*pixels.shape[:2], 1) if grey else pixels.shape)
        return np.clip(np.rint(pixels + noise), 0, 255).astype(np.uint8)

    return apply


@shift("JPEG quality", severities=(70, 50, 30, 20, 10), sampled=False)
def jpeg(strength: float) -> ImageMap:
    """Compress the image as JPEG."""

    def apply(pixels: Pixels) -> Pixels:
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, format="JPEG", quality=int(strength))
        with Image.open(file) as image:
            return np.asarray(image)

    return apply


@shift("degrees, to either side", severities=(2, 4, 7, 10, 15), sampled=True, moves_masks=True)
def rotation(strength: float, rng: np.random.Generator) -> Affine:
    """Turn the part about the centre of the image."""
    sign, _ = _sample_sign_and_direction(rng)
    return lambda height, width: _make_affine(height, width, degrees=sign * strength)


@shift(
    "way in a sampled direction, as a share of the side",
    severities=(0.01, 0.02, 0.04, 0.06, 0.1),
    sampled=True,
    moves_masks=True,
)
def translation(strength: float, rng: np.random.Generator) -> Affine:
    """Move the part."""
    _, direction = _sample_sign_and_direction(rng)

    def matrix(height: int, width: int) -> NDArray[np.float64]:
        affine = _make_affine(height, width)
        affine[:, 2] += np.array(direction) * strength * height
        return affine

    return matrix


@shift("magnification, or its inverse", severities=(1.03, 1.06, 1.1, 1.15, 1.25), sampled=True, moves_masks=True)
def zoom(strength: float, rng: np.random.Generator) -> Affine:
    """Bring the part nearer, or move it further away."""
    _sample_sign_and_direction(rng)
    scale = _sample_or_invert(strength, rng)
    return lambda height, width: _make_affine(height, width, scale=scale)


@shift(
    "light falls by this share across the image, in a sampled direction",
    severities=(0.1, 0.2, 0.3, 0.45, 0.6),
    sampled=True,
)
def illumination(strength: float, rng: np.random.Generator) -> ImageMap:
    """Light the part from one side."""
    direction = _sample_direction(rng)

    def ramp(pixels: Pixels) -> NDArray[np.float64]:
        height, width = pixels.shape[:2]
        y, x = np.mgrid[-1 : 1 : height * 1j, -1 : 1 : width * 1j]
        across = (x * direction[0] + y * direction[1]) / (abs(direction[0]) + abs(direction[1]))
        light = 1 + strength / 2 * across  # brighter on one side, darker on the other, equal on average
        return light[:, :, None] if pixels.ndim == 3 else light

    return _scale_values(ramp)


def _sample_or_invert(value: float, rng: np.random.Generator) -> float:
    return value if rng.random() < 0.5 else 1 / value


def _sample_direction(rng: np.random.Generator) -> tuple[float, float]:
    angle = rng.uniform(0, 2 * np.pi)
    return float(np.cos(angle)), float(np.sin(angle))


def _apply_torch(change: Callable[[torch.Tensor], torch.Tensor]) -> ImageMap:
    def apply(pixels: Pixels) -> Pixels:
        # torchvision counts channels first; grey images have one.
        tensor = torch.from_numpy(np.atleast_3d(pixels).transpose(2, 0, 1).copy())
        return change(tensor).permute(1, 2, 0).numpy().reshape(pixels.shape)

    return apply


def _scale_values(factor: Callable[[Pixels], NDArray[np.float64]]) -> ImageMap:
    def apply(pixels: Pixels) -> Pixels:
        return np.clip(np.rint(pixels * factor(pixels)), 0, 255).astype(np.uint8)

    return apply


def _is_grey(pixels: Pixels) -> bool:
    return pixels.ndim == 2 or bool((pixels == pixels[:, :, :1]).all())


def _make_disc(radius: float) -> NDArray[np.float64]:
    reach = int(np.ceil(radius))
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    # A pixel on the rim counts by the share of it that the disc covers.
    kernel = np.clip(radius + 0.5 - np.hypot(x, y), 0, 1)
    return kernel / kernel.sum()


def _make_line(length: float, direction: tuple[float, float]) -> NDArray[np.float64]:
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


def _sample_sign_and_direction(rng: np.random.Generator) -> tuple[int, tuple[float, float]]:
    """Sample both, whichever a geometric shift uses, so that shifted test sets of earlier results stay as they are."""
    sign = 1 if rng.random() < 0.5 else -1
    return sign, _sample_direction(rng)


def _make_affine(height: int, width: int, degrees: float = 0.0, scale: float = 1.0) -> NDArray[np.float64]:
    centre = ((width - 1) / 2, (height - 1) / 2)
    return np.asarray(cv2.getRotationMatrix2D(centre, degrees, scale), dtype=np.float64)
