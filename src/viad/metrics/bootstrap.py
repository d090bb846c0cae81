"""Stratified bootstrap intervals of image-level metrics (Efron & Tibshirani 1993, percentile)."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from viad.metrics import image
from viad.metrics.catalogue import metrics_at
from viad.metrics.image import Labels, Scores

INTERVAL_CONFIDENCE = 0.95
MetricFunction = Callable[[Scores, Labels], float | None]


def compute_bootstrap_intervals(
    scores: Scores, labels: Labels, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """Compute the 95 % intervals that the catalogue asks for at the image level; empty without both classes.

    The bootstrap samples images with replacement within each class, so every resample has as many normals and anomalies
    as the test set.
    """
    normal, anomalous = scores[labels == 0].astype(np.float64), scores[labels == 1].astype(np.float64)
    if len(normal) == 0 or len(anomalous) == 0:
        return {}
    functions = {metric.key: _find_function(metric.key) for metric in metrics_at("image") if metric.interval}
    values = {key: np.empty(resamples) for key in functions}
    sorted_labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    for i in range(resamples):
        resample = np.concatenate([rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous))])
        for key, function in functions.items():
            values[key][i] = function(resample, sorted_labels)
    tail = (1 - INTERVAL_CONFIDENCE) / 2
    return {key: tuple(np.quantile(resampled, [tail, 1 - tail]).tolist()) for key, resampled in values.items()}


def compute_rank_auroc(scores: Scores, labels: Labels) -> float:
    """Compute AUROC as Mann-Whitney's U over its largest value: scikit-learn's number, 20 times faster."""
    anomalous = labels == 1
    count = int(anomalous.sum())
    ranks = rankdata(scores)[anomalous]
    return float((ranks.sum() - count * (count + 1) / 2) / ((len(labels) - count) * count))


def _find_function(key: str) -> MetricFunction:
    function: MetricFunction = compute_rank_auroc if key == "image_auroc" else getattr(image, key)
    return function
