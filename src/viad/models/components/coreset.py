"""Greedy k-centre coresets, exactly as the plain algorithm picks them, but lazily.

PatchCore (Roth et al., CVPR 2022, algorithm 1) picks, again and again, the patch that is
farthest from all picks so far. The plain loop touches every patch at every pick. Here a
few thousand candidates, the farthest ones, are kept; picks are made among them while the
best still beats every patch outside, and then all new picks are applied to all patches in
one blocked matrix product. Distances outside only shrink, so the picks are the same.

Matrix products round differently from the plain loop's differences. So they serve as
bounds only: a candidate's distance is recomputed as the plain loop computes it.
"""

import numpy as np
import torch
from torch import Tensor
from tqdm import tqdm

from viad.config.numbers import check_positive_share

CANDIDATES = 4096  # more make each pick slower, fewer make the passes over all patches more frequent
BLOCK = 1 << 24  # entries of a distance block: 64 MiB in float32, measured fastest on two cores


def greedy_coreset(patches: Tensor, count: int, start: int, *, show_progress: bool = False) -> Tensor:
    """Indices of a k-centre greedy coreset.

    Args:
        patches: (P, D) float32.
        count: how many to pick, 1 to P.
        start: index of the first pick.
        show_progress: draw a progress bar.

    Returns:
        (count,) int64, in the order of picking, the same as the plain greedy loop's.

    Raises:
        ValueError: `count` is not in 1 to P.
    """
    if not 1 <= count <= len(patches):
        raise ValueError(f"a coreset of {count} out of {len(patches)} patches: select from 1 to all of them")
    search = _Search(patches, count, start)
    with tqdm(total=count, desc="coreset", unit="patch", disable=not show_progress, mininterval=1) as bar:
        while len(search) < count:
            before = len(search)
            search.round()
            bar.update(len(search) - before)
    return search.picks


class _Search:
    """The state between passes: picks so far, and an upper bound of every distance."""

    def __init__(self, patches: Tensor, count: int, start: int) -> None:
        self.patches = patches
        self.norms = patches.square().sum(dim=1)
        # |fl(a.b) - a.b| <= D u |a||b|; the squared distance adds two norms with the same bound.
        self.slack = 4 * patches.shape[1] * torch.finfo(patches.dtype).eps * float(self.norms.max())
        self.bound = torch.full_like(self.norms, torch.inf)  # squared distance to the applied picks, within slack
        self.exact = torch.full_like(self.norms, torch.inf)  # distance as the plain loop has it, to picks[:seen]
        self.seen = torch.zeros(len(patches), dtype=torch.int64, device=patches.device)
        self.picks = torch.tensor([start], device=patches.device)
        self.count, self.applied = count, 0

    def __len__(self) -> int:
        return len(self.picks)

    def round(self) -> None:
        """Apply the new picks to all patches, choose candidates, pick among them while that is safe."""
        self._apply()
        candidates, outside = self._candidates()
        distances = self._distances(candidates)
        rows = self.patches[candidates]
        picked: list[Tensor] = []
        while len(self) + len(picked) < self.count:
            best, position = distances.max(dim=0)
            # Below 0 every candidate is picked; else the best must beat whatever lies outside.
            if best < 0 or best * best <= outside:
                break
            picked.append(position)
            torch.minimum(distances, _difference_norm(rows, rows[position]), out=distances)
            distances[position] = -1.0  # never again, even among equal patches
        self.picks = torch.cat([self.picks, candidates[torch.stack(picked)]])
        self.exact[candidates] = distances
        self.seen[candidates] = len(self.picks)

    def _apply(self) -> None:
        new = self.picks[self.applied :]
        centres, norms = self.patches[new], self.norms[new]
        step = max(1, BLOCK // len(new))
        for begin in range(0, len(self.patches), step):
            part = slice(begin, begin + step)
            block = torch.addmm(norms, self.patches[part], centres.T, alpha=-2).amin(dim=1)
            torch.minimum(self.bound[part], block.add_(self.norms[part]), out=self.bound[part])
        self.bound[new] = -torch.inf
        self.applied = len(self.picks)

    def _candidates(self) -> tuple[Tensor, float]:
        """The farthest patches, and what the squared distance of every other one stays below."""
        size = min(CANDIDATES, len(self.bound))
        lowest = torch.topk(self.bound, size, sorted=False).values.min()
        highest = self.bound.max()
        # Whatever may tie with the very best has to be inside, or no pick would be safe.
        edge = float(torch.minimum(lowest, highest - 4 * self.slack))
        inside = self.bound >= edge
        outside = -torch.inf if bool(inside.all()) else float(self.bound[~inside].max()) + self.slack
        # Picked patches stay out, even where every patch is inside.
        return torch.nonzero(inside & (self.bound > -torch.inf)).squeeze(1), outside

    def _distances(self, candidates: Tensor) -> Tensor:
        """Distances of the candidates to all picks, as the plain loop computes them."""
        distances = self.exact[candidates]
        seen = self.seen[candidates]
        for known in torch.unique(seen):
            rows = torch.nonzero(seen == known).squeeze(1)
            unseen = self.picks[int(known) :]
            if len(unseen) and len(rows):
                distances[rows] = torch.minimum(distances[rows], self._nearest(candidates[rows], unseen))
        return distances

    def _nearest(self, rows: Tensor, centres: Tensor) -> Tensor:
        """min over centres of ||row - centre||, rounded like the plain loop: only near-nearest pairs are computed."""
        result = torch.empty(len(rows), dtype=self.norms.dtype, device=rows.device)
        step = max(1, BLOCK // len(centres))
        for begin in range(0, len(rows), step):
            some = rows[begin : begin + step]
            # The row's own norm is the same for all centres, so it does not change which are near.
            block = torch.addmm(self.norms[centres], self.patches[some], self.patches[centres].T, alpha=-2)
            near = torch.nonzero(block <= block.amin(dim=1, keepdim=True) + 2 * self.slack)
            pairs = _difference_norm(self.patches[some[near[:, 0]]], self.patches[centres[near[:, 1]]])
            best = torch.full((len(some),), torch.inf, dtype=pairs.dtype, device=pairs.device)
            result[begin : begin + step] = best.scatter_reduce(0, near[:, 0], pairs, "amin")
        return result


def _difference_norm(a: Tensor, b: Tensor) -> Tensor:
    return torch.linalg.vector_norm(a - b, dim=1)


def coreset_size(patches: int, ratio: float, limit: int | None) -> int:
    """How many patches a bank keeps: the ratio, at least one, at most `limit`.

    Raises:
        ConfigError: the ratio is not in (0, 1].
    """
    check_positive_share("coreset_sampling_ratio", ratio)
    wanted = max(1, int(np.floor(patches * ratio)))
    return wanted if limit is None else min(wanted, limit)
