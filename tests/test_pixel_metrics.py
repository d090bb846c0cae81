"""metrics/pixel.py and pixel_counts.py against exact references, other libraries and hand-made maps."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from anomalib.metrics.aupro import _AUPRO
from anomalib.metrics.pimo.functional import aupimo_scores
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.ndimage import label
from sklearn.metrics import average_precision_score, precision_recall_curve, roc_auc_score
from torchmetrics.classification import BinaryAUROC, BinaryAveragePrecision

from viad.metrics.measurement import measure_pixel_level
from viad.metrics.pixel_counts import COARSE_BINS, SUB_BINS, lay_bins

NAMES = ["pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30", "aupro_5", "aupimo"]
# The 131,072 normal pixels of two 256 x 256 images resolve AUPIMO's lower bound of 1e-5.
SIDE = 256


def measure(maps, masks, pieces=1):
    parts = list(zip(np.array_split(maps.astype(np.float32), pieces), np.array_split(masks, pieces), strict=True))
    return dict.fromkeys(NAMES) | measure_pixel_level(lambda: iter(parts))


def some_masks(side=SIDE):
    """Two normal and three anomalous images; regions of several sizes, some joined only by a corner."""
    masks = np.zeros((5, side, side), bool)
    masks[2, 5:60, 10:40] = True
    masks[2, 100:104, 200:203] = True
    masks[3, 0, 0] = masks[3, 1, 1] = masks[3, 2, 2] = True
    masks[3, 50:90, 50:90] = masks[3, 90:120, 90:95] = True
    masks[4, -20:, -30:] = True
    return masks


def noise(masks, seed=0, lift=2.0):
    return np.random.default_rng(seed).normal(size=masks.shape) + lift * masks


DISTRIBUTIONS = {
    "random": noise,
    "weak": lambda masks: noise(masks, lift=0.3),
    "tied": lambda masks: noise(masks).round(1),
    "cauchy": lambda masks: np.random.default_rng(1).standard_cauchy(masks.shape) + 3.0 * masks,
    "narrow": lambda masks: 20 + 1e-3 * noise(masks),
    "negative": lambda masks: noise(masks) - 100,
    "wide": lambda masks: np.exp(3 * noise(masks)),
    "uniform": lambda masks: (np.random.default_rng(2).random(masks.shape) + 0.3 * masks) / 1.3,
}


def exact_aupro(maps, masks, limit):
    """All distinct scores as thresholds, regions one by one, interpolated at the limit."""
    regions = []
    for one, mask in zip(maps, masks, strict=True):
        found, count = label(mask, structure=np.ones((3, 3)))
        regions += [np.sort(one[found == i]) for i in range(1, count + 1)]
    normal = np.sort(maps[~masks])
    thresholds = np.unique(maps)[::-1]
    false_rate = 1 - np.searchsorted(normal, thresholds) / len(normal)
    overlap = np.mean([1 - np.searchsorted(region, thresholds) / len(region) for region in regions], axis=0)
    area, x0, y0 = 0.0, 0.0, 0.0
    for x1, y1 in zip(false_rate, overlap, strict=True):
        if x1 > limit:
            edge = y0 + (y1 - y0) * (limit - x0) / (x1 - x0)
            return (area + (limit - x0) * (y0 + edge) / 2) / limit
        area += (x1 - x0) * (y0 + y1) / 2
        x0, y0 = x1, y1
    return area / limit


def exact_aupimo(maps, masks, low=1e-5, high=1e-4):
    """Image by image: recall over log rate, linear between thresholds. The curve must span the bounds."""
    normal_images = ~masks.any(axis=(1, 2))
    normal = np.sort(maps[normal_images].ravel())
    values = []
    for one, mask in zip(maps[~normal_images], masks[~normal_images], strict=True):
        inside = np.sort(one[mask])
        thresholds = np.unique(np.concatenate([normal, inside]))[::-1]
        rate = (len(normal) - np.searchsorted(normal, thresholds)) / len(normal)
        recall = (len(inside) - np.searchsorted(inside, thresholds)) / len(inside)
        x, y = np.log(rate[rate > 0]), recall[rate > 0]
        assert x[0] <= np.log(low)
        grid = np.unique(np.clip(x, np.log(low), np.log(high)))
        # Several recalls at one rate: a piece that ends there ends at the lowest, one that starts there
        # starts at the highest.
        area = 0.0
        for a, b in pairwise(grid):
            area += (b - a) * (_at(x, y, a, max) + _at(x, y, b, min)) / 2
        values.append(area / (np.log(high) - np.log(low)))
    return float(np.mean(values))


def _at(x, y, where, choose):
    equal = y[x == where]
    if len(equal):
        return choose(equal)
    right = np.searchsorted(x, where)
    left = right - 1
    return y[left] + (y[right] - y[left]) * (where - x[left]) / (x[right] - x[left])


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_within_1e_4_of_exact_references(name):
    masks = some_masks()
    maps = DISTRIBUTIONS[name](masks).astype(np.float32)
    precision, recall, _ = precision_recall_curve(masks.ravel(), maps.ravel())
    expected = {
        "pixel_auroc": roc_auc_score(masks.ravel(), maps.ravel()),
        "pixel_ap": average_precision_score(masks.ravel(), maps.ravel()),
        "pixel_f1max": np.nanmax(2 * precision * recall / np.maximum(precision + recall, 1e-30)),
        "aupro_30": exact_aupro(maps, masks, 0.30),
        "aupro_5": exact_aupro(maps, masks, 0.05),
        "aupimo": exact_aupimo(maps, masks),
    }
    found = measure(maps, masks)
    assert list(found) == NAMES
    for metric, value in expected.items():
        assert found[metric] == pytest.approx(value, abs=1e-4), metric


def test_torchmetrics_agrees_on_scores_in_0_1():
    masks = some_masks()
    maps = DISTRIBUTIONS["uniform"](masks).astype(np.float32)
    found = measure(maps, masks)
    scores, truth = torch.from_numpy(maps).ravel(), torch.from_numpy(masks).ravel().int()
    assert found["pixel_auroc"] == pytest.approx(float(BinaryAUROC()(scores, truth)), abs=2e-4)
    assert found["pixel_ap"] == pytest.approx(float(BinaryAveragePrecision()(scores, truth)), abs=2e-4)


@pytest.mark.parametrize(("limit", "metric"), [(0.30, "aupro_30"), (0.05, "aupro_5")])
@pytest.mark.parametrize("name", ["random", "narrow", "negative"])
def test_anomalibs_aupro_agrees(name, limit, metric):
    masks = some_masks(side=210)
    maps = DISTRIBUTIONS[name](masks).astype(np.float32)
    theirs = _AUPRO(fpr_limit=limit)
    theirs.update(torch.from_numpy(maps), torch.from_numpy(masks).int())
    # Its running sums are float32.
    assert measure(maps, masks)[metric] == pytest.approx(float(theirs.compute()), abs=1e-3)


def test_anomalibs_aupimo_agrees():
    masks = some_masks(side=317)  # so that rates of normal pixels fall on both bounds
    maps = noise(masks, lift=3.5).astype(np.float32)
    *_, classes, theirs, _ = aupimo_scores(
        torch.from_numpy(maps), torch.from_numpy(masks).int(), num_thresholds=20_000, force=True
    )
    ours = measure(maps, masks)["aupimo"]
    assert 0.05 < ours < 0.95
    # It takes evenly spaced thresholds, the nearest ones for the bounds.
    assert ours == pytest.approx(float(theirs[classes == 1].mean()), abs=0.005)


def test_perfect_map():
    masks = some_masks(side=210)
    assert measure(masks * 1.0, masks) == pytest.approx(dict.fromkeys(NAMES, 1.0), abs=1e-9)
    assert measure(-20 - 1e-3 * ~masks, masks) == pytest.approx(dict.fromkeys(NAMES, 1.0), abs=1e-9)


def test_inverted_perfect_map_finds_nothing():
    masks = some_masks(side=210)
    found = measure(~masks * 1.0, masks)
    share = masks.mean()
    assert found["pixel_auroc"] == found["aupro_30"] == found["aupro_5"] == 0
    assert found["pixel_ap"] == pytest.approx(share)
    assert found["pixel_f1max"] == pytest.approx(2 * share / (1 + share))


@pytest.mark.parametrize("value", [0.0, -3.7, 1e30])
def test_constant_map_knows_nothing(value):
    masks = some_masks(side=210)
    found = measure(np.full(masks.shape, value), masks)
    share = masks.mean()
    del found["aupimo"]  # below
    assert found == pytest.approx(
        {
            "pixel_auroc": 0.5,
            "pixel_ap": share,
            "pixel_f1max": 2 * share / (1 + share),
            "aupro_30": 0.15,  # the diagonal
            "aupro_5": 0.025,
        }
    )


FALSE_RISE = "recall at the first rate above 0 is drawn out down to log(tiny): _aupimo_weights, pixel.py:151-171"


def test_constant_map_has_no_aupimo():
    masks = some_masks(side=210)
    assert measure(np.ones(masks.shape), masks)["aupimo"] == 0.0


def test_aupimo_counts_nothing_below_the_lowest_rate_where_nothing_is_found_without_false_alarm():
    masks = np.zeros((2, 200, 200), bool)  # 40,000 normal pixels: rates are multiples of 2.5e-5
    masks[1, :10, :10] = True
    maps = masks.astype(np.float32)
    maps[0, 0, 0] = 1.0  # recall jumps from 0 to 1 just where the rate does from 0 to 2.5e-5
    assert measure(maps, masks)["aupimo"] == pytest.approx(np.log(1e-4 / 2.5e-5) / np.log(10), abs=1e-4)


def test_hand_worked():
    #     scores            masks
    maps = np.array([[[4, 3], [2, 1]], [[0, 0], [0, 0]]])
    masks = np.array([[[1, 0], [1, 0]], [[0, 0], [0, 0]]], bool)
    found = measure(maps, masks)
    # Falling thresholds: 4 (1 of 2 found, 0 of 6 false), 3 (1, 1), 2 (2, 1), 1 (2, 2), 0 (2, 6). One region.
    assert found["pixel_auroc"] == pytest.approx(11 / 12)
    assert found["pixel_ap"] == pytest.approx(0.5 * 1 + 0.5 * 2 / 3)
    assert found["pixel_f1max"] == pytest.approx(0.8)
    assert found["aupro_30"] == pytest.approx((0.5 / 6 + (0.3 - 1 / 6)) / 0.3)
    assert found["aupro_5"] == pytest.approx(0.5)


def test_regions_count_alike_and_corners_join():
    masks = np.zeros((1, 8, 8), bool)
    masks[0, 0, 0] = masks[0, 1, 1] = True  # one region by its corner
    masks[0, 4:8, 4:8] = True
    maps = np.where(masks, 1.0, 0.5)
    maps[0, 4:8, 4:8] = 0.0
    # The small region is found before any normal, the large one after all of them.
    assert measure(maps, masks)["aupro_30"] == pytest.approx(0.5)


# Strictly increasing in float32 on multiples of 1/32 from -4 to 4.
INCREASING = {
    "affine": lambda x: 20 + 1e-2 * x,
    "negative": lambda x: x - 1000,
    "exp": np.exp,
    "cube": lambda x: x**3,
    "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "steep": lambda x: np.sinh(5 * x),
}


@settings(max_examples=20)
@given(seed=st.integers(0, 10**6), name=st.sampled_from(sorted(INCREASING)))
def test_increasing_maps_of_scores_change_nothing(seed, name):
    masks = np.random.default_rng(seed).random((3, 24, 24)) > 0.93
    masks[0] = False
    scores = np.clip((noise(masks, seed) * 32).round() / 32, -4, 4)
    mapped = INCREASING[name](scores).astype(np.float32)
    assert len(np.unique(mapped)) == len(np.unique(scores))
    assert measure(mapped, masks) == pytest.approx(measure(scores, masks), abs=1e-9)


@pytest.mark.parametrize("pieces", [2, 5])
def test_pieces_and_order_change_nothing(pieces):
    masks = some_masks()
    maps = noise(masks)
    whole = measure(maps, masks)
    assert measure(maps, masks, pieces) == pytest.approx(whole, abs=1e-12)
    order = np.array([3, 0, 4, 1, 2])
    assert measure(maps[order], masks[order], pieces) == pytest.approx(whole, abs=1e-12)


def test_zero_and_minus_zero_are_one_score():
    masks = np.zeros((2, 4, 4), bool)
    masks[1, 0, 0] = True
    maps = np.where(masks, np.float32(0.0), np.float32(-0.0))
    assert measure(maps, masks)["pixel_auroc"] == 0.5


@pytest.mark.parametrize("anomalous", [False, True])
def test_one_kind_of_pixel_is_undefined(anomalous):
    masks = np.full((2, 8, 8), anomalous)
    assert measure(noise(masks), masks) == dict.fromkeys(NAMES)


def test_aupimo_is_undefined_without_a_normal_image():
    masks = np.zeros((2, 8, 8), bool)
    masks[:, :2] = True
    found = measure(noise(masks), masks)
    assert found.pop("aupimo") is None
    assert None not in found.values()


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_bins_do_not_grow_with_the_number_of_maps(name):
    masks = some_masks(side=210)
    maps = DISTRIBUTIONS[name](masks).astype(np.float32)
    few, many = lay_bins([(maps, masks)]), lay_bins([(maps, masks)] * 20)
    assert few.size == many.size <= 2 * SUB_BINS + COARSE_BINS


def test_codes_keep_the_order_of_scores():
    masks = some_masks(side=210)
    maps = DISTRIBUTIONS["cauchy"](masks).astype(np.float32)
    codes = lay_bins([(maps, masks)])
    ordered = codes(np.sort(maps.ravel()))
    assert (np.diff(ordered) >= 0).all()
    assert ordered.min() >= 0
    assert ordered.max() < codes.size
