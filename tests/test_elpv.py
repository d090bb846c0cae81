"""ELPV as its package publishes it, and as the supervised literature pools it."""

import numpy as np
import pandas as pd
import pytest

from conf_files import read_conf, read_facts
from viad.datasets import check_counts, elpv, read_rows
from viad.errors import DataError
from viad.protocol.anomaly_reserve import AnomalyReserve
from viad.protocol.splits import assign_splits


@pytest.fixture(scope="module")
def raw():
    from importlib.resources import files
    from pathlib import Path

    return Path(str(files("elpv_dataset"))) / "data"


def _table(raw, category):
    rows = list(elpv.rows(raw, category))
    fields = ("sample", "label", "defect", "group")
    table = pd.DataFrame({name: [getattr(row, name) for row in rows] for name in fields})
    return table.assign(split=[row.split or "" for row in rows])


def _split_block(name):

    return read_conf(f"dataset/{name}")["split"]


@pytest.mark.parametrize(
    ("category", "counts"),
    [("mono", (588, 117, 56, 313)), ("poly", (920, 178, 50, 402)), ("cells", (1508, 295, 106, 715))],
)
def test_counts_are_the_published_ones(raw, category, counts):
    table = _table(raw, category)
    found = table["defect"].replace({"mono": "defective", "poly": "defective"}).value_counts()
    assert tuple(found[name] for name in ("", "doubtful_33", "doubtful_67", "defective")) == counts


@pytest.mark.parametrize(("name", "category"), [("elpv", "mono"), ("elpv", "poly"), ("elpv_pooled", "cells")])
def test_what_the_experts_doubted_is_in_the_pool_and_never_in_test(raw, name, category):
    table = _table(raw, category)
    split = assign_splits(table, "study", _split_block(name), category)
    assert set(split[table["defect"].str.startswith("doubtful")]) == {"reserve"}


def test_pooled_has_the_split_of_the_open_set_literature(raw):
    table = _table(raw, "cells")
    block = _split_block("elpv_pooled")
    split = assign_splits(table, "study", block, "cells")
    normal = table["label"] == 0
    assert (split[normal] == "test").sum() == 377  # a quarter of 1508, by train_test_split(random_state=42)
    certain = table["defect"].isin(["mono", "poly"])  # the two kinds of anomaly of that literature
    assert (split[certain] == "reserve").sum() == 10
    assert (split[certain] == "test").sum() == 705
    reserve = AnomalyReserve(
        table[split == "reserve"].assign(image=""), doubtful_defects=["doubtful_33", "doubtful_67"], reserve_defects=[],
        val_share=block["val_anomalies"], rng=np.random.default_rng(0),
    )  # fmt: skip
    assert len(reserve.choose_labelled(10)) == len(reserve.choose_labelled("all")) == 10


def test_the_package_is_published_with_the_counts_that_its_yaml_has(tmp_path):
    elpv.publish(tmp_path / "raw", {"package": "elpv-dataset"})
    conf = read_conf("dataset/elpv")
    for category in conf["categories"]:
        rows = read_rows(conf["code"], tmp_path / "raw", category, conf["options"])
        check_counts(rows, category, read_facts("elpv")["counts"])
        assert all(row.image.is_file() for row in rows)


def test_an_incomplete_package_is_an_error(monkeypatch, tmp_path):
    (tmp_path / "data/images").mkdir(parents=True)
    monkeypatch.setattr(elpv, "files", lambda _: tmp_path)
    with pytest.raises(DataError, match="0 images, expected 2624"):
        elpv.publish(tmp_path / "out", {"package": "elpv-dataset"})
    assert not (tmp_path / "out").exists()
