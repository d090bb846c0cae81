"""Category texture: a blue and ecru cloth in twill weave (two over, two under).

It has no parts, hence no logical defects: every place looks like every other.
"""

import numpy as np

from viad.datasets.synthetic.surface import UNITS, Array, Frame, Surface, noise, paint

THREAD_PITCH = 9.0  # between threads
RELIEF = 3.2
WARP, WEFT = (0.20, 0.27, 0.40), (0.60, 0.57, 0.50)


class Cloth:
    """One piece of the cloth under the camera."""

    rules: tuple[str, ...] = ()

    def __init__(self, rng: np.random.Generator, size: int) -> None:
        middle = UNITS / 2
        frame = Frame(size, middle, middle, middle, float(np.deg2rad(rng.normal(0, 1.2))))
        shift_u, shift_v = rng.uniform(0, 4, 2).tolist()
        u = frame.u / THREAD_PITCH + shift_u + 60 + 0.16 * noise(rng, size, 70)
        v = frame.v / THREAD_PITCH + shift_v + 60 + 0.16 * noise(rng, size, 70)
        column, row = np.floor(u), np.floor(v)
        warp_on_top = (column + row) % 4 < 2
        # Where along its float of two threads the upper thread is, -1 to 1: it dives at both ends.
        along = np.where(warp_on_top, (column + v) % 4 - 1, (u + row) % 4 - 3)
        across = np.where(warp_on_top, u - column, v - row) - 0.5
        crest = np.cos(np.pi * across) * np.cos(1.25 * along)
        thread = np.where(warp_on_top, column, row + 128).astype(np.intp)
        yarn = self._yarns(rng)[thread] * (1 + 0.07 * noise(rng, size, 3) + 0.03 * noise(rng, size, 24))
        self.color: Array = np.where(warp_on_top, paint(WARP), paint(WEFT)) * (yarn * (0.55 + 0.45 * crest))
        self.height: Array = RELIEF * crest + 0.25 * noise(rng, size, 2.5)
        self.body = np.ones_like(self.height)

    def surface(self) -> Surface:
        """The cloth as it should be."""
        return Surface(self.height.copy(), self.color.copy(), np.full_like(self.height, 0.02))

    def broken(self, rule: str, rng: np.random.Generator) -> Surface:
        """There is no rule to break."""
        raise NotImplementedError(rule)

    def spot(self, rng: np.random.Generator, reach: float) -> tuple[float, float]:
        """A place for a defect of that radius: anywhere."""
        x, y = rng.uniform(reach, UNITS - reach, 2)
        return float(x), float(y)

    def _yarns(self, rng: np.random.Generator) -> Array:
        """How bright each thread is, warp from 0 and weft from 128: no two are spun alike."""
        return rng.normal(1, 0.045, 256).astype(np.float32)
