"""Textures to draw from: a folder of images, or a fixed set that this module renders.

DRAEM and GLASS take their textures from DTD (Cimpoi et al., "Describing Textures in the Wild", CVPR
2014), EfficientAd its penalty images from ImageNet. Those archives are never downloaded here: name a
folder that holds one, or go without it and get the textures rendered by this module.
"""

import math
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torchvision.transforms.v2 import functional as T  # noqa: N812

from viad.errors import ConfigError
from viad.seeds import generator

Array = NDArray[np.float32]

COUNT = 200  # of the synthetic textures
TEXTURE_SUFFIXES = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}
AUGMENTATIONS_AT_ONCE = 3


class Textures:
    """Textures of one size to draw from, with torch's global generator.

    Args:
        folder: images, in any depth of sub-folders; None for synthetic textures.
        size: (height, width) in pixels.
        zoom: images of the folder are resized to this many times the size, and the middle is cut out.

    Raises:
        ConfigError: the folder does not exist or holds no image.
    """

    def __init__(self, folder: str | None, size: tuple[int, int], *, zoom: int = 1) -> None:
        self.size, self.zoom = size, zoom
        self.files: list[Path] = []
        self._drawn: dict[int, Tensor] = {}  # only as many as are asked for
        if folder is None:
            return
        place = Path(folder).expanduser()
        self.files = sorted(path for path in place.rglob("*") if path.suffix.lower() in TEXTURE_SUFFIXES)
        if not self.files:
            raise ConfigError(
                f"{place} holds no images. Put textures there (such as DTD's folder `images`), or use "
                "synthetic textures by setting the model's argument to null."
            )

    def __len__(self) -> int:
        return len(self.files) or COUNT

    def draw(self) -> Tensor:
        """One texture at random, (3, height, width) float32 in [0, 1]."""
        index = int(torch.randint(len(self), ()))
        height, width = self.size
        if not self.files:
            if index not in self._drawn:
                self._drawn[index] = procedural_texture(index, height, width)
            return self._drawn[index].float() / 255
        with Image.open(self.files[index]) as file:
            pixels = T.pil_to_tensor(file.convert("RGB")).float() / 255
        zoomed = T.resize(pixels, [height * self.zoom, width * self.zoom], antialias=True)
        return T.center_crop(zoomed, [height, width]).clamp(0, 1)


def augmented(texture: Tensor) -> Tensor:
    """A texture (3, H, W) in [0, 1] after three different augmentations at random; those of DRAEM's paper and code."""
    for i in torch.randperm(len(AUGMENTATIONS))[:AUGMENTATIONS_AT_ONCE].tolist():
        texture = AUGMENTATIONS[i](texture).clamp(0, 1)
    return texture


def _uniform(low: float, high: float) -> float:
    return low + (high - low) * float(torch.rand(()))


def _color(texture: Tensor) -> Tensor:
    """Another hue, by exchanging channels, and saturation."""
    return T.adjust_saturation(texture[torch.randperm(3)], _uniform(0.5, 1.5))


AUGMENTATIONS: tuple[Callable[[Tensor], Tensor], ...] = (
    lambda t: t ** (2 ** (2 * torch.rand(3, 1, 1) - 1)),  # gamma, a channel
    lambda t: t * _uniform(0.8, 1.2) + _uniform(-0.12, 0.12),
    lambda t: T.adjust_sharpness(t, 2.0),
    _color,
    lambda t: T.solarize(t, _uniform(32 / 255, 128 / 255)),
    lambda t: T.posterize(t, 4),
    lambda t: 1 - t,
    T.autocontrast,
    T.equalize,
    lambda t: T.rotate(t, _uniform(-45, 45), interpolation=T.InterpolationMode.BILINEAR),
)


def procedural_texture(index: int, height: int, width: int) -> Tensor:
    """A synthetic texture, (3, height, width) uint8; the same one every time."""
    rng = generator(0, "texture", index)
    field = (_stripes, _checks, _noise, _cells, _blobs)[index % 5](rng, height, width)
    color = _painted(rng, field)
    color += _uniform_in(rng, 0, 0.12) * rng.standard_normal((1, height, width), dtype=np.float32)
    return torch.from_numpy((255 * color.clip(0, 1)).round().astype(np.uint8))


def _painted(rng: np.random.Generator, field: Array) -> Array:
    """Colours (3, H, W) for the values (H, W), 0 to 1, or for three fields (3, H, W) of them."""
    stops = np.sort(rng.random(int(rng.integers(0, 4))))
    places = np.concatenate([[0], stops, [1]])
    # Random greys with a random share of colour: few materials are as gaudy as random colours are.
    shades = np.linspace(0, 1, len(places)) if rng.random() < 0.5 else rng.random(len(places))
    palette = shades[:, None] + rng.uniform(0, 0.5) * rng.standard_normal((len(places), 3))
    planes = field if field.ndim == 3 else np.stack([field] * 3)
    return np.stack([np.interp(p, places, palette[:, c]) for c, p in enumerate(planes)]).astype(np.float32)


def _stripes(rng: np.random.Generator, height: int, width: int) -> Array:
    u, _ = _axes(rng, height, width)
    return _wave(rng, u * _frequency(rng))


