"""Counts of pixels by score, in memory that does not grow with the number of maps.

Each score has an integer code; larger scores have larger codes. The metrics need only the counts of normal, anomalous
and region-weighted pixels per code: AUROC, AP, F1max, AUPRO at any limit and AUPIMO are sums over them.

A code is a bin of scores, and bins are narrow where the metrics need resolution. The upper 16 bits of a float32 (as an
ordered integer) divide all scores into coarse bins, which a first pass counts. Each coarse bin then has sub-bins in
proportion to its share of the normal pixels, of the anomalous pixels, and of the *tail* of the normal pixels, on which
AUPRO and AUPIMO depend. A bin at full float32 resolution contains a single value, so ties stay ties and heavy tails
need no more memory.
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

COARSE_BINS = 1 << 16
SUB_BINS = 1 << 19  # in all coarse bins together; their counts take about 30 bytes each


@dataclass(frozen=True)
class PixelCounts:
    """The input of pixel-level metrics: C codes, and C + 1 points of a curve, the highest threshold first.

    true: (C + 1,) anomalous pixels at or above each threshold.
    false: (C + 1,) normal pixels at or above each threshold.
    overlap: (C + 1,) the covered share of each anomalous region, averaged over the regions.
    normal_images: (C,) pixels of each code in normal images, the lowest code first.
    codes: maps (N, H, W) to codes.
    stream: yields the maps and masks again.
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
    """Count the pixels of all maps; None without both anomalous and normal pixels.

    Args:
        stream: yields maps and masks in batches, the same at every call; it is called twice. Images with an empty mask
            are normal.
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
    """Pixels per code: anomalous, normal, normal in normal images, and overlap (each region sums to 1)."""

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
    """Map scores to codes: the first code of the coarse bin, plus the next bits of the float."""

    def __init__(self, bits: NDArray[np.int64]) -> None:
        first = np.concatenate([[0], np.cumsum(1 << bits)])
        self.size = int(first[-1])
        self._first, self._drop = first[:-1].astype(np.int32), (16 - bits).astype(np.int32)

    def __call__(self, maps: Maps) -> NDArray[np.int32]:
        """Compute the codes of scores, in the same shape."""
        ordered = _ordered(maps)
        coarse = ordered >> 16
        fine = (ordered & 0xFFFF).astype(np.int32)
        return self._first[coarse] + (fine >> self._drop[coarse])


def _ordered(maps: Maps) -> NDArray[np.uint32]:
    """Convert float32 to uint32 in the same order: flip the sign bit of positives, all bits of negatives."""
    bits = np.ascontiguousarray(maps + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0, its equal
    return bits ^ ((bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000))


def lay_bins(batches: Iterable[Batch]) -> Codes:
    """Divide coarse bins into sub-bins by their share of normal pixels, anomalous pixels and the normal tail."""
    normal, anomalous = np.zeros(COARSE_BINS), np.zeros(COARSE_BINS)
    for maps, masks in batches:
        coarse = _ordered(maps) >> 16
        inside = np.bincount(coarse[masks], minlength=COARSE_BINS)
        anomalous += inside
        normal += np.bincount(coarse.ravel(), minlength=COARSE_BINS) - inside
    above = np.cumsum(normal[::-1])[::-1]  # normals in this coarse bin or a higher one
    shares = [normal, anomalous, normal / np.maximum(above, 1)]
    wanted = SUB_BINS / len(shares) * sum(share / max(share.sum(), 1) for share in shares)
    bits = np.ceil(np.log2(np.maximum(wanted, 1)))
    return Codes(np.clip(bits, 0, 16).astype(np.int64))
