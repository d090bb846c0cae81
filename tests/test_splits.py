"""splits.py: shares kept, types balanced, groups whole, and the same cut for everyone."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from viad.errors import ConfigError, DataError
from viad.protocol.splits import assign_splits

SPLIT = {"seed": 3341, "test_normals": 0.25, "val_normals": 0.15, "reserve_anomalies": 0.5, "reserve_defects": []}


def table(normals, defects, split=""):
    rows = [(f"n{i:03}", 0, "good") for i in range(normals)]
    rows += [(f"{defect}{i:03}", 1, defect) for defect, count in defects.items() for i in range(count)]
    frame = pd.DataFrame(rows, columns=["sample", "label", "defect"])
    return frame.assign(group="", split=split)


def published(train, test, defects):
    frame = table(train + test, defects)
    return frame.assign(split=["train"] * train + ["test"] * (len(frame) - train))


def cut(samples, protocol="study", category="mono", **split):
    return assign_splits(samples, protocol, SPLIT | split, category)


def count(samples, result, split, **where):
    chosen = result == split
    for column, value in where.items():
        chosen &= samples[column] == value
    return int(chosen.sum())


def test_shares_of_an_unsplit_dataset():
    samples = table(200, {"crack": 60, "scratch": 20})
    result = cut(samples)
    assert count(samples, result, "test", label=0) == 50  # 25 % of 200
    assert count(samples, result, "val", label=0) == 22  # 15 % of the other 150, 22.5
    assert count(samples, result, "train", label=0) == 128
    assert count(samples, result, "reserve") == count(samples, result, "reserve", label=1) == 40
    assert count(samples, result, "test", label=1) == 40
    assert count(samples, result, "train", label=1) == count(samples, result, "val", label=1) == 0


def test_pool_is_stratified_by_defect():
    samples = table(20, {"crack": 60, "scratch": 21, "stain": 9})
    result = cut(samples, reserve_anomalies=0.3)
    # 18, 6.3 and 2.7 of 27 in all: the largest remainder gets the last one.
    found = {defect: count(samples, result, "reserve", defect=defect) for defect in ("crack", "scratch", "stain")}
    assert found == {"crack": 18, "scratch": 6, "stain": 3}


@given(
    normals=st.integers(8, 60),
    counts=st.lists(st.integers(1, 30), min_size=1, max_size=5),
    share=st.sampled_from([0.0, 0.1, 0.29, 0.5, 0.7]),
    seed=st.integers(0, 1000),
)
def test_pool_quotas_for_any_counts(normals, counts, share, seed):
    defects = {f"type{i}": n for i, n in enumerate(counts)}
    samples = table(normals, defects)
    total = sum(counts)
    if round(total * share) == total:  # nothing would be left for test
        return
    result = cut(samples, reserve_anomalies=share, seed=seed)
    assert count(samples, result, "reserve") == round(total * share)
    for defect, n in defects.items():
        assert abs(count(samples, result, "reserve", defect=defect) - n * share) < 1
    assert count(samples, result, "test", label=0) == round(normals * 0.25)
    assert set(result) <= {"train", "val", "test", "reserve"}


def test_published_test_set_is_kept():
    samples = published(80, 15, {"crack": 20, "scratch": 10})
    result = cut(samples, reserve_anomalies=0.4)
    normal = samples["label"] == 0
    assert (result[normal & (samples["split"] == "test")] == "test").all()
    assert count(samples, result, "val") == 12
    assert (samples["split"][result == "val"] == "train").all()
    assert count(samples, result, "reserve") == 12
    assert (samples["split"][result == "reserve"] == "test").all()
    assert count(samples, result, "test", label=1) == 18


def test_published_validation_is_kept():
    samples = published(80, 15, {"crack": 20})
    samples.loc[:9, "split"] = "val"
    result = cut(samples)
    assert result.index[result == "val"].tolist() == list(range(10))


def test_deterministic_and_moved_by_seed_and_category():
    samples = table(60, {"crack": 30})
    first = cut(samples)
    pd.testing.assert_series_equal(cut(samples), first)
    assert (cut(samples, seed=1) != first).any()
    assert (cut(samples, category="poly") != first).any()


def test_samples_are_not_touched():
    samples = table(60, {"crack": 30})
    before = samples.copy()
    cut(samples)
    pd.testing.assert_frame_equal(samples, before)


def grouped(seed):
    """Groups of 1 to 4 images of one defect type; some images are alone."""
    samples = table(60, {"crack": 30, "scratch": 17})
    number = samples.groupby("defect").cumcount() // (2 + seed % 3)
    group = samples["defect"] + "-part" + number.astype(str)
    return samples.assign(group=group.where(number % 3 != 0, ""))


@given(seed=st.integers(0, 1000), order=st.randoms(use_true_random=False))
def test_independent_of_the_order_of_rows(seed, order):
    samples = grouped(seed)
    rows = list(samples.index)
    order.shuffle(rows)
    moved = samples.loc[rows].reset_index(drop=True)
    first = dict(zip(samples["sample"], cut(samples, seed=seed), strict=True))
    assert dict(zip(moved["sample"], cut(moved, seed=seed), strict=True)) == first


@given(seed=st.integers(0, 1000))
def test_groups_are_never_split(seed):
    samples = grouped(seed)
    result = cut(samples, seed=seed)
    named = samples["group"] != ""
    assert result[named].groupby(samples["group"][named]).nunique().eq(1).all()
    # The last group may carry each share over its mark, by less than a group's size for each type.
    assert 15 <= count(samples, result, "test", label=0) < 15 + 4
    assert 24 - 1 <= count(samples, result, "reserve") < 24 + 2 * 4


def test_groups_of_several_defect_types_are_not_split():
    samples = table(60, {"crack": 30, "scratch": 30})
    number = samples.groupby("defect").cumcount().astype(str)
    # Two pictures of each part: one shows its crack, one its scratch.
    samples["group"] = ("part" + number).where(samples["label"] == 1, "")
    result = cut(samples)
    parts = samples["group"] != ""
    assert result[parts].groupby(samples["group"][parts]).nunique().eq(1).all()


def test_groups_of_normal_and_anomalous_images_do_not_straddle_train_and_test():
    samples = table(60, {"crack": 30})
    samples["group"] = "part" + samples.groupby("defect").cumcount().astype(str)
    result = cut(samples)
    trained = set(samples["group"][result == "train"])
    assert not trained & set(samples["group"][result == "test"])


def test_set_apart_types_go_to_the_pool_whole():
    samples = table(60, {"crack": 30, "scratch": 10, "stain": 8})
    result = cut(samples, reserve_defects=["scratch", "stain"])
    assert (result[samples["defect"].isin(["scratch", "stain"])] == "reserve").all()
    assert count(samples, result, "reserve", defect="crack") == 15
    assert count(samples, result, "test", defect="crack") == 15


@pytest.mark.parametrize("amount", [0, 1, 10, 47])
def test_pool_by_count(amount):
    samples = table(60, {"crack": 30, "scratch": 18, "stain": 5})
    result = cut(samples, reserve_anomalies=amount, reserve_defects=["stain"])
    assert count(samples, result, "reserve") == amount + 5


def test_pool_that_leaves_no_anomaly():
    samples = table(60, {"crack": 10})
    with pytest.raises(ConfigError, match=r"reserve_anomalies: 10, but some of the 10 anomalies must stay"):
        cut(samples, reserve_anomalies=10)


@pytest.mark.parametrize("key", ["test_normals", "val_normals", "reserve_anomalies"])
@pytest.mark.parametrize("value", [1.0, -0.1, "0.2", True])
def test_shares_that_are_none(key, value):
    with pytest.raises(ConfigError, match=rf"dataset\.split\.{key}: .* is not a share"):
        cut(table(60, {"crack": 10}), **{key: value})


def test_official_keeps_the_published_split():
    samples = published(8, 5, {"crack": 4})
    pd.testing.assert_series_equal(cut(samples, protocol="official"), samples["split"])


def test_official_wants_a_published_split():
    samples = published(8, 5, {"crack": 4})
    samples.loc[3, "split"] = ""
    with pytest.raises(ConfigError, match=r"official, but bottle has images without a published split.*protocol=study"):
        cut(samples, protocol="official", category="bottle")


def test_test_set_without_anomalies():
    with pytest.raises(DataError, match="bottle: no anomalous image in the test set"):
        cut(table(60, {}), category="bottle")
    with pytest.raises(DataError, match="no anomalous image in the test set"):
        cut(table(60, {"crack": 10}), reserve_defects=["crack"])


def test_test_set_without_normals():
    with pytest.raises(DataError, match="bottle: no normal image in the test set"):
        cut(table(60, {"crack": 10}), category="bottle", test_normals=0.0)


def test_no_normals_to_train_on():
    with pytest.raises(DataError, match="no normal image is left to train on"):
        cut(published(0, 10, {"crack": 10}))