def _checks(rng: np.random.Generator, height: int, width: int) -> Array:
    u, v = _axes(rng, height, width)
    frequency = _frequency(rng)
    a, b = _wave(rng, u * frequency), _wave(rng, v * frequency * _uniform_in(rng, 0.5, 2))
    return np.abs(a - b) if rng.random() < 0.5 else a * b


def _noise(rng: np.random.Generator, height: int, width: int) -> Array:
    """Several octaves, each channel its own or all alike."""
    planes = [_lumps(rng, height, width) for _ in range(3 if rng.random() < 0.5 else 1)]
    return np.stack(planes * (3 // len(planes)))


def _cells(rng: np.random.Generator, height: int, width: int) -> Array:
    """Voronoi cells, each of a shade, with joints or domes."""
    nearest, second, shade = _voronoi(rng, height, width, 2 * _frequency(rng))
    joint = ((second - nearest) / _uniform_in(rng, 0.05, 0.6)).clip(0, 1)
    return _stretched(shade * joint if rng.random() < 0.5 else shade + nearest)


def _blobs(rng: np.random.Generator, height: int, width: int) -> Array:
    """Spots on a ground: round ones, or lumps of noise cut off at a level."""
    if rng.random() < 0.5:
        nearest, _, shade = _voronoi(rng, height, width, 2 * _frequency(rng))
        spots = ((_uniform_in(rng, 0.25, 0.5) - nearest) / 0.1).clip(0, 1)
        return spots * (0.3 + 0.7 * shade)
    lumps = _lumps(rng, height, width)
    level = np.quantile(lumps, rng.uniform(0.3, 0.8))
    return ((lumps - level) / _uniform_in(rng, 0.02, 0.2) + 0.5).clip(0, 1)


def _axes(rng: np.random.Generator, height: int, width: int) -> tuple[Array, Array]:
    """Turned coordinates (H, W) in units of the image's height, more or less bent."""
    y, x = np.mgrid[:height, :width].astype(np.float32) / height
    angle, bend = _uniform_in(rng, 0, math.pi), _uniform_in(rng, 0, 0.1)
    x, y = (axis + bend * (_lumps(rng, height, width) - 0.5) for axis in (x, y))
    return x * math.cos(angle) + y * math.sin(angle), y * math.cos(angle) - x * math.sin(angle)


def _frequency(rng: np.random.Generator) -> float:
    """Periods along the image's height."""
    return float(np.exp(rng.uniform(np.log(3), np.log(30))))


def _wave(rng: np.random.Generator, phase: Array) -> Array:
    """A periodic profile of 0 to 1: sine, saw or step."""
    part = phase - np.floor(phase)
    kind = rng.integers(3)
    if kind == 0:
        return (0.5 + 0.5 * np.sin(2 * np.pi * part)).astype(np.float32)
    return part if kind == 1 else (part < rng.uniform(0.2, 0.8)).astype(np.float32)


def _lumps(rng: np.random.Generator, height: int, width: int) -> Array:
    """Noise of several octaves, 0 to 1."""
    total, cells, weight = np.zeros((height, width), np.float32), rng.uniform(2, 8), 1.0
    lasting = rng.uniform(0.3, 0.9)
    across = rng.choice([0.2, 1, 1, 5])  # the same in both directions, or drawn out like grain
    while cells < min(height, width) / 2 and weight > 0.05:
        shape = (max(2, round(cells)), int(np.clip(round(cells * across), 2, width)))
        coarse = rng.standard_normal(shape, dtype=np.float32)
        total += weight * cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
        cells, weight = 2 * cells, weight * lasting
    return _stretched(total)


def _voronoi(rng: np.random.Generator, height: int, width: int, cells: float) -> tuple[Array, Array, Array]:
    """Distances to the nearest and second nearest seed in widths of a cell, and a shade for the nearest; all (H, W)."""
    y, x = np.mgrid[:height, :width].astype(np.float32) * (cells / height)
    rows, columns = int(y.max()) + 3, int(x.max()) + 3
    jitter, shades = rng.random((2, rows, columns), dtype=np.float32), rng.random((rows, columns), dtype=np.float32)
    row, column = y.astype(np.intp), x.astype(np.intp)
    nearest, second = (np.full((height, width), np.inf, np.float32) for _ in range(2))
    shade = np.zeros_like(nearest)
    for down in (0, 1, 2):  # one seed a cell of a grid with a margin of one: only neighbours can be nearest
        for across in (0, 1, 2):
            place = row + down, column + across
            distance = np.hypot(row + down - 1 + jitter[0][place] - y, column + across - 1 + jitter[1][place] - x)
            second = np.minimum(second, np.maximum(nearest, distance))
            shade = np.where(distance < nearest, shades[place], shade)
            nearest = np.minimum(nearest, distance)
    return nearest.astype(np.float32), second.astype(np.float32), shade


def _stretched(field: Array) -> Array:
    low, high = field.min(), field.max()
    return ((field - low) / max(high - low, 1e-6)).astype(np.float32)


def _uniform_in(rng: np.random.Generator, low: float, high: float) -> np.float32:
    return np.float32(rng.uniform(low, high))  # a float64 would widen the arrays
