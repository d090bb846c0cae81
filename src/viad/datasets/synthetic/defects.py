"""Damage and foreign bodies on a surface, at random places and in exact sizes.

A kind has several appearances; the index of an image selects one, so that a few images show them all.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from viad.datasets.synthetic.surface import UNITS, Array, Color, Frame, Surface, noise, stroke

Spot = Callable[[np.random.Generator, float], tuple[float, float]]


@dataclass(frozen=True)
class Ground:
    """The place of a defect: on the product's `body` (H, W, 0 to 1), at a position that `spot` samples."""

    surface: Surface
    body: Array
    spot: Spot
    rng: np.random.Generator
    grow: float  # a factor on the size, used after an attempt that was too small or too large

    @property
    def size(self) -> int:
        """The picture's side in pixels."""
        return self.body.shape[0]


def _blob(ground: Ground, radius: float, ragged: float) -> tuple[Array, Array]:
    """A lump of about that radius: its cover (H, W), and its signed distance in units, below 0 inside."""
    x, y = ground.spot(ground.rng, radius)
    frame = Frame(ground.size, x, y, UNITS, ground.rng.uniform(0, np.pi))
    stretch = ground.rng.uniform(1, 1.35)
    distance = np.hypot(frame.u / stretch, frame.v * stretch) - radius
    for part in (1, 3):
        distance += ragged / part * radius * noise(ground.rng, ground.size, max(radius * 0.8 / part, 3))
    return frame.cover(distance) * ground.body, distance


def _curve(ground: Ground, x: float, y: float, length: float, wander: float) -> NDArray[np.float64]:
    """Points (K, 2) of a smooth line about (x, y) whose direction turns to and fro by some `wander` radians."""
    rng, way = ground.rng, np.linspace(0, np.pi, 48)
    angle = rng.uniform(0, 2 * np.pi) + sum(
        wander / wave * rng.normal() * np.sin(wave * way + rng.uniform(0, 2 * np.pi)) for wave in (1, 2, 3)
    )
    points = np.cumsum(np.stack([np.cos(angle), np.sin(angle)], axis=1) * length / len(way), axis=0)
    return points - points.mean(axis=0) + (x, y)


def _fleck(ground: Ground) -> None:
    """A spot of dirt or rust."""
    cover, _ = _blob(ground, ground.rng.uniform(2.5, 6) * ground.grow, 0.1)
    rust: Color = (0.62, 0.36, 0.20)
    soot: Color = (0.22, 0.22, 0.24)
    ground.surface.tint(cover, rust if ground.rng.random() < 0.5 else soot)


def _pit(ground: Ground) -> None:
    """A dent, or a pimple, of some pixels."""
    radius = ground.rng.uniform(3, 6.5) * ground.grow
    cover, distance = _blob(ground, radius, 0.08)
    bowl = cover * np.clip(-distance / radius, 0, 1) ** 0.7
    ground.surface.height += bowl * radius * ground.rng.choice([-1.5, 1.2])
    ground.surface.tint(cover, 0.72)


def _nick(ground: Ground) -> None:
    """A short deep scratch."""
    length, width = ground.rng.uniform(9, 18) * ground.grow, ground.rng.uniform(1.6, 2.8)
    x, y = ground.spot(ground.rng, length / 2)
    line = _curve(ground, x, y, length, 0.2)
    cover = stroke(ground.size, line, width) * ground.body
    ground.surface.height -= 2 * cover
    ground.surface.tint(cover, ground.rng.choice([0.40, 1.7]))


def _stain(ground: Ground) -> None:
    """A spilt liquid, dry: darker where it stood, darkest at its rim."""
    cover, distance = _blob(ground, ground.rng.uniform(64, 84) * ground.grow, 0.16)
    rim = np.exp(-((distance / 5) ** 2))
    depth = cover * (0.60 + 0.2 * rim + 0.06 * noise(ground.rng, ground.size, 14))
    tones: tuple[Color, ...] = ((0.62, 0.45, 0.25), (0.30, 0.29, 0.30))
    ground.surface.tint(depth, tones[ground.rng.integers(2)])
    ground.surface.gloss *= 1 - 0.6 * cover


