"""Category assembly: a plastic tray of three by three pockets with loose parts.

Its rules: a screw in each pocket of the upper row, a brass nut in each of the middle
row, two washers in each of the lower row. How a part lies in its pocket is free.
"""

from dataclasses import dataclass, replace

import numpy as np

from viad.datasets.synthetic.surface import UNITS, Array, Color, Frame, Surface, noise, paint

POCKET_PITCH, POCKET, CORNER = 152.0, 65.0, 16.0  # pockets: distance, half width, radius of the corners
RIM, FLOOR = 30.0, 6.0
PLASTIC, BENCH = (0.24, 0.29, 0.35), (0.52, 0.46, 0.38)
HEXAGON = ((1.0, 0.0), (0.5, 0.75**0.5), (-0.5, 0.75**0.5))  # directions across the flats
PART_KINDS = ("screw", "nut", "washer")  # by row
PART_COUNTS = (1, 1, 2)
ZINC, BRASS, WASHER_STEEL = (0.60, 0.61, 0.62), (0.66, 0.50, 0.22), (0.58, 0.59, 0.60)


@dataclass(frozen=True)
class Part:
    """A part at (x, y) in the tray's own coordinates; `pocket` is its row and column."""

    kind: str
    pocket: tuple[int, int]
    x: float
    y: float
    angle: float
    tone: float
    lift: float = 0.0


