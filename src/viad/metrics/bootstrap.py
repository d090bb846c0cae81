"""Stratified bootstrap intervals of image-level metrics (Efron & Tibshirani 1993, percentile)."""

from collections.abc import Callable

import numpy as np
from scipy.stats import rankdata

from viad.metrics import image
from viad.metrics.catalogue import metrics_at
from viad.metrics.image import Labels, Scores

CONFIDENCE = 0.95
Function = Callable[[Scores, Labels], float | None]


def bootstrap_intervals(
    scores: Scores, labels: Labels, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """95 % intervals of those image-level metrics that the catalogue gives one; empty without both classes.

    Images are sampled with replacement within each class, so every resample has as many
    normals and anomalies as the test set.
    """
    normal, anomalous = scores[labels == 0].astype(np.float64), scores[labels == 1].astype(np.float64)
    if len(normal) == 0 or len(anomalous) == 0:
        return {}
    functions = {metric.key: _function(metric.key) for metric in metrics_at("image") if metric.interval}
    values = {key: np.empty(resamples) for key in functions}
    sorted_labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    for i in range(resamples):
        resample = np.concatenate([rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous))])
        for key, function in functions.items():
            values[key][i] = function(resample, sorted_labels)
    tail = (1 - CONFIDENCE) / 2
    return {key: tuple(np.quantile(of_one, [tail, 1 - tail]).tolist()) for key, of_one in values.items()}


def rank_auroc(scores: Scores, labels: Labels) -> float:
    """Mann-Whitney's U over its largest value: the same number as scikit-learn's, 20 times faster."""
    anomalous = labels == 1
    count = int(anomalous.sum())
    ranks = rankdata(scores)[anomalous]
    return float((ranks.sum() - count * (count + 1) / 2) / ((len(labels) - count) * count))


def _function(key: str) -> Function:
    function: Function = rank_auroc if key == "image_auroc" else getattr(image, key)
    return function
