"""Which differences are more than chance.

Two experiments on the same test images are compared by a paired bootstrap (Efron & Tibshirani 1993): each resample
draws images once, within each class, and scores both. Many models over several test sets are compared by their ranks
(Friedman 1937; Nemenyi 1963; as Demsar, JMLR 2006, recommends).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

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


def paired_difference(pairs: Sequence[Pair], resamples: int, seed: int = 0) -> Difference:
    """The difference of AUROC, a - b, averaged over categories whose images are drawn independently.

    Raises:
        ValueError: there is no pair, or one without both classes.
    """
    if not pairs or any(len(set(pair.labels.tolist())) < 2 for pair in pairs):
        raise ValueError("each pair needs normal and anomalous test images")
    draws, observed = np.zeros(resamples), 0.0
    for number, pair in enumerate(pairs):
        gap = wins(pair.a, pair.labels) - wins(pair.b, pair.labels)
        observed += float(gap.mean()) / len(pairs)
        draws += resampled(gap, resamples, seed + number) / len(pairs)
    low, high = interval(draws)
    beyond = (min(int((draws <= 0).sum()), int((draws >= 0).sum())) + 1) / (resamples + 1)  # never 0 by resampling
    return Difference(observed, low, high, min(1.0, 2 * beyond))


def wins(scores: Floats, labels: NDArray[np.integer]) -> Floats:
    """Which anomalous image scores above which normal one, (anomalous, normal): 1, or a half for a tie, else 0.

    Its mean is the AUROC (Mann-Whitney). Of scores (R, N) of several runs, the mean over the runs.
    """
    runs = np.atleast_2d(scores)
    anomalous, normal = runs[:, labels == 1, None], runs[:, None, labels == 0]
    return np.mean([(np.sign(one - other) + 1) / 2 for one, other in zip(anomalous, normal, strict=True)], axis=0)


def resampled(won: Floats, resamples: int, seed: int) -> Floats:
    """The mean of `won` (anomalous, normal) in each of so many resamples of its rows and its columns, (resamples,).

    With the same seed and shape the same images are drawn, whatever is compared on them.
    """
    anomalous, normal = draw(won.shape[0], resamples, 2 * seed), draw(won.shape[1], resamples, 2 * seed + 1)
    total = np.einsum("rn,rn->r", anomalous @ won.astype(np.float32), normal, dtype=np.float64)
    return np.asarray(total / won.size)


@lru_cache(maxsize=64)
def draw(images: int, resamples: int, seed: int) -> NDArray[np.float32]:
    """How often each image is drawn in each resample with replacement, (resamples, images)."""
    rng = np.random.default_rng([seed, images])
    drawn = rng.integers(images, size=(resamples, images)) + np.arange(resamples)[:, None] * images
    return np.bincount(drawn.ravel(), minlength=resamples * images).reshape(resamples, images).astype(np.float32)


def interval(draws: Floats) -> tuple[float, float]:
    """The 95 % percentile interval of resampled values."""
    tail = (1 - CONFIDENCE) / 2
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
    critical = studentized_range.ppf(CONFIDENCE, models, np.inf) / np.sqrt(2) * spread
    p = 1.0 if (values == values[:, :1]).all() else float(friedmanchisquare(*values.T).pvalue)
    return Ranks(mean, p, float(critical))


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
