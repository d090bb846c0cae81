"""Significance of differences between experiments: the paired bootstrap, ranks, and the Pareto front.

The paired bootstrap (Efron & Tibshirani 1993) compares two experiments on the same test images: each resample samples
images with replacement, within each class, and compares both experiments on them. Ranks compare many models over
several test sets (Friedman 1937; Nemenyi 1963; recommended by Demsar, JMLR 2006).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

from viad.metrics.bootstrap import INTERVAL_CONFIDENCE

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Difference:
    """The mean of a - b, its 95 % interval, and the share of resamples on the other side of 0, doubled."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def is_significant(self) -> bool:
        """Whether the interval excludes 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Pair:
    """The scores of two detectors for the same test images of a category.

    `a` and `b` are scores (N,), or (R, N) of several runs, such as seeds, whose AUROC is averaged; labels (N,) 0 or 1.
    """

    a: Floats
    b: Floats
    labels: NDArray[np.integer]


def bootstrap_difference(pairs: Sequence[Pair], resamples: int, seed: int = 0) -> Difference:
    """Compute the difference of AUROC, a - b, averaged over categories, whose images are sampled independently.

    Raises:
        ValueError: there is no pair, or a pair lacks a class.
    """
    if not pairs or any(len(set(pair.labels.tolist())) < 2 for pair in pairs):
        raise ValueError("a paired difference needs normal and anomalous test images in every category")
    draws, observed = np.zeros(resamples), 0.0
    for number, pair in enumerate(pairs):
        gap = compare_image_pairs(pair.a, pair.labels) - compare_image_pairs(pair.b, pair.labels)
        observed += float(gap.mean()) / len(pairs)
        draws += resample_mean(gap, resamples, seed + number) / len(pairs)
    low, high = compute_interval(draws)
    beyond = (min(int((draws <= 0).sum()), int((draws >= 0).sum())) + 1) / (resamples + 1)  # never 0 by resampling
    return Difference(observed, low, high, min(1.0, 2 * beyond))


def compare_image_pairs(scores: Floats, labels: NDArray[np.integer]) -> Floats:
    """Compare each anomalous image with each normal one, (anomalous, normal): 1 if it scores higher, 0.5 for a tie.

    The mean of all pairs is the AUROC (Mann-Whitney). For scores (R, N) of several runs, each pair has its mean over
    the runs.
    """
    runs = np.atleast_2d(scores)
    anomalous, normal = runs[:, labels == 1, None], runs[:, None, labels == 0]
    wins = [(np.sign(high - low) + 1) / 2 for high, low in zip(anomalous, normal, strict=True)]
    return np.mean(wins, axis=0)


def resample_mean(won: Floats, resamples: int, seed: int) -> Floats:
    """Compute the mean of `won` (anomalous, normal) in each resample of its rows and columns, (resamples,).

    The same seed and shape sample the same images, whatever the values.
    """
    anomalous, normal = (
        sample_counts(won.shape[0], resamples, 2 * seed),
        sample_counts(won.shape[1], resamples, 2 * seed + 1),
    )
    total = np.einsum("rn,rn->r", anomalous @ won.astype(np.float32), normal, dtype=np.float64)
    return np.asarray(total / won.size)


@lru_cache(maxsize=64)
def sample_counts(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """Sample how often each resample, with replacement, contains each image, (resamples, images)."""
    rng = np.random.default_rng([seed, images])
    sampled = rng.integers(images, size=(resamples, images)) + np.arange(resamples)[:, None] * images
    return np.bincount(sampled.ravel(), minlength=resamples * images).reshape(resamples, images).astype(np.float32)


def compute_interval(draws: Floats) -> tuple[float, float]:
    """Compute the 95 % percentile interval of resampled values."""
    tail = (1 - INTERVAL_CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    return float(low), float(high)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of K models over N test sets, 1 being the best.

    `p` is Friedman's; Nemenyi's test finds no difference between two mean ranks that differ by less than
    `critical_difference`.
    """

    mean: Floats
    p: float
    critical_difference: float


def rank_models(values: Floats) -> Ranks:
    """Compare K models over N test sets by their ranks in each.

    Args:
        values: (N, K), higher is better, no NaN.

    Raises:
        ValueError: fewer than three models or two test sets.
    """
    sets, models = values.shape
    if models < 3 or sets < 2:
        raise ValueError(f"ranks need at least three models and two test sets, not {models} and {sets}")
    mean = rankdata(-values, axis=1).mean(axis=0)
    spread = np.sqrt(models * (models + 1) / (6 * sets))
    # The range of K normal means with known variance, in units of their standard error, over the square root of 2.
    critical = studentized_range.ppf(INTERVAL_CONFIDENCE, models, np.inf) / np.sqrt(2) * spread
    p = 1.0 if (values == values[:, :1]).all() else float(friedmanchisquare(*values.T).pvalue)
    return Ranks(mean, p, float(critical))


def find_pareto_front(quality: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Find which of N models are on the Pareto front: no other is at least as good in all values and better in one.

    Args:
        quality: (N,), higher is better.
        costs: (N, C), lower is better.
    """
    everything = np.column_stack([-quality, costs])
    as_good = (everything[:, None] <= everything[None, :]).all(axis=2)
    better = (everything[:, None] < everything[None, :]).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0))