class Tray:
    """One filled tray."""

    rules: tuple[str, ...] = ("missing", "doubled", "swapped", "misplaced")

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        self.size = size
        self.x, self.y = (UNITS / 2 + rng.normal(0, 3, 2)).tolist()
        self.angle = float(np.deg2rad(np.clip(rng.normal(0, 1.0), -2.5, 2.5)))
        self.empty = self._tray(rng)
        self.body: Array = np.ones((size, size), np.float32)
        self.parts = [
            part
            for row, (kind, count) in enumerate(zip(PART_KINDS, PART_COUNTS, strict=True))
            for column in range(3)
            for part in _filled(rng, kind, (row, column), count)
        ]

    def surface(self) -> Surface:
        """The tray as it should be."""
        return self._with(self.parts)

    def broken(self, rule: str, rng: np.random.Generator) -> Surface:
        """The tray with one part, or two that changed places, against the rule."""
        parts, index = list(self.parts), int(rng.integers(len(self.parts)))
        part = parts[index]
        if rule == "missing":
            del parts[index]
        elif rule == "doubled":
            parts.append(self._beside(part.kind, part.pocket, part.tone, rng))
        elif rule == "swapped":
            other = int(rng.choice([k for k, that in enumerate(parts) if that.kind != part.kind]))
            parts[index], parts[other] = _exchanged(part, parts[other])
        else:
            row, column = part.pocket
            pocket = (row, int(rng.choice([c for c in range(3) if c != column])))
            parts[index] = self._beside(part.kind, pocket, part.tone, rng)
        return self._with(parts)

    def spot(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """A place for a defect of that radius: anywhere on the tray."""
        x, y = rng.uniform(40 + reach, UNITS - 40 - reach, 2)
        return float(x), float(y)

    def _with(self, parts: list[Part]) -> Surface:
        surface = self.empty.copy()
        cosine, sine = float(np.cos(self.angle)), float(np.sin(self.angle))
        for part in parts:
            x, y = self.x + part.x * cosine - part.y * sine, self.y + part.x * sine + part.y * cosine
            PART_RENDERERS[part.kind](surface, Frame(self.size, x, y, 56, part.angle + self.angle), part)
        return surface

    def _beside(self, kind: str, pocket: tuple[int, int], tone: float, rng: np.random.Generator) -> Part:
        """One more part in a pocket, where the others leave it most room; it may come to lie on them."""
        others = [part for part in self.parts if part.pocket == pocket]
        tries = [_loose(rng, kind, pocket, 36) for _ in range(40)]
        room = [min(np.hypot(one.x - part.x, one.y - part.y) for part in others) for one in tries]
        best = tries[int(np.argmax(room))]
        if kind == "screw":  # side by side, or they would cross
            best = replace(best, angle=others[0].angle + rng.normal(0, 0.08))
        return replace(best, tone=tone, lift=4.0)

    def _tray(self, rng: np.random.Generator) -> Surface:
        surface = Surface.flat(self.size, 0, BENCH, 0.05)
        surface.color *= 1 + 0.06 * noise(rng, self.size, (3, 120)) + 0.03 * noise(rng, self.size, 3)
        frame = Frame(self.size, self.x, self.y, UNITS, self.angle)
        outer = _box(frame.u, frame.v, 1.5 * POCKET_PITCH + 8, 22)
        nearest_u = frame.u - POCKET_PITCH * np.clip(np.rint(frame.u / POCKET_PITCH), -1, 1)
        nearest_v = frame.v - POCKET_PITCH * np.clip(np.rint(frame.v / POCKET_PITCH), -1, 1)
        depth = np.clip(-_box(nearest_u, nearest_v, POCKET, CORNER) / 7, 0, 1)
        wall = RIM - (RIM - FLOOR) * depth * depth * (3 - 2 * depth)
        height = np.minimum(wall, 10 - outer * 2.5) + 0.22 * noise(rng, self.size, 3)
        color = paint(PLASTIC) * (1 + 0.03 * noise(rng, self.size, 3) + 0.02 * noise(rng, self.size, 90))
        surface.lay(frame, frame.cover(outer), height, color, 0.10)
        return surface


def _filled(rng: np.random.Generator, kind: str, pocket: tuple[int, int], count: int) -> list[Part]:
    """The parts of one pocket, side by side."""
    if count == 1:
        return [_loose(rng, kind, pocket, 14)]
    turn, apart = rng.uniform(0, 2 * np.pi), rng.uniform(30, 33)
    first, second = (_loose(rng, kind, pocket, 3) for _ in range(2))
    x, y = apart * np.cos(turn), apart * np.sin(turn)
    return [replace(first, x=first.x + x, y=first.y + y), replace(second, x=second.x - x, y=second.y - y)]


def _loose(rng: np.random.Generator, kind: str, pocket: tuple[int, int], freedom: float) -> Part:
    row, column = pocket
    x, y = rng.uniform(-freedom, freedom, 2).tolist()
    if kind == "screw":
        x, angle = x / 3, rng.normal(0, 0.22) + float(np.pi * rng.integers(2))
    else:
        angle = rng.uniform(0, 2 * np.pi)
    return Part(kind, pocket, POCKET_PITCH * (column - 1) + x, POCKET_PITCH * (row - 1) + y, angle, rng.normal(1, 0.04))


def _exchanged(one: Part, other: Part) -> tuple[Part, Part]:
    return replace(one, x=other.x, y=other.y, pocket=other.pocket), replace(other, x=one.x, y=one.y, pocket=one.pocket)


def _box(u: Array, v: Array, half: float, corner: float) -> Array:
    """Signed distance to a square with round corners."""
    a, b = np.abs(u) - (half - corner), np.abs(v) - (half - corner)
    outside_a, outside_b = np.maximum(a, 0), np.maximum(b, 0)
    return np.sqrt(outside_a * outside_a + outside_b * outside_b) + np.minimum(np.maximum(a, b), 0) - corner


def _screw(surface: Surface, frame: Frame, part: Part) -> None:
    """A pan-head screw on its side, its head at negative u."""
    u, v, base = frame.u, frame.v, FLOOR + part.lift
    turn = (u - 0.25 * v) / 5.5
    thread = 1.6 * np.abs(2 * (turn - np.floor(turn)) - 1) * (u > -18)
    radius = np.minimum(11.5 - thread, (48 - u) * 0.9)
    shaft = np.maximum(np.abs(v) - radius, np.maximum(-32 - u, u - 48))
    round_shaft = base + 9 + np.sqrt(np.maximum(radius * radius - v * v, 0))
    surface.lay(frame, frame.cover(shaft), round_shaft, _metal(ZINC, part, 1 - thread / 6), 0.45)
    head = np.maximum(np.abs(v) - 22 + np.maximum(-40 - u, 0) * 0.9, np.maximum(-48 - u, u + 30))
    round_head = base + np.sqrt(np.maximum(22.0**2 - v * v, 0)) - np.maximum(-42 - u, 0)
    surface.lay(frame, frame.cover(head), round_head, _metal(ZINC, part, 1.0), 0.45)


def _nut(surface: Surface, frame: Frame, part: Part) -> None:
    """A hexagonal nut, flat on the floor, with chamfered corners and a bore."""
    r = np.hypot(frame.u, frame.v)
    hexagon = np.max([np.abs(frame.u * x + frame.v * y) for x, y in HEXAGON], axis=0) - 31
    top = FLOOR + part.lift + 18 - np.clip(r - 29, 0, 8) * 0.8 - np.clip(20 - r, 0, 4) * 0.9
    surface.lay(frame, frame.cover(np.maximum(hexagon, 16 - r)), top, _metal(BRASS, part, 1.0), 0.32)


def _washer(surface: Surface, frame: Frame, part: Part) -> None:
    """A flat washer with rounded edges."""
    r = np.hypot(frame.u, frame.v)
    edge = np.maximum(r - 28, 13.5 - r)
    top = FLOOR + part.lift + np.clip(-edge * 1.5, 0, 5)
    surface.lay(frame, frame.cover(edge), top, _metal(WASHER_STEEL, part, 1 + 0.03 * np.sin(r * 2.1)), 0.30)


PART_RENDERERS = {"screw": _screw, "nut": _nut, "washer": _washer}


def _metal(color: Color, part: Part, shade: Array | float) -> Array:
    return paint(color) * np.asarray(part.tone * shade, np.float32)
