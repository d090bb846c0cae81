"""metrics/image.py against naive loops, anomalib's classes and invariances."""

import numpy as np
import pytest
import torch
from anomalib.metrics.pg_pb import _PBn, _PGn
from hypothesis import given
from hypothesis import strategies as st

from viad.metrics.image import image_aupr, image_auroc, image_auroc_by_defect, image_f1max, pb, pg
from viad.metrics.measurement import measure_level

# Strictly increasing on -50..50, and distinct in float32 there: ties stay ties, and nothing else becomes one.
INCREASING = {
    "affine": lambda x: 3 * x + 7,
    "narrow": lambda x: 20 + 1e-3 * x,
    "cube": lambda x: x**3,
    "exp": lambda x: np.exp(x / 10),
    "sigmoid": lambda x: 1 / (1 + np.exp(-x / 10)),
}


def random_case(seed, normals=37, anomalies=23, decimals=None):
    rng = np.random.default_rng(seed)
    scores = np.concatenate([rng.normal(size=normals), rng.normal(0.8, 1.5, size=anomalies)]).astype(np.float32)
    scores = scores if decimals is None else scores.round(decimals)
    return scores, np.repeat([0, 1], [normals, anomalies])


def pairwise_auroc(scores, labels):
    wins = 0.0
    for anomalous in scores[labels == 1]:
        for normal in scores[labels == 0]:
            wins += 1.0 if anomalous > normal else 0.5 if anomalous == normal else 0.0
    return wins / ((labels == 1).sum() * (labels == 0).sum())


def looped_precision_recall(scores, labels):
    """(precision, recall) at each distinct score as threshold, highest first."""
    for threshold in sorted(set(scores), reverse=True):
        called = scores >= threshold
        yield (called & (labels == 1)).sum() / called.sum(), (called & (labels == 1)).sum() / (labels == 1).sum()


@pytest.mark.parametrize("decimals", [None, 1, 0])
@pytest.mark.parametrize("seed", range(3))
def test_rank_metrics_equal_naive_loops(seed, decimals):
    scores, labels = random_case(seed, decimals=decimals)
    average_precision, before, best = 0.0, 0.0, 0.0
    for precision, recall in looped_precision_recall(scores, labels):
        average_precision += (recall - before) * precision
        before = recall
        best = max(best, 2 * precision * recall / (precision + recall) if recall else 0.0)
    assert image_auroc(scores, labels) == pytest.approx(pairwise_auroc(scores, labels), abs=1e-12)
    assert image_aupr(scores, labels) == pytest.approx(average_precision, abs=1e-12)
    assert image_f1max(scores, labels) == pytest.approx(best, abs=1e-12)


def test_hand_worked():
    scores, labels = np.array([1.0, 2.0, 3.0, 4.0]), np.array([0, 1, 0, 1])
    assert image_auroc(scores, labels) == 0.75
    assert image_aupr(scores, labels) == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert image_f1max(scores, labels) == pytest.approx(0.8)  # threshold 2: precision 2/3, recall 1


@pytest.mark.parametrize("rate", [0.02, 0.05, 0.2])
@pytest.mark.parametrize("seed", range(5))
def test_pg_and_pb_equal_anomalibs(seed, rate):
    scores, labels = random_case(seed, normals=211, anomalies=173)
    good, bad = _PGn(fnr=rate), _PBn(fpr=rate)
    for theirs in (good, bad):
        theirs.update(torch.from_numpy(scores), torch.from_numpy(labels))
    assert pg(scores, labels, rate) == pytest.approx(float(good.compute()), abs=1e-6)
    assert pb(scores, labels, rate) == pytest.approx(float(bad.compute()), abs=1e-6)


def test_pg_hand_worked():
    # The 2 % quantile of 0..50 is 1: 0.5 lies under it, 1 itself does not.
    scores = np.concatenate([np.arange(51.0), [0.5, 1.0, 1.5, 0.0]])
    assert pg(scores, np.repeat([1, 0], [51, 4]), 0.02) == 0.5


def test_pb_hand_worked():
    # The 98 % quantile of 0..50 is 49.
    scores = np.concatenate([np.arange(51.0), [48.5, 49.5, 50.0, 51.0]])
    assert pb(scores, np.repeat([0, 1], [51, 4]), 0.02) == 0.75


def test_scores_at_the_threshold_are_not_presorted():
    scores = np.array([5.0, 5.0, 5.0, 6.0])
    assert pb(scores, np.array([0, 0, 1, 1]), 0.02) == 0.5
    assert pg(scores[::-1], np.array([0, 0, 1, 1]), 0.02) == 0.0


def test_separable_raw_scores_outside_0_1_are_perfect():
    scores, labels = np.arange(20, 32, dtype=np.float32), np.repeat([0, 1], 6)
    assert set(measure_level("image", scores, labels).values()) == {1.0}


@pytest.mark.parametrize("label", [0, 1])
def test_one_class_is_undefined(label):
    assert measure_level("image", np.array([0.1, 0.2, 0.3]), np.full(3, label)) == {}


@given(
    pairs=st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 1)), min_size=2, max_size=40),
    name=st.sampled_from(sorted(INCREASING)),
    dtype=st.sampled_from([np.float32, np.float64]),
    data=st.data(),
)
def test_increasing_maps_and_order_change_nothing(pairs, name, dtype, data):
    pairs = [*pairs, (0, 0), (1, 1)]  # both classes
    shuffled = data.draw(st.permutations(pairs))
    plain, moved = np.array(pairs), np.array(shuffled)
    mapped = INCREASING[name](moved[:, 0].astype(np.float64)).astype(dtype)
    assert len(set(mapped)) == len(set(plain[:, 0]))
    for metric in (image_auroc, image_aupr, image_f1max):
        expected = metric(plain[:, 0].astype(np.float64), plain[:, 1])
        assert metric(mapped, moved[:, 1]) == pytest.approx(expected, abs=1e-12)


def test_reversed_scores_give_the_complement():
    scores, labels = random_case(0, decimals=1)
    assert image_auroc(-scores, labels) == pytest.approx(1 - image_auroc(scores, labels))


def test_auroc_by_defect_is_each_type_against_all_normals():
    scores = np.array([0.0, 1.0, 2.0, 0.5, 3.0, -1.0])
    labels = np.array([0, 0, 0, 1, 1, 1])
    defects = np.array(["good", "good", "good", "scratch", "crack", "scratch"])
    result = image_auroc_by_defect(scores, labels, defects)
    assert result == {"crack": 1.0, "scratch": pytest.approx(1 / 6)}
    assert list(result) == ["crack", "scratch"]


def test_auroc_by_defect_without_one_class_is_empty():
    defects = np.array(["crack", "crack"])
    assert image_auroc_by_defect(np.array([1.0, 2.0]), np.array([1, 1]), defects) == {}
    assert image_auroc_by_defect(np.array([1.0, 2.0]), np.array([0, 0]), defects) == {}
