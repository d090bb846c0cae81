"""metrics/threshold.py: values worked out by hand, and what a threshold promises."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viad.metrics.measurement import measure_at_threshold, measure_level
from viad.metrics.threshold import false_negative_rate, false_positive_rate, set_threshold

SCORES = np.array([0.1, 0.5, 0.9, 0.4, 0.6, 0.8], dtype=np.float32)
LABELS = np.array([0, 0, 0, 1, 1, 1])
DEFECTS = np.array(["", "", "", "crack", "crack", "scratch"])


def test_no_threshold_without_validation_normals():
    assert set_threshold(np.array([], dtype=np.float32), 0.05) is None


def test_threshold_hand_worked():
    scores = np.arange(1.0, 12.0)[::-1]  # 1 to 11, in any order
    assert set_threshold(scores, 0.1) == 10.0  # one of eleven lies above
    assert set_threshold(scores, 0.0) == 11.0
    assert set_threshold(np.array([3.0]), 0.05) == 3.0


@given(
    scores=st.lists(st.integers(-30, 30), min_size=1, max_size=60),
    rate=st.sampled_from([0.0, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5, 0.9]),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_share_above_the_threshold_keeps_the_rate(scores, rate, dtype):
    values = np.array(scores, dtype=dtype) / 7
    limit = set_threshold(values, rate)
    assert limit in values
    assert (values > limit).mean() <= rate


def test_threshold_is_the_lowest_that_keeps_the_rate():
    # Of 20 scores one may lie above at 5 %, so the last but one will do.
    assert set_threshold(np.arange(20.0), 0.05) == 18.0


def _measure(scores, labels, defects, limit, **more):
    return measure_at_threshold(scores, labels, defects, SCORES[:0], limit, shifted=False, **more)


def test_rates_hand_worked():
    assert _measure(SCORES, LABELS, DEFECTS, 0.5) == {
        "threshold": 0.5,
        "false_positive_rate": pytest.approx(1 / 3),  # 0.5 itself is not above
        "false_negative_rate": pytest.approx(1 / 3),
        "false_negative_rate_by_defect": {"crack": 0.5, "scratch": 0.0},
    }


def test_rates_leave_out_what_is_undefined():
    assert _measure(SCORES[:3], LABELS[:3], DEFECTS[:3], 0.5).keys() == {"threshold", "false_positive_rate"}
    assert _measure(SCORES[3:], LABELS[3:], DEFECTS[3:], 0.5).keys() == {
        "threshold",
        "false_negative_rate",
        "false_negative_rate_by_defect",
    }
    assert _measure(SCORES, LABELS, DEFECTS, None) == {}
    assert false_positive_rate(SCORES[3:], LABELS[3:], 0.5) is None
    assert false_negative_rate(SCORES[:3], LABELS[:3], 0.5) is None


def test_effect_of_a_shift_hand_worked():
    effect = measure_level("shift", np.array([2.0, 3.0, 4.0, 0.0]), np.array([1.0, 2.0]), 2.5)
    # Pairs: 2 beats 1 and ties 2; 3 and 4 beat both; 0 beats none.
    assert effect == {"shifted_called_anomalous": 0.5, "shifted_vs_unshifted_auroc": pytest.approx(5.5 / 8)}


def test_shift_that_changes_nothing_is_not_seen():
    scores = np.random.default_rng(0).normal(size=50)
    assert measure_level("shift", scores, scores, scores.max()) == {
        "shifted_called_anomalous": 0.0,
        "shifted_vs_unshifted_auroc": pytest.approx(0.5),
    }


def test_effect_of_a_shift_without_validation_normals_has_no_auroc():
    assert measure_level("shift", np.array([1.0, 2.0]), np.array([]), 1.5) == {"shifted_called_anomalous": 0.5}
