"""Which differences are more than chance.

Two experiments on the same test images are compared by a paired bootstrap (Efron & Tibshirani 1993): each resample
draws images once, within each class, and scores both. Many models over several test sets are compared by their ranks
(Friedman 1937; Nemenyi 1963; as Demsar, JMLR 2006, recommends).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import friedmanchisquare, rankdata, studentized_range

Floats = NDArray[np.float64]
CONFIDENCE = 0.95


@dataclass(frozen=True)
class Difference:
    """The mean of a - b, its 95 % interval, and the share of resamples on the other side of 0, doubled."""

    mean: float
    low: float
    high: float
    p: float

    @property
    def told_apart(self) -> bool:
        """Whether the interval leaves 0 out."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Pair:
    """What two detectors say of the same test images of one category.

    `a` and `b` are scores (N,), or (R, N) of several runs, such as seeds, whose AUROC is averaged; labels (N,) 0 or 1.
    """

    a: Floats
    b: Floats
    labels: NDArray[np.integer]


def resample_weights(labels: NDArray[np.integer], resamples: int, rng: np.random.Generator) -> Floats:
    """How often each image is drawn in each resample, (resamples, N); images are drawn within each class."""
    weights = np.zeros((resamples, len(labels)))
    for label in (0, 1):
        members = np.flatnonzero(labels == label)
        weights[:, members] = rng.multinomial(len(members), np.full(len(members), 1 / len(members)), size=resamples)
    return weights


def weighted_auroc(scores: Floats, labels: NDArray[np.integer], weights: Floats) -> Floats:
    """AUROC of each row of weights (R, N), ties counted half: Mann-Whitney's U over its largest value, (R,)."""
    order = np.argsort(scores, kind="stable")
    ordered = scores[order]
    normal = weights[:, order] * (labels[order] == 0)
    anomalous = weights[:, order] * (labels[order] == 1)
    below = np.concatenate([np.zeros((len(weights), 1)), np.cumsum(normal, axis=1)], axis=1)
    first, last = np.searchsorted(ordered, ordered, "left"), np.searchsorted(ordered, ordered, "right")
    wins = (anomalous * (below[:, first] + below[:, last]) / 2).sum(axis=1)
    return np.asarray(wins / (normal.sum(axis=1) * anomalous.sum(axis=1)))


def paired_difference(pairs: Sequence[Pair], resamples: int, rng: np.random.Generator) -> Difference:
    """The difference of AUROC, a - b, averaged over categories whose images are drawn independently.

    Raises:
        ValueError: there is no pair, or one without both classes.
    """
    if not pairs or any(len(set(pair.labels.tolist())) < 2 for pair in pairs):
        raise ValueError("each pair needs normal and anomalous test images")
    draws, observed = np.zeros(resamples), 0.0
    for pair in pairs:
        weights = np.concatenate([np.ones((1, len(pair.labels))), resample_weights(pair.labels, resamples, rng)])
        both = [_mean_auroc(scores, pair.labels, weights) for scores in (pair.a, pair.b)]
        observed += float(both[0][0] - both[1][0]) / len(pairs)
        draws += (both[0] - both[1])[1:] / len(pairs)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    beyond = min(float((draws <= 0).mean()), float((draws >= 0).mean()))
    return Difference(observed, float(low), float(high), min(1.0, 2 * beyond))


def _mean_auroc(runs: Floats, labels: NDArray[np.integer], weights: Floats) -> Floats:
    return np.mean([weighted_auroc(scores, labels, weights) for scores in np.atleast_2d(runs)], axis=0)


@dataclass(frozen=True)
class Ranks:
    """Mean ranks of K models over N test sets, 1 being the best.

    `p` is Friedman's; `pairwise` (K, K) are Nemenyi's p-values; two mean ranks that differ by less than
    `critical_difference` are not told apart.
    """

    mean: Floats
    p: float
    pairwise: Floats
    critical_difference: float


def ranks(values: Floats) -> Ranks:
    """Compare K models over N test sets by their ranks in each.

    Args:
        values: (N, K), higher is better, no NaN.

    Raises:
        ValueError: fewer than three models or two test sets.
    """
    sets, models = values.shape
    if models < 3 or sets < 2:
        raise ValueError(f"{models} models on {sets} test sets: ranks need three models and two test sets")
    mean = rankdata(-values, axis=1).mean(axis=0)
    spread = np.sqrt(models * (models + 1) / (6 * sets))
    # The range of K normal means with known variance, in units of one's standard error, over the square root of 2.
    distance = np.abs(mean[:, None] - mean[None, :]) / spread * np.sqrt(2)
    pairwise = np.asarray(studentized_range.sf(distance, models, np.inf))
    np.fill_diagonal(pairwise, 1.0)
    critical = studentized_range.ppf(CONFIDENCE, models, np.inf) / np.sqrt(2) * spread
    p = 1.0 if (values == values[:, :1]).all() else float(friedmanchisquare(*values.T).pvalue)
    return Ranks(mean, p, pairwise, float(critical))


def pareto(quality: Floats, costs: Floats) -> NDArray[np.bool_]:
    """Which of N are on the Pareto front: no other is at least as good in all and better in one.

    Args:
        quality: (N,), higher is better.
        costs: (N, C), lower is better.
    """
    everything = np.column_stack([-quality, costs])
    as_good = (everything[:, None] <= everything[None, :]).all(axis=2)
    better = (everything[:, None] < everything[None, :]).any(axis=2)
    return np.asarray(~(as_good & better).any(axis=0))
