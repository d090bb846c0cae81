"""metrics/bootstrap.py against scikit-learn and SciPy's bootstrap."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import bootstrap
from sklearn.metrics import roc_auc_score

from viad.metrics.bootstrap import compute_bootstrap_intervals, compute_rank_auroc
from viad.metrics.image import image_auroc, pb, pg

SCORES = st.lists(st.integers(0, 8).map(float), min_size=1, max_size=15)  # few values: many ties


def gaussian(count, seed=0):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(size=count), rng.normal(1, 1, size=count)]).astype(np.float32)
    return scores, np.repeat([0, 1], count)


def draw(scores, labels, resamples=300, seed=7):
    return compute_bootstrap_intervals(scores, labels, resamples, np.random.default_rng(seed))


@given(normal=SCORES, anomalous=SCORES)
def test_auroc_equals_scikit_learns_with_ties(normal, anomalous):
    labels = np.repeat([0, 1], [len(normal), len(anomalous)])
    expected = roc_auc_score(labels, normal + anomalous)
    assert compute_rank_auroc(np.array(normal + anomalous), labels) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_intervals_contain_the_point_estimate(seed):
    scores, labels = gaussian(100, seed)
    found = draw(scores, labels)
    points = {
        "image_auroc": image_auroc(scores, labels),
        "pg2": pg(scores, labels, 0.02),
        "pb2": pb(scores, labels, 0.02),
    }
    assert found.keys() == points.keys()
    for name, (low, high) in found.items():
        assert 0 <= low <= points[name] <= high <= 1
        assert low < high


def test_more_data_narrows_the_interval():
    widths = [np.ptp(draw(*gaussian(count))["image_auroc"]) for count in (20, 200, 2000)]
    assert widths[0] > 2 * widths[1] > 4 * widths[2]


def test_same_generator_same_intervals():
    scores, labels = gaussian(40)
    assert draw(scores, labels, seed=1) == draw(scores, labels, seed=1)
    assert draw(scores, labels, seed=1) != draw(scores, labels, seed=2)


def test_separable_scores_leave_no_doubt():
    scores, labels = np.arange(20, 32, dtype=np.float32), np.repeat([0, 1], 6)
    assert draw(scores, labels)["image_auroc"] == (1.0, 1.0)


@pytest.mark.parametrize("labels", [np.zeros(4, int), np.ones(4, int)])
def test_empty_without_both_classes(labels):
    assert draw(np.arange(4.0), labels) == {}


def test_agrees_with_scipys_percentile_bootstrap():
    scores, labels = gaussian(60, seed=3)
    theirs = bootstrap(
        (scores[labels == 0], scores[labels == 1]),
        lambda normal, anomalous: compute_rank_auroc(np.concatenate([normal, anomalous]), labels),
        n_resamples=1500,
        vectorized=False,
        method="percentile",
        rng=np.random.default_rng(11),
    ).confidence_interval
    low, high = draw(scores, labels, resamples=1500)["image_auroc"]
    assert low == pytest.approx(theirs.low, abs=0.015)
    assert high == pytest.approx(theirs.high, abs=0.015)
    assert high - low == pytest.approx(theirs.high - theirs.low, rel=0.1)


def test_covers_the_true_auroc_about_as_often_as_it_says():
    # N(0, 1) against N(1, 1): the AUROC is the normal distribution function at 1 / sqrt(2).
    true, tries = 0.7602499, 60
    found = [draw(*gaussian(80, seed=100 + i), resamples=120, seed=i)["image_auroc"] for i in range(tries)]
    assert sum(low <= true <= high for low, high in found) / tries > 0.85
