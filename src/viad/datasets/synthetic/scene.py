"""From a surface to a picture: dust, light and the camera.

This module samples the normal variation between pictures of a product; none of it is a defect.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from viad.artifacts.images import Pixels
from viad.datasets.synthetic.surface import UNITS, Array, Surface, noise, paint

AMBIENT = 0.45
SHARPNESS = 24  # exponent of the highlights
SHADOW_STEPS = (2.0, 4.0, 7.0, 11.0, 16.0)  # distances, in units, at which something may stand in the light


@dataclass(frozen=True)
class Light:
    """One lamp from the upper left, and how evenly it lights the field."""

    azimuth: float
    elevation: float
    level: float
    color: Array  # (3,)
    falloff: Array  # (2,) across and down

    @classmethod
    def sample(cls, rng: np.random.Generator) -> "Light":
        """The lamp of one picture: its place and strength vary slightly."""
        warmth = rng.normal(0, 0.012)
        return cls(
            azimuth=float(np.deg2rad(225 + rng.normal(0, 6))),
            elevation=float(np.deg2rad(54 + rng.normal(0, 2))),
            level=float(np.clip(rng.normal(1, 0.05), 0.88, 1.12)),
            color=np.array([1 + warmth, 1, 1 - warmth], np.float32),
            falloff=rng.normal(0, 0.05, 2).astype(np.float32),
        )

    def shade(self, surface: Surface) -> Array:
        """The light (H, W, 3) that reaches the camera, 0 to 255 before noise."""
        size = surface.height.shape[0]
        scale = np.float32(size / UNITS)
        across = cv2.Sobel(surface.height, cv2.CV_32F, 1, 0, ksize=3, scale=float(scale) / 8)
        down = cv2.Sobel(surface.height, cv2.CV_32F, 0, 1, ksize=3, scale=float(scale) / 8)
        steep = 1 / np.sqrt(1 + across * across + down * down)
        tilt = np.pi / 2 - self.elevation
        diffuse = self._facing(across, down, steep, tilt) / np.float32(np.cos(tilt))
        # The highlight is where the normal lies half-way between lamp and camera.
        mirror = self._facing(across, down, steep, tilt / 2) ** SHARPNESS
        lit = self._open(surface.height, scale) * self._field(size)
        matt = (AMBIENT + (1 - AMBIENT) * diffuse) * lit
        planes = surface.color * matt
        planes += surface.gloss * mirror * lit
        planes *= paint(self.color * np.float32(255))
        return cv2.GaussianBlur(cv2.merge(list(planes)), (0, 0), 0.6)  # the lens

    def _facing(self, across: Array, down: Array, steep: Array, tilt: float) -> Array:
        x, y = (np.float32(np.sin(tilt) * turn(self.azimuth)) for turn in (np.cos, np.sin))
        return np.maximum((np.float32(np.cos(tilt)) - across * x - down * y) * steep, 0)

    def _open(self, height: Array, scale: np.float32) -> Array:
        """The share of light that arrives: less in the shadow of higher things and in narrow places."""
        toward = np.array([np.cos(self.azimuth), np.sin(self.azimuth)])
        rise = np.tan(self.elevation)
        shadow = np.zeros_like(height)
        for step in SHADOW_STEPS:
            right, down = (-toward * step * scale).tolist()
            move = np.array([[1, 0, right], [0, 1, down]])
            there = cv2.warpAffine(height, move, height.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
            np.maximum(shadow, there - height - np.float32(step * rise), out=shadow)
        width = 2 * round(7 * float(scale)) + 1
        hollow = cv2.blur(height, (width, width)) - height
        shadow = cv2.GaussianBlur(np.minimum(shadow / 4, 1), (0, 0), max(0.5, 1.5 * float(scale)))
        return (1 - 0.55 * shadow) * (1 - np.clip(hollow / 24, 0, 0.5))

    def _field(self, size: int) -> Array:
        place = np.linspace(-1, 1, size, dtype=np.float32)
        x, y = place[None, :], place[:, None]
        return self.level * (1 + self.falloff[0] * x + self.falloff[1] * y) * (1 - 0.05 * (x * x + y * y))


def sample_dust(rng: np.random.Generator, size: int) -> Array:
    """Dust and hairlines (H, W), by which the colour is multiplied: every product has some, faint and no defect."""
    fine, shift, neutral = 2, 4, 128
    canvas = np.full((size * fine, size * fine), neutral, np.uint8)
    scale = size / UNITS * fine
    lines = [(_fleck(rng), rng.uniform(1.2, 2.8), 40) for _ in range(rng.poisson(6))]
    lines += [(_hairline(rng), 0.6, 20) for _ in range(rng.poisson(2))]
    for points, width, contrast in lines:
        corners = np.rint(points * scale * 2**shift).astype(np.int32)
        tone = neutral + int(rng.choice([-contrast, contrast]))
        cv2.polylines(canvas, [corners], False, tone, max(1, round(width * scale)), cv2.LINE_AA, shift)  # noqa: FBT003
    return cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA).astype(np.float32) / neutral


def _fleck(rng: np.random.Generator) -> Array:
    spot = rng.uniform(0, UNITS, 2)
    return np.stack([spot, spot + rng.normal(0, 1, 2)]).astype(np.float32)


def _hairline(rng: np.random.Generator) -> Array:
    way = np.linspace(0, rng.uniform(40, 160), 6)
    angle = rng.uniform(0, 2 * np.pi) + rng.normal(0, 0.002) * way
    line = way[:, None] * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    return (rng.uniform(0, UNITS, 2) + line).astype(np.float32)


def expose(light: Array, rng: np.random.Generator) -> Pixels:
    """The camera's picture (H, W, 3) of the light that falls into it."""
    size = light.shape[0]
    grain = rng.standard_normal((size, size, 3), dtype=np.float32) * np.float32(rng.uniform(1.6, 2.6))
    grain += noise(rng, size, 2.5)[:, :, None]  # what the sensor's colour filter blurs
    return np.clip(np.rint(light + grain), 0, 255).astype(np.uint8)
