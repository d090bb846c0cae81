"""stages/contaminate.py: what the reserve gives, to whom, and what it refuses."""

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from viad.artifacts.samples import read_samples, write_samples
from viad.errors import ConfigError
from viad.protocol.anomaly_reserve import AnomalyReserve
from viad.seeds import generator
from viad.stages.contaminate import _check_disjoint, _choose_masks, main

COUNTS = {"crack": 30, "scratch": 20, "stain": 8, "doubtful": 12}


def rows(counts=None):
    samples = [(f"{d}{i:02}", 1, d) for d, n in (COUNTS if counts is None else counts).items() for i in range(n)]
    return pd.DataFrame(samples, columns=["sample", "label", "defect"])


def reserve(frame=None, seed=3341, val_share=0.2, doubtful_defects=("doubtful",), reserve_defects=("stain",)):
    return AnomalyReserve(
        rows() if frame is None else frame,
        doubtful_defects=list(doubtful_defects),
        reserve_defects=list(reserve_defects),
        val_share=val_share,
        rng=generator(seed, "contaminate", "mono"),
    )


def noise(ratio, normals=100, source="reserve", **options):
    return reserve(**options).choose_contamination({"ratio": ratio, "source": source}, normals)


def ids(frame):
    return frame["sample"].tolist()


@pytest.mark.parametrize(("ratio", "count"), [(0, 0), (0.05, 5), (0.1, 11), (0.2, 25), (0.28, 39)])
def test_ratio_is_a_share_of_normals_and_anomalies_together(ratio, count):
    found = noise(ratio)
    assert len(found) == count
    assert abs(count / (100 + count) - ratio) <= abs((count + 1) / (101 + count) - ratio)


@given(seed=st.integers(0, 1000), ratios=st.tuples(st.floats(0, 0.28), st.floats(0, 0.28)))
def test_less_contamination_lies_inside_more(seed, ratios):
    low, high = (noise(ratio, seed=seed) for ratio in sorted(ratios))
    assert set(ids(low)) <= set(ids(high))


def test_five_percent_lies_inside_ten():
    assert set(ids(noise(0.05))) < set(ids(noise(0.10)))


def test_fewer_labelled_are_the_first_of_more():
    assert ids(reserve().choose_labelled(3)) == ids(reserve().choose_labelled(10))[:3]


@given(seed=st.integers(0, 1000), labelled=st.integers(0, 29))
def test_uses_are_disjoint(seed, labelled):
    one = reserve(seed=seed)
    uses = [
        one.choose_contamination({"ratio": 0.1, "source": "reserve"}, 100),  # 11 of the 40 free ones
        one.choose_contamination({"ratio": 0.1, "source": "natural"}, 100),
        one.choose_labelled(labelled),
        one.choose_validation("same_defects"),
        one.choose_validation("other_defects"),
    ]
    given_out = [sample for use in uses for sample in ids(use)]
    assert len(given_out) == len(set(given_out)) == 11 + 11 + labelled + 10 + 8


def test_too_many_for_contamination_and_labels_together():
    one = reserve()
    some, labelled = one.choose_contamination({"ratio": 0.1, "source": "reserve"}, 100), one.choose_labelled(30)
    with pytest.raises(ConfigError, match="together need 41 anomalies, 1 more than the reserve has"):
        _check_disjoint(some, labelled)
    _check_disjoint(some, one.choose_labelled(29))


def test_natural_noise_is_of_the_doubtful_types_alone():
    found = noise(0.1, source="natural")
    assert len(found) == 11
    assert set(found["defect"]) == {"doubtful"}
    everything = reserve()
    assert set(pd.concat([everything.free, everything.same_defects])["defect"]) == {"crack", "scratch"}


def test_other_defects_are_the_types_set_apart_alone():
    found = reserve().choose_validation("other_defects")
    assert sorted(ids(found)) == sorted(f"stain{i:02}" for i in range(8))


def test_same_defects_are_the_reserved_share():
    found = reserve().choose_validation("same_defects")
    assert len(found) == 10  # 20 % of 50
    assert set(found["defect"]) <= {"crack", "scratch"}


@pytest.mark.parametrize("name", ["none", "normal"])
def test_no_anomalies_for_validation_that_wants_none(name):
    assert reserve().choose_validation(name).empty


def test_validation_is_reserved_whatever_is_asked():
    # So that labels and contamination are the same under every way to validate.
    assert len(reserve().choose_labelled("all")) == 40
    assert len(reserve(val_share=0.0).choose_labelled("all")) == 50


def test_normal_rows_of_the_reserve_are_never_given_out():
    frame = rows()
    frame.loc[frame["sample"] == "crack00", "label"] = 0
    one = reserve(frame)
    assert "crack00" not in ids(pd.concat([one.choose_labelled("all"), one.choose_validation("same_defects")]))


