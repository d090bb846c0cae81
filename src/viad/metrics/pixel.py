"""Pixel-level metrics, computed from counts of pixels by score; the catalogue lists those that evaluate measures.

Definitions: AUPRO, Bergmann et al., IJCV 2021 (overlap averaged over connected regions,
8-neighbourhood; area up to the limit, interpolated there, over the limit). AUPIMO,
Bertoldo et al., BMVC 2024 (recall of one image against the false positive rate of normal
images only, log scale, 1e-5 to 1e-4; averaged over anomalous images).
"""

import numpy as np

from viad.metrics.pixel_counts import Counts, PixelCounts

AUPIMO_BOUNDS = (1e-5, 1e-4)


def pixel_auroc(counts: PixelCounts) -> float:
    """Area under the ROC curve of all pixels."""
    return float(np.trapezoid(counts.recall, counts.false_positive_rate))


def pixel_ap(counts: PixelCounts) -> float:
    """Average precision of all pixels, anomalous pixels being the positives."""
    precision = counts.true[1:] / np.maximum(counts.true[1:] + counts.false[1:], 1)
    return float((np.diff(counts.recall) * precision).sum())


def pixel_f1max(counts: PixelCounts) -> float:
    """The F1 score of all pixels at the best threshold for the same masks: an oracle."""
    true, false = counts.true, counts.false
    return float((2 * true[1:] / (true[1:] + false[1:] + true[-1])).max())


def aupro_30(counts: PixelCounts) -> float:
    """AUPRO up to a false positive rate of 0.30."""
    return _integrate(counts.false_positive_rate, counts.overlap, 0.30)


def aupro_5(counts: PixelCounts) -> float:
    """AUPRO up to a false positive rate of 0.05."""
    return _integrate(counts.false_positive_rate, counts.overlap, 0.05)


def aupimo(counts: PixelCounts) -> float | None:
    """Mean over anomalous images of the recall integrated over log false positive rate; None without normal images.

    The trapezoidal sum is linear in the recall, and recall is a mean over the image's anomalous pixels. So each code
    has a weight, and the value of an image is the mean weight of its anomalous pixels.
    """
    if counts.normal_images.sum() == 0:
        return None
    weight = _aupimo_weights(counts.normal_images)
    values: list[float] = []
    for maps, masks in counts.stream():
        anomalous = masks.any(axis=(1, 2))
        for image_map, mask in zip(maps[anomalous], masks[anomalous], strict=True):
            values.append(float(weight[counts.codes(image_map[mask])].mean()))
    return float(np.mean(values)) if values else None


def _integrate(x: Counts, y: Counts, limit: float) -> float:
    """Trapezoidal area under y(x) for x from 0 to `limit`, interpolated there, over `limit`."""
    inside = x <= limit
    edge = np.interp(limit, x, y)
    return float(np.trapezoid(np.append(y[inside], edge), np.append(x[inside], limit)) / limit)


def _aupimo_weights(normal_images: Counts) -> Counts:
    """The contribution of a pixel of each code to the AUPIMO of its image, 0 to 1."""
    low, high = np.log(AUPIMO_BOUNDS)
    falling = np.cumsum(normal_images[::-1])  # false positives at each code as threshold, highest code first
    rate = np.log(np.maximum(falling / falling[-1], np.finfo(float).tiny))
    # The piece of the curve between two thresholds, cut to the bounds. A recall that changes linearly
    # from a to b integrates to width * ((1 - share) * a + share * b). Before the first false positive
    # (log 0) the curve is undefined: the recall without any false positive counts.
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
