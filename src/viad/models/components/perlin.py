"""Perlin's gradient noise, and masks of it (Zavrtanik et al., "DRAEM", ICCV 2021).

The noise is computed at turned coordinates, where the authors turn its picture and leave the corners empty.
"""

import math

import torch
from torch import Tensor

THRESHOLD = 0.5  # of the Perlin noise
OCTAVES = 6  # cells of the noise along each side: 2^0 to 2^5


def perlin_mask(height: int, width: int) -> Tensor:
    """Where Perlin noise of random cells and direction is above the threshold, (height, width) bool."""
    rows, columns = (int(2 ** torch.randint(OCTAVES, ())) for _ in range(2))
    angle = math.pi * float(torch.rand(())) - math.pi / 2
    return perlin_noise(height, width, (rows, columns), angle) > THRESHOLD


def perlin_noise(height: int, width: int, cells: tuple[int, int], angle: float = 0.0) -> Tensor:
    """Perlin's gradient noise, (height, width) float32 in [-1, 1].

    Args:
        cells: of the lattice, down and across the image.
        angle: by which the lattice is turned about the image's centre, in radians.
    """
    y = ((torch.arange(height) + 0.5) / height - 0.5)[:, None]
    x = ((torch.arange(width) + 0.5) / width - 0.5)[None, :]
    reach = [math.ceil(n * math.sqrt(0.5)) + 1 for n in cells]  # half the lattice that the turned image may meet
    v = (y * math.cos(angle) - x * math.sin(angle)) * cells[0] + reach[0]
    u = (y * math.sin(angle) + x * math.cos(angle)) * cells[1] + reach[1]
    turns = 2 * math.pi * torch.rand(2 * reach[0] + 1, 2 * reach[1] + 1)
    slope_v, slope_u = turns.sin(), turns.cos()
    row, column = v.long(), u.long()
    v, u = v - row, u - column

    def corner(down: int, across: int) -> Tensor:
        place = row + down, column + across
        return slope_v[place] * (v - down) + slope_u[place] * (u - across)

    smooth_v, smooth_u = (t**3 * (6 * t**2 - 15 * t + 10) for t in (v, u))
    upper = torch.lerp(corner(0, 0), corner(0, 1), smooth_u)
    lower = torch.lerp(corner(1, 0), corner(1, 1), smooth_u)
    return math.sqrt(2) * torch.lerp(upper, lower, smooth_v)