def test_seed_moves_the_draws_and_order_of_rows_does_not():
    first = reserve()
    again = reserve(rows().sample(frac=1, random_state=5))
    other = reserve(seed=1)
    for of in (
        lambda p: p.choose_contamination({"ratio": 0.1, "source": "reserve"}, 100),
        lambda p: p.choose_labelled(10),
    ):
        assert ids(of(again)) == ids(of(first))
        assert set(ids(of(other))) != set(ids(of(first)))


def test_draws_mix_the_types():
    assert set(noise(0.1)["defect"]) == set(reserve().choose_labelled(10)["defect"]) == {"crack", "scratch"}


def test_more_contamination_than_the_reserve_has():
    # 40 of 140 would be the most.
    with pytest.raises(
        ConfigError,
        match=r"a share of 0\.3 beside 100 normal images needs 43 anomalies, but the source 'reserve' has 40 "
        r"\(enough for a ratio of 0\.286\)",
    ):
        noise(0.3)
    with pytest.raises(ConfigError, match="the source 'natural' has 12"):
        noise(0.2, source="natural")


@pytest.mark.parametrize("ratio", [1.0, -0.1, 5, "0.1", None])
def test_ratio_that_is_none(ratio):
    with pytest.raises(ConfigError, match=r"contamination\.ratio: .* is not a share"):
        noise(ratio)


def test_unknown_source():
    with pytest.raises(
        ConfigError, match=r"contamination\.source: 'test' is not known\. Choose one of reserve, natural"
    ):
        noise(0.1, source="test")


@pytest.mark.parametrize("anomalies", [-1, 2.0, "some", True, None])
def test_labelled_that_is_no_count(anomalies):
    with pytest.raises(ConfigError, match=r"supervision\.anomalies: .* is not a whole number from 0 on or 'all'"):
        reserve().choose_labelled(anomalies)


def test_labelled_of_one_type_leave_the_others_unseen():
    found = reserve().choose_labelled(7, ["scratch"])
    assert found["defect"].tolist() == ["scratch"] * 7
    assert ids(reserve().choose_labelled("all", ["scratch"]))[:7] == ids(found)
    with pytest.raises(ConfigError, match=r"supervision\.defects: \['stain'\] are not in the reserve, which has crack"):
        reserve().choose_labelled(1, ["stain"])  # set apart
    with pytest.raises(ConfigError, match=r"supervision\.anomalies: 21, but the reserve has"):
        reserve().choose_labelled(21, ["scratch"])


def test_hidden_masks():
    rows = pd.DataFrame({"mask": ["a.png", "b.png"]})
    assert _choose_masks(rows, {"masks": True}).tolist() == ["a.png", "b.png"]
    assert rows.assign(mask=_choose_masks(rows, {"masks": False}))["mask"].tolist() == ["", ""]
    with pytest.raises(ConfigError, match=r"supervision\.masks"):
        _choose_masks(rows, {"masks": "some"})


def test_more_labelled_than_the_reserve_has():
    with pytest.raises(ConfigError, match=r"supervision\.anomalies: 41, but the reserve has 40 besides those reserved"):
        reserve().choose_labelled(41)


def test_validation_without_anomalies_of_the_kind():
    with pytest.raises(
        ConfigError, match=r"same_defects, but the reserve has no such anomalies\. Raise .*val_anomalies"
    ):
        reserve(val_share=0.0).choose_validation("same_defects")
    with pytest.raises(
        ConfigError, match=r"other_defects, but the reserve has no such anomalies\. Name the defect types"
    ):
        reserve(reserve_defects=[]).choose_validation("other_defects")


def test_type_named_as_natural_noise_and_set_apart_has_one_use():
    one = reserve(reserve_defects=["doubtful"])
    assert not set(ids(one.natural)) & set(ids(one.other_defects))


def test_contamination_comes_without_its_masks(tmp_path, monkeypatch):
    normals = pd.DataFrame({"sample": [f"n{i}" for i in range(20)], "label": 0, "defect": "", "split": "train"})
    table = pd.concat([normals, rows().assign(split="reserve")], ignore_index=True)
    table = table.assign(image="i.png", mask=["" if label == 0 else "m.png" for label in table["label"]])
    table = table.assign(train_label=table["label"], group="", domain="")
    write_samples(table, tmp_path / "data/resized/toy/mono")
    params = {
        "dataset": {"name": "toy", "doubtful_defects": [], "split": {"reserve_defects": [], "val_anomalies": 0.0}},
        "contamination": {"ratio": 0.2, "source": "reserve"},
        "supervision": {"anomalies": 3, "defects": [], "masks": True},
        "validation": {"name": "none"},
        "seed": 1,
    }
    (tmp_path / "params.yaml").write_text(yaml.safe_dump(params))
    monkeypatch.chdir(tmp_path)
    main("mono")
    trained = read_samples(tmp_path / "data/contaminated/toy/mono")
    hidden = trained[(trained["label"] == 1) & (trained["train_label"] == 0)]
    assert len(hidden) == 5
    assert set(hidden["mask"]) == {""}
    assert trained[trained["train_label"] == 1]["mask"].tolist() == ["m.png"] * 3