def _scuff(ground: Ground) -> None:
    """A worn patch: rough, pale and crossed by scratches of one direction."""
    cover, _ = _blob(ground, ground.rng.uniform(66, 88) * ground.grow, 0.14)
    worn = noise(ground.rng, ground.size, (2, 36) if ground.rng.random() < 0.5 else (36, 2))
    ground.surface.height += cover * (0.5 * worn - 1)
    ground.surface.tint(cover, 1.30 + 0.15 * worn)
    ground.surface.gloss *= 1 - 0.7 * cover


def _gash(ground: Ground) -> None:
    """A long open tear with ragged, raised edges."""
    rng, half = ground.rng, ground.rng.uniform(19, 25) * ground.grow
    x, y = ground.spot(rng, 70)
    frame = Frame(ground.size, x, y, UNITS, rng.uniform(0, np.pi))
    bow = 12 * noise(rng, ground.size, 120) + 1.6 * noise(rng, ground.size, 10)
    # A lens: widest in the middle, closed at both ends.
    distance = np.abs(frame.v + bow) - half * (1 - (frame.u / (150 * ground.grow)) ** 2)
    cover = frame.cover(distance) * ground.body
    lip = np.exp(-((distance / 5) ** 2)) * ground.body
    ground.surface.height += 2 * lip - 14 * cover * np.clip(-distance / 12, 0, 1)
    ground.surface.tint(cover, 0.34 + 0.08 * noise(rng, ground.size, 5))


def _fibre(ground: Ground) -> None:
    """A thread or hair that fell on the product."""
    rng, tones = ground.rng, ((0.62, 0.10, 0.10), (0.85, 0.85, 0.80), (0.06, 0.06, 0.07), (0.12, 0.42, 0.20))
    x, y = ground.spot(rng, 30)
    line = _curve(ground, x, y, rng.uniform(130, 280) * ground.grow, 1.6)
    _lay_on(ground, stroke(ground.size, line, rng.uniform(2.2, 4)), 4.0, tones[rng.integers(4)], 0.05)


def _chip(ground: Ground) -> None:
    """A splinter: straight edges, and a facet that is flat."""
    rng, radius = ground.rng, ground.rng.uniform(9, 18) * ground.grow
    x, y = ground.spot(rng, radius)
    frame = Frame(ground.size, x, y, UNITS)
    # Three half planes; spread round the circle, or they would enclose no triangle.
    sides = (rng.uniform(0, 2 * np.pi) + np.arange(3) * 2.1 + rng.normal(0, 0.2, 3)).tolist()
    edges = [frame.u * np.cos(a) + frame.v * np.sin(a) - radius * rng.uniform(0.3, 0.9) for a in sides]
    distance = np.maximum.reduce(edges)
    tones = ((0.80, 0.80, 0.82), (0.75, 0.30, 0.08), (0.10, 0.25, 0.55))
    _lay_on(ground, frame.cover(distance), 3 + np.clip(-distance, 0, 4) + 0.2 * frame.u, tones[rng.integers(3)], 0.3)


def _drop(ground: Ground) -> None:
    """A drop of glue or wax: a glossy dome."""
    radius = ground.rng.uniform(11, 24) * ground.grow
    cover, distance = _blob(ground, radius, 0.10)
    dome = 0.6 * radius * np.sqrt(np.clip(-distance / radius, 0, 1))
    tones = ((0.72, 0.62, 0.36), (0.78, 0.78, 0.74), (0.30, 0.12, 0.10))
    _lay_on(ground, cover, dome, tones[ground.rng.integers(3)], 0.55)


def _lay_on(ground: Ground, cover: Array, height: Array | float, color: Color, gloss: float) -> None:
    surface = ground.surface
    whole = Frame(ground.size, UNITS / 2, UNITS / 2, UNITS)
    surface.lay(whole, cover, surface.height + height, color, gloss)


LOOKS: dict[str, tuple[Callable[[Ground], None], ...]] = {
    "small": (_fleck, _pit, _nick),
    "large": (_stain, _scuff, _gash),
    "foreign": (_fibre, _chip, _drop),
}
