"""Category object: a turned steel flange on a rubber conveyor.

Its rule: six bolt holes on one circle, wide and narrow in turn, the first wide one
opposite the keyway.
"""

from dataclasses import dataclass, replace

import numpy as np

from viad.datasets.synthetic.surface import UNITS, Array, Frame, Surface, noise, paint

FLANGE_RADIUS, BORE, HUB, CIRCLE = 214.0, 46.0, 84.0, 144.0
THICKNESS, KEY = 16.0, 11.0
BELT, TURNED_STEEL = (0.15, 0.17, 0.16), (0.50, 0.51, 0.53)


@dataclass(frozen=True)
class Hole:
    """A bolt hole at `angle` on the circle of that radius."""

    angle: float
    wide: bool
    circle: float = CIRCLE

    @property
    def radius(self) -> float:
        """Of the bore; the countersink is wider."""
        return 21.0 if self.wide else 12.0


HOLES = tuple(Hole(angle=np.deg2rad(60 * index - 90), wide=index % 2 == 0) for index in range(6))


class Flange:
    """One flange on the belt."""

    rules: tuple[str, ...] = ("missing", "doubled", "swapped", "misplaced")

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        self.x, self.y = (UNITS / 2 + rng.normal(0, 4, 2)).tolist()
        self.angle = float(np.deg2rad(np.clip(rng.normal(0, 2.5), -6, 6)))
        self.frame = Frame(size, self.x, self.y, UNITS, self.angle)
        self.distance = np.hypot(self.frame.u, self.frame.v)
        keyway = np.maximum(np.abs(self.frame.u) - KEY, np.abs(self.frame.v - BORE) - KEY)
        bore = np.minimum(self.distance - BORE, keyway)
        self.body: Array = self.frame.cover(np.maximum(self.distance - FLANGE_RADIUS, -bore))
        self.belt = self._belt(rng)
        self.blank = self.belt.copy()
        self.blank.lay(self.frame, self.body, self._profile(), self._turned(rng), 0.30)

    def surface(self) -> Surface:
        """The flange as it should be."""
        return self._drilled(HOLES)

    def broken(self, rule: str, rng: np.random.Generator) -> Surface:
        """The flange with one hole against the rule."""
        index = int(rng.integers(6))
        hole, holes = HOLES[index], list(HOLES)
        if rule == "missing":
            del holes[index]
        elif rule == "doubled":
            holes.append(replace(hole, angle=hole.angle + np.deg2rad(30)))
        elif rule == "swapped":
            other = (index + 1) % 6
            holes[index], holes[other] = replace(hole, wide=not hole.wide), replace(HOLES[other], wide=hole.wide)
        else:
            turn = np.deg2rad(rng.choice([-1, 1]) * rng.uniform(14, 24))
            holes[index] = replace(hole, angle=hole.angle + turn)
        return self._drilled(holes)

    def spot(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """A place on the steel for a defect of that radius, clear of holes where it can be."""
        for _ in range(100):
            radius, angle = (
                rng.uniform(BORE + reach, max(FLANGE_RADIUS - reach, BORE + reach + 1)),
                rng.uniform(0, 2 * np.pi),
            )
            u, v = radius * np.cos(angle), radius * np.sin(angle)
            gaps = [np.hypot(u - x, v - y) - hole.radius - 6 for hole in HOLES for x, y in [_place(hole)]]
            if min(gaps) > min(reach, 16):
                break
        return self._picture(u, v)

    def _drilled(self, holes: list[Hole] | tuple[Hole, ...]) -> Surface:
        surface = self.blank.copy()
        for hole in holes:
            x, y = self._picture(*_place(hole))
            frame = Frame(self.size, x, y, hole.radius + 8)
            distance = np.hypot(frame.u, frame.v) - hole.radius
            # The countersink is bare, bright steel; through the hole one sees the belt.
            sink = np.clip(THICKNESS - (5 - distance) * 0.9, 0, THICKNESS)
            surface.lay(frame, frame.cover(distance - 5), sink, (0.58, 0.59, 0.61), 0.35)
            depth, dark = self.belt.height[frame.window], self.belt.color[:, *frame.window] * np.float32(0.6)
            surface.lay(frame, frame.cover(distance), depth, dark, 0.0)
        return surface

    def _picture(self, u: float, v: float) -> tuple[float, float]:
        cosine, sine = np.cos(self.angle), np.sin(self.angle)
        return float(self.x + u * cosine - v * sine), float(self.y + u * sine + v * cosine)

    def _belt(self, rng: np.random.Generator) -> Surface:
        """Rubber with shallow ribs across its way, which is never quite level."""
        belt = Surface.flat(self.size, 0, BELT, 0.02)
        frame = Frame(self.size, 0, rng.uniform(0, 32), 2 * UNITS, np.deg2rad(rng.normal(0, 0.7)))
        belt.height += 2.2 * np.clip(3 * np.cos(2 * np.pi * frame.v / 32), -1, 1) + 0.5 * noise(rng, self.size, 3)
        belt.color *= 1 + 0.10 * noise(rng, self.size, 2.5) + 0.06 * noise(rng, self.size, 60)
        return belt

    def _profile(self) -> Array:
        """The height along the radius: bevelled edges, a raised hub, one groove."""
        r = self.distance
        face = np.minimum(THICKNESS, 4 + (FLANGE_RADIUS - r) * 1.4)
        hub = np.clip((HUB - r) * 1.2, 0, 8) + np.clip((r - BORE - 7) * 0.9, -6, 0)
        groove = 3.5 * np.clip(3.5 - np.abs(r - 184), 0, 2)
        return face + hub - groove

    def _turned(self, rng: np.random.Generator) -> Array:
        """The colour (3, H, W) of turned steel: rings of the tool, and the fan of light that they throw."""
        rings = 1 + 0.05 * rng.standard_normal(UNITS) + 0.03 * np.repeat(rng.standard_normal(UNITS // 8), 8)
        ring = np.interp(self.distance, np.arange(UNITS) * 0.9, rings).astype(np.float32)
        toward = np.deg2rad(45 + rng.normal(0, 8))
        x, y = float(np.cos(toward)), float(np.sin(toward))
        along = ((self.frame.u * x + self.frame.v * y) / np.maximum(self.distance, 1)) ** 2
        fan = 0.86 + 0.42 * along * along + 0.22 * (1 - along) * (1 - along)
        tone = ring * fan * (1 + 0.02 * noise(rng, self.size, 4))
        return paint(TURNED_STEEL) * tone


def _place(hole: Hole) -> tuple[float, float]:
    return float(hole.circle * np.cos(hole.angle)), float(hole.circle * np.sin(hole.angle))
