"""What an experiment sets otherwise than its conf/ says: nothing by default, each change in its name and its row."""

from pathlib import Path

import pytest
import yaml

from viad.config.composition import compose_params
from viad.experiments.overrides import changed_settings

ROOT = Path(__file__).parents[1]


def _read(path):
    return yaml.safe_load((ROOT / path).read_text()) if (ROOT / path).is_file() else None


def _composed(tmp_path, *overrides):
    compose_params(overrides, tmp_path / "params.yaml")
    return yaml.safe_load((tmp_path / "params.yaml").read_text())


@pytest.mark.parametrize("group", ["dataset", "model", "validation"])
def test_nothing_of_what_the_project_has_counts_as_changed(group, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    for path in sorted((ROOT / "conf" / group).glob("*.yaml")):
        more = ["model.path=somewhere"] if path.stem == "external" else []
        params = _composed(tmp_path, f"{group}={path.stem}", *more)
        assert params[group]["name"] == path.stem
        assert changed_settings(params, _read) == ""


def test_each_change_is_said(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    changes = (
        "dataset.split.test_normals=0.5",
        "model.small.args.num_neighbors=1",
        "threshold.false_positive_rate=0.1",
    )
    assert changed_settings(_composed(tmp_path, *changes, "image_size=128"), _read) == ", ".join(changes)
    own = ("dataset=kolektor_sdd2", "dataset.split.reserve_anomalies=0.1")  # whose yaml changes that of its base
    assert changed_settings(_composed(tmp_path, *own), _read) == own[1]
    stops = ("validation.patience=9",)
    assert changed_settings(_composed(tmp_path, "validation=normal", *stops), _read) == stops[0]


def test_without_a_conf_nothing_is_known_to_have_changed(tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    assert changed_settings(_composed(tmp_path, "threshold.false_positive_rate=0.1"), lambda _: None) == ""
    assert changed_settings({}, _read) == ""
