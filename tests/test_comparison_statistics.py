"""Statistics of comparisons against scipy, scikit-learn, scikit-posthocs and plain loops."""

import numpy as np
import pytest
import scikit_posthocs
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import friedmanchisquare, mannwhitneyu, rankdata
from sklearn.metrics import roc_auc_score

from viad.comparison.paired_bootstrap import (
    Pair,
    bootstrap_difference,
    compare_image_pairs,
    compute_interval,
    find_pareto_front,
    rank_models,
    resample_mean,
    sample_counts,
)


def _test_set(seed, normals, anomalies, step=0.0):
    rng = np.random.default_rng(seed)
    labels = rng.permutation(np.repeat([0, 1], [normals, anomalies]))
    scores = rng.normal(size=len(labels)) + labels
    return (np.round(scores / step) * step if step else scores), labels


@given(st.integers(0, 2**32 - 1), st.integers(1, 30), st.integers(1, 30), st.sampled_from([0.0, 0.5, 2.0]))
def test_a_resampled_auroc_is_that_of_repeated_images(seed, normals, anomalies, step):
    scores, labels = _test_set(seed, normals, anomalies, step)
    won = compare_image_pairs(scores, labels)
    assert won.mean() == pytest.approx(roc_auc_score(labels, scores), abs=1e-12)
    drawn = [sample_counts(count, 5, 2 * 7 + i) for i, count in enumerate((anomalies, normals))]
    assert (drawn[0].sum(axis=1) == anomalies).all()
    assert (drawn[1].sum(axis=1) == normals).all()
    for i, value in enumerate(resample_mean(won, 5, 7)):
        images = [np.repeat(scores[labels == 1 - k], drawn[k][i].astype(int)) for k in (0, 1)]
        repeated = np.concatenate(images), np.repeat([1, 0], [anomalies, normals])
        assert value == pytest.approx(roc_auc_score(repeated[1], repeated[0]), abs=1e-6)
        u = mannwhitneyu(images[0], images[1]).statistic
        assert value == pytest.approx(u / (normals * anomalies), abs=1e-6)


def test_several_runs_count_with_the_mean_of_their_aurocs():
    first, labels = _test_set(1, 20, 30)
    second = first + np.random.default_rng(3).normal(size=50)
    both = [roc_auc_score(labels, scores) for scores in (first, second)]
    assert compare_image_pairs(np.stack([first, second]), labels).mean() == pytest.approx(np.mean(both))


def test_paired_difference_agrees_with_scipys_bootstrap():
    from scipy.stats import bootstrap

    a, labels = _test_set(1, 80, 60)
    b = a + np.random.default_rng(2).normal(size=len(a))

    def statistic(normal, anomalous):
        chosen = np.concatenate([normal, anomalous]).astype(int)
        return roc_auc_score(labels[chosen], a[chosen]) - roc_auc_score(labels[chosen], b[chosen])

    reference = bootstrap(
        (np.flatnonzero(labels == 0), np.flatnonzero(labels == 1)), statistic, vectorized=False, n_resamples=2000,
        method="percentile", rng=np.random.default_rng(3),
    )  # fmt: skip
    ours = bootstrap_difference([Pair(a, b, labels)], 4000, 4)
    assert ours.mean == pytest.approx(roc_auc_score(labels, a) - roc_auc_score(labels, b))
    assert (ours.low, ours.high) == pytest.approx(tuple(reference.confidence_interval), abs=0.008)
    assert ours.is_significant
    assert ours.p < 0.05


def test_an_interval_over_several_categories_is_of_their_mean():
    pairs = []
    for seed in (1, 2):
        a, labels = _test_set(seed, 50, 50)
        pairs.append(Pair(a, a + np.random.default_rng(seed + 9).normal(size=100), labels))
    each = [bootstrap_difference([pair], 2000, 5) for pair in pairs]
    both = bootstrap_difference(pairs, 2000, 5)
    assert both.mean == pytest.approx((each[0].mean + each[1].mean) / 2)
    width = (each[0].high - each[0].low + each[1].high - each[1].low) / 2
    assert both.high - both.low == pytest.approx(width / np.sqrt(2), rel=0.12)


def test_the_same_scores_do_not_differ_and_swapped_ones_differ_the_other_way():
    a, labels = _test_set(1, 30, 30)
    b, _ = _test_set(2, 30, 30)
    same = bootstrap_difference([Pair(a, a, labels)], 200, 0)
    assert (same.mean, same.low, same.high, same.p, same.is_significant) == (0, 0, 0, 1, False)
    one = bootstrap_difference([Pair(a, b, labels)], 200, 0)
    other = bootstrap_difference([Pair(b, a, labels)], 200, 0)
    assert (one.mean, one.low, one.high) == pytest.approx((-other.mean, -other.high, -other.low))


def test_paired_is_narrower_than_unpaired_where_models_agree_on_what_is_hard():
    a, labels = _test_set(1, 100, 100)
    b = a + np.random.default_rng(2).normal(scale=0.1, size=200)
    paired = bootstrap_difference([Pair(a, b, labels)], 1000, 0)
    low, high = compute_interval(resample_mean(compare_image_pairs(a, labels), 1000, 0))
    assert paired.high - paired.low < 0.5 * (high - low)


def test_a_test_set_without_anomalies_is_no_pair():
    with pytest.raises(ValueError, match="normal and anomalous"):
        bootstrap_difference([Pair(np.ones(3), np.ones(3), np.zeros(3, int))], 10, 0)


@settings(deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 12), st.integers(3, 8))
def test_ranks_agree_with_scipy_and_scikit_posthocs(seed, sets, models):
    values = np.random.default_rng(seed).normal(size=(sets, models))
    found = rank_models(values)
    np.testing.assert_allclose(found.mean, rankdata(-values, axis=1).mean(axis=0))
    assert found.p == pytest.approx(friedmanchisquare(*values.T).pvalue)
    reference = scikit_posthocs.posthoc_nemenyi_friedman(values).to_numpy()
    apart = np.abs(found.mean[:, None] - found.mean[None, :]) > found.critical_difference
    clear = np.abs(reference - 0.05) > 1e-3
    np.testing.assert_array_equal(apart[clear], (reference < 0.05)[clear])


def test_demsars_critical_difference():
    # Demsar 2006, table 5 (a): q = 2.569 for four models at 0.05; his example has 14 test sets, CD 1.25.
    found = rank_models(np.random.default_rng(0).normal(size=(14, 4)))
    assert found.critical_difference == pytest.approx(2.569 * np.sqrt(4 * 5 / (6 * 14)), abs=1e-3)


def test_equal_models_have_equal_ranks_and_too_few_have_none():
    found = rank_models(np.ones((4, 3)))
    assert found.mean.tolist() == [2, 2, 2]
    assert found.p == 1
    for shape in ((4, 2), (1, 3)):
        with pytest.raises(ValueError, match="ranks need"):
            rank_models(np.ones(shape))


@given(st.integers(0, 2**32 - 1), st.integers(1, 12))
def test_pareto_against_a_loop(seed, count):
    rng = np.random.default_rng(seed)
    quality, costs = rng.integers(0, 4, count).astype(float), rng.integers(0, 4, (count, 2)).astype(float)
    for i, on_front in enumerate(find_pareto_front(quality, costs)):
        beaten = any(
            quality[j] >= quality[i]
            and (costs[j] <= costs[i]).all()
            and (quality[j] > quality[i] or (costs[j] < costs[i]).any())
            for j in range(count)
        )
        assert on_front == (not beaten)
