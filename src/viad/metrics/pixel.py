"""Pixel-level metrics by counting, in memory that does not grow with the number of maps.

Each score gets an integer code, the larger the score the larger the code. Counts of
normal, anomalous and region-weighted pixels per code are all that the metrics need: AUROC,
AP, F1max, AUPRO at any limit and AUPIMO are sums over them.

A code is a bin of scores, and the bins are laid where they matter. The upper 16 bits of a
float32 (as an ordered integer) split all scores into coarse bins; a first pass counts
these, and each coarse bin gets sub-bins for its share of the normal pixels, of the anomalous
ones, and of the normals' *tail*, where AUPRO and AUPIMO look. A bin at full float32
resolution holds one value, so ties stay ties and heavy tails cost nothing.

Definitions: AUPRO, Bergmann et al., IJCV 2021 (overlap averaged over connected regions,
8-neighbourhood; area up to the limit, interpolated there, over the limit). AUPIMO,
Bertoldo et al., BMVC 2024 (recall of one image against the false positive rate of normal
images only, log scale, 1e-5 to 1e-4; averaged over anomalous images).
"""

from collections.abc import Callable, Iterable

import cv2
import numpy as np
from numpy.typing import NDArray

from viad.artifacts.anomaly_maps import Maps

Batch = tuple[Maps, NDArray[np.bool_]]  # maps (N, H, W) float32, masks (N, H, W) bool
Stream = Callable[[], Iterable[Batch]]
Counts = NDArray[np.float64]

COARSE = 1 << 16
BINS = 1 << 19  # sub-bins to hand out; counts take about 30 bytes each
AUPRO_LIMITS = (0.30, 0.05)
AUPIMO_BOUNDS = (1e-5, 1e-4)


def pixel_metrics(stream: Stream) -> dict[str, float | None]:
    """All pixel metrics.

    Args:
        stream: called up to three times; each time gives the same maps and masks again,
            in pieces. Images are normal where their mask is empty.

    Returns:
        pixel_auroc, pixel_ap, pixel_f1max, aupro_30, aupro_5 (the limits in percent) and
        aupimo; None where no pixel is anomalous, or none normal, or (AUPIMO) no image normal.
    """
    codes = _lay_bins(stream())
    counts = _Counts(codes.size)
    for maps, masks in stream():
        counts.add(codes(maps), masks)
    if counts.anomalous.sum() == 0 or counts.normal.sum() == 0:
        return dict.fromkeys(["pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30", "aupro_5", "aupimo"])
    true = np.concatenate([[0.0], np.cumsum(counts.anomalous[::-1])])
    false = np.concatenate([[0.0], np.cumsum(counts.normal[::-1])])
    overlap = np.concatenate([[0.0], np.cumsum(counts.overlap[::-1])]) / counts.regions
    recall, false_rate = true / true[-1], false / false[-1]
    precision = true[1:] / np.maximum(true[1:] + false[1:], 1)
    return {
        "pixel_auroc": float(np.trapezoid(recall, false_rate)),
        "pixel_ap": float((np.diff(recall) * precision).sum()),
        "pixel_f1max": float((2 * true[1:] / (true[1:] + false[1:] + true[-1])).max()),
        **{f"aupro_{limit * 100:.0f}": _area(false_rate, overlap, limit) for limit in AUPRO_LIMITS},
        "aupimo": _aupimo(stream, codes, counts.normal_images),
    }


class _Counts:
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


class _Codes:
    """Map scores to codes: the coarse bin's first code, plus the next bits of the float."""

    def __init__(self, bits: NDArray[np.int64]) -> None:
        first = np.concatenate([[0], np.cumsum(1 << bits)])
        self.size = int(first[-1])
        self._first, self._drop = first[:-1].astype(np.int32), (16 - bits).astype(np.int32)

    def __call__(self, maps: Maps) -> NDArray[np.int32]:
        ordered = _ordered(maps)
        coarse = ordered >> 16
        fine = (ordered & 0xFFFF).astype(np.int32)
        return self._first[coarse] + (fine >> self._drop[coarse])


def _ordered(maps: Maps) -> NDArray[np.uint32]:
    """float32 as uint32 in the same order: flip the sign bit of positives, all bits of negatives."""
    bits = np.ascontiguousarray(maps + np.float32(0)).view(np.uint32)  # + 0 turns -0 into 0, its equal
    return bits ^ ((bits.view(np.int32) >> 31).view(np.uint32) | np.uint32(0x80000000))


def _lay_bins(batches: Iterable[Batch]) -> _Codes:
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
    return _Codes(np.clip(bits, 0, 16).astype(np.int64))


def _area(x: Counts, y: Counts, limit: float) -> float:
    """Trapezoidal area under y(x) for x from 0 to `limit`, interpolated there, over `limit`."""
    inside = x <= limit
    edge = np.interp(limit, x, y)
    return float(np.trapezoid(np.append(y[inside], edge), np.append(x[inside], limit)) / limit)


def _aupimo(stream: Stream, codes: _Codes, normal_images: Counts) -> float | None:
    """Mean over anomalous images of the recall integrated over log false positive rate.

    The trapezoidal sum is linear in the recall, and recall is a mean over the image's
    anomalous pixels. So each code has a weight, and an image's value is the mean weight
    of its anomalous pixels.
    """
    if normal_images.sum() == 0:
        return None
    weight = _aupimo_weights(normal_images)
    values: list[float] = []
    for maps, masks in stream():
        some = masks.any(axis=(1, 2))
        if some.any():
            values += [
                float(weight[codes(one[mask])].mean()) for one, mask in zip(maps[some], masks[some], strict=True)
            ]
    return float(np.mean(values)) if values else None


def _aupimo_weights(normal_images: Counts) -> Counts:
    """What a pixel of each code adds to its image's AUPIMO, 0 to 1."""
    low, high = np.log(AUPIMO_BOUNDS)
    falling = np.cumsum(normal_images[::-1])  # false positives at each code as threshold, highest code first
    rate = np.log(np.maximum(falling / falling[-1], np.finfo(float).tiny))
    # The curve's piece between two thresholds, cut to the bounds. A recall that moves linearly
    # between its ends a and b integrates to width * ((1 - share) * a + share * b). Before the first
    # false positive (log 0) there is no line to follow: the recall reached without any holds.
    left, right = np.clip(rate[:-1], low, high), np.clip(rate[1:], low, high)
    linear = (right > left) & (falling[:-1] > 0)
    span = np.where(linear, rate[1:] - rate[:-1], 1.0)
    share = np.where(linear, ((left + right) / 2 - rate[:-1]) / span, 0.0)
    width = (right - left) / (high - low)
    at_threshold = np.zeros(len(rate))
    at_threshold[:-1] += width * (1 - share)
    at_threshold[1:] += width * share
    # A pixel counts at every threshold up to its own score.
    return np.cumsum(at_threshold[::-1])
