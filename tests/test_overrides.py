"""Overrides: none by default, each change in the name and the row, and yamls that are not committed."""

from pathlib import Path

import pytest
import yaml

from viad.config.composition import compose_params
from viad.experiments.overrides import CommittedConf, find_overrides

ROOT = Path(__file__).parents[1]


def _read(path):
    return yaml.safe_load((ROOT / path).read_text()) if (ROOT / path).is_file() else None


def _composed(tmp_path, *overrides):
    compose_params(overrides, tmp_path / "params.yaml")
    return yaml.safe_load((tmp_path / "params.yaml").read_text())


@pytest.mark.parametrize("group", ["dataset", "model", "validation", "backbone", "shift"])
def test_nothing_of_what_the_project_has_counts_as_changed(group, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
        more = ["model.path=somewhere"] if path.stem == "external" else []
        params = _composed(tmp_path, f"{group}={path.stem}", *more)
        assert params[group]["name"] in (path.stem, "efficientnet_lite0")  # `of_preset` names another
        assert find_overrides(params, _read) == ""


def test_each_change_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    changes = (
        "dataset.split.test_normals=0.5",
        "model.small.args.num_neighbors=1",
    )
    conditions = ("image_size=128", "threshold.false_positive_rate=0.1", "accelerator=cpu")
    assert find_overrides(_composed(tmp_path, *changes, *conditions), _read) == ", ".join(changes)
    own = ("dataset=kolektor_sdd2", "dataset.split.reserve_anomalies=0.1")  # whose yaml changes that of its base
    assert find_overrides(_composed(tmp_path, *own), _read) == own[1]
    stops = ("validation.patience=9",)
    assert find_overrides(_composed(tmp_path, "validation=normal", *stops), _read) == stops[0]


def test_without_a_conf_nothing_is_known_to_have_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert find_overrides(_composed(tmp_path, "model.small.epochs=9"), lambda _: None) == ""
    assert find_overrides({}, _read) == ""


def test_new_and_removed_parameters_are_said(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    params = _composed(tmp_path)
    params["model"]["small"]["args"]["whiten"] = True
    del params["model"]["small"]["args"]["max_patches"]
    assert find_overrides(params, _read) == "model.small.args.whiten=True, ~model.small.args.max_patches"


def test_what_the_images_are_made_with_counts_and_where_they_lie_does_not(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    small = _composed(tmp_path, "dataset=synthetic", "dataset.source.size=128")
    assert find_overrides(small, _read) == "dataset.source.size=128"
    assert find_overrides(_composed(tmp_path, "dataset=visa", "dataset.source=/data/visa.tar"), _read) == ""


def test_a_forgotten_condition_is_an_override(tmp_path, monkeypatch):
    """A key of conf/config.yaml without an entry distinguishes experiments all the same."""
    monkeypatch.chdir(ROOT)
    params = _composed(tmp_path) | {"toy": 3}
    config = _read("conf/config.yaml") | {"toy": 1}
    assert find_overrides(params, lambda path: config if path == "conf/config.yaml" else _read(path)) == "toy=3"


def _params(number):
    block = {"name": "new", "small": {"args": {"k": number}}}
    return {"model": block, "dataset": {"name": "elpv"}}


def _started(*blocks):
    """Reads a commit that has conf/config.yaml and some blocks."""
    files = {"conf/config.yaml": {"seed": 1}} | dict(blocks)
    return lambda path: files.get(path)


def _found(conf, start, number):
    params = _params(number)
    return find_overrides(params | {"seed": 1}, conf.make_reader(start, params))


def test_variants_of_a_yaml_that_was_never_committed_differ():
    conf = CommittedConf(_started())
    assert [_found(conf, _started(), number) for number in (3, 3, 5)] == ["", "", "model.small.args.k=5"]


def test_a_yaml_that_is_committed_later_is_what_its_variants_are_compared_with():
    committed = _started(("conf/model/new.yaml", _params(5)["model"]))
    conf = CommittedConf(committed)
    assert _found(conf, _started(), 3) == "model.small.args.k=3"
    assert _found(conf, _started(), 5) == _found(conf, committed, 5) == ""


def test_an_uncommitted_edit_is_said():
    edited = _started(("conf/model/new.yaml", _params(3)["model"]))
    assert _found(CommittedConf(edited), edited, 4) == "model.small.args.k=4"


def test_a_base_that_is_newer_than_the_experiment_is_read_in_the_present_commit():
    block = {"defaults": [{"split": "half"}, "_self_"], "name": "elpv"}
    present = _started(("conf/dataset/elpv.yaml", block), ("conf/dataset/split/half.yaml", {"seed": 1}))
    params = {"dataset": {"name": "elpv", "split": {"seed": 1}}, "seed": 1}
    assert find_overrides(params, CommittedConf(present).make_reader(_started(), params)) == ""
