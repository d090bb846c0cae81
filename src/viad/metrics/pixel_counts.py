"""Counts of pixels by score, in memory that does not grow with the number of maps.

Each score gets an integer code, the larger the score the larger the code. Counts of
normal, anomalous and region-weighted pixels per code are all that the metrics need: AUROC,
AP, F1max, AUPRO at any limit and AUPIMO are sums over them.

A code is a bin of scores, and the bins are laid where they matter. The upper 16 bits of a
float32 (as an ordered integer) split all scores into coarse bins; a first pass counts
these, and each coarse bin gets sub-bins for its share of the normal pixels, of the anomalous
ones, and of the normals' *tail*, where AUPRO and AUPIMO look. A bin at full float32
resolution holds one value, so ties stay ties and heavy tails cost nothing.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

Maps = NDArray[np.float32]
Batch = tuple[Maps, NDArray[np.bool_]]  # maps (N, H, W) float32, masks (N, H, W) bool
Stream = Callable[[], Iterable[Batch]]
Counts = NDArray[np.float64]

COARSE = 1 << 16
BINS = 1 << 19  # sub-bins to hand out; counts take about 30 bytes each


@dataclass(frozen=True)
class PixelCounts:
    """What pixel-level metrics are computed from; C codes, and C + 1 points of a curve, the highest threshold first.

    true: (C + 1,) anomalous pixels at or above each threshold.
    false: (C + 1,) normal pixels there.
    overlap: (C + 1,) the covered share of each anomalous region, averaged over the regions.
    normal_images: (C,) pixels of each code in normal images, the lowest code first.
    codes: maps (N, H, W) to codes.
    stream: the maps and masks once more.
    """

    true: Counts
    false: Counts
    overlap: Counts
    normal_images: Counts
    codes: "Codes"
    stream: Stream

    @property
    def recall(self) -> Counts:
        """(C + 1,) the share of the anomalous pixels at or above each threshold."""
        return self.true / self.true[-1]

    @property
    def false_positive_rate(self) -> Counts:
        """(C + 1,) the share of the normal pixels at or above each threshold."""
        return self.false / self.false[-1]


def count_pixels(stream: Stream) -> PixelCounts | None:
    """The counts of all maps; None where no pixel is anomalous, or none normal.

    Args:
        stream: called twice here; each time gives the same maps and masks again, in pieces.
            Images are normal where their mask is empty.
    """
    codes = lay_bins(stream())
    counts = _Counter(codes.size)
    for maps, masks in stream():
        counts.add(codes(maps), masks)
    if counts.anomalous.sum() == 0 or counts.normal.sum() == 0:
        return None
    true, false, overlap = (
        np.concatenate([[0.0], np.cumsum(count[::-1])]) for count in (counts.anomalous, counts.normal, counts.overlap)
    )
    return PixelCounts(true, false, overlap / counts.regions, counts.normal_images, codes, stream)


class _Counter:
    """Pixels per code: anomalous, normal, normal in normal images, and overlap (1 a region in all)."""

    def __init__(self, size: int) -> None:
        self.anomalous, self.normal, self.normal_images, self.overlap = (np.zeros(size) for _ in range(4))
        self.regions = 0

    def add(self, codes: NDArray[np.int32], masks: NDArray[np.bool_]) -> None:
        size = len(self.normal)
        everything = np.bincount(codes.ravel(), minlength=size)
        anomalous = np.bincount(codes[masks], minlength=size)
        self.anomalous += anomalous
        self.normal += everything - anomalous
        is_normal = ~masks.any(axis=(1, 2))
        if is_normal.all():
            self.normal_images += everything
        elif is_normal.any():
            self.normal_images += np.bincount(codes[is_normal].ravel(), minlength=size)
        for code, mask in zip(codes[~is_normal], masks[~is_normal], strict=True):
            count, regions = cv2.connectedComponents(mask.astype(np.uint8), connectivity=8)
            inside, region = code[mask], regions[mask]
            areas = np.bincount(region, minlength=count)
            np.add.at(self.overlap, inside, 1.0 / areas[region])
            self.regions += count - 1


class Codes:
    """Map scores to codes: the coarse bin's first code, plus the next bits of the float."""

    def __init__(self, bits: NDArray[np.int64]) -> None:
        first = np.concatenate([[0], np.cumsum(1 << bits)])
        self.size = int(first[-1])
        self._first, self._drop = first[:-1].astype(np.int32), (16 - bits).astype(np.int32)

    def __call__(self, maps: Maps) -> NDArray[np.int32]:
        """The codes of scores, of the same shape."""
        ordered = _ordered(maps)
        coarse = ordered >> 16
        fine = (ordered & 0xFFFF).astype(np.int32)
        return self._first[coarse] + (fine >> self._drop[coarse])


def _ordered(maps: Maps) -> NDArray[np.uint32]:
    """float32 as uint32 in the same order: flip the sign bit of positives, all bits of negatives."""
    bits = np.ascontiguousarray(maps + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0, its equal
    return bits ^ ((bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000))


def lay_bins(batches: Iterable[Batch]) -> Codes:
    """Hand out sub-bins to coarse bins by their share of normals, anomalies and the normals' tail."""
    normal, anomalous = np.zeros(COARSE), np.zeros(COARSE)
    for maps, masks in batches:
        coarse = _ordered(maps) >> 16
        inside = np.bincount(coarse[masks], minlength=COARSE)
        anomalous += inside
        normal += np.bincount(coarse.ravel(), minlength=COARSE) - inside
    above = np.cumsum(normal[::-1])[::-1]  # normals in this coarse bin or a higher one
    shares = [normal, anomalous, normal / np.maximum(above, 1)]
    wanted = BINS / len(shares) * sum(s / max(s.sum(), 1) for s in shares)
    bits = np.ceil(np.log2(np.maximum(wanted, 1)))
    return Codes(np.clip(bits, 0, 16).astype(np.int64))
