"""conf/ and params.yaml agree, and every option composes."""

import runpy
import shutil
from pathlib import Path

import pytest
import yaml

from composed import read_committed
from conf_files import read_conf, read_facts
from viad.config.composition import compose_options, compose_params
from viad.errors import ConfigError
from viad.studies import plans
from viad.training import build

ROOT = Path(__file__).parents[1]
GROUPS = ["dataset", "model", "backbone", "shift", "validation"]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _compose(tmp_path, *overrides):
    compose_params(list(overrides), tmp_path / "params.yaml")
    return yaml.safe_load((tmp_path / "params.yaml").read_text())


def test_params_are_what_conf_composes_to(tmp_path):
    _compose(tmp_path)
    # A run leaves its own params in the workspace; a change of conf/ that is not committed yet, new ones.
    params = [read_committed("params.yaml"), Path("params.yaml").read_text()]
    assert (tmp_path / "params.yaml").read_text() in params, "run `make compose`"


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, path.stem) for group in GROUPS for path in sorted((ROOT / "conf" / group).glob("*.yaml"))],
)
def test_every_option_of_every_group_composes_under_its_own_name(tmp_path, group, option):
    params = _compose(tmp_path, f"{group}={option}")
    # `of_preset` is whatever the model's preset names.
    assert params[group]["name"] == ("efficientnet_lite0" if option == "of_preset" else option)
    assert repr(compose_options(ROOT / "conf", [f"{group}={option}"])) == repr(params), "without Hydra"


@pytest.mark.parametrize("path", sorted((ROOT / "conf/model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_names_its_module_and_both_presets(path):
    model = yaml.safe_load(path.read_text())
    if path.stem == "external":  # the user's folder stands in for the code
        return
    assert (ROOT / model["code"]).exists()
    assert model["learning_type"] in ("one_class", "unsupervised", "supervised")
    optional = {"steps", "backbone", "image_size"}
    for preset in ("small", "paper"):
        assert model[preset].keys() - optional == {"strides", "epochs", "batch_size", "args"}
    assert "image_size" in model["paper"]
    assert "backbone" in model["paper"] or not model["paper"]["strides"]


@pytest.mark.parametrize("model", sorted(path.stem for path in (ROOT / "conf/model").glob("*.yaml")))
def test_a_paper_preset_brings_its_backbone_and_image_size(tmp_path, model):
    if model == "external":
        return
    params = _compose(tmp_path, f"model={model}", "preset=paper")
    paper = params["model"]["paper"]
    assert params["image_size"] == paper["image_size"]
    assert params["backbone"]["name"] == paper.get("backbone", "efficientnet_lite0")
    assert not [stride for stride in paper["strides"] if stride not in params["backbone"]["layers"]]
    assert params["image_size"] % params["backbone"].get("multiple_of", 1) == 0
    assert repr(compose_options(ROOT / "conf", [f"model={model}", "preset=paper"])) == repr(params), "without Hydra"


@pytest.mark.parametrize(
    ("head", "override"),
    [
        ("", "model=nosuch"),
        ("", "preset=papr"),
        ("", "imagesize=3"),
        ("", "model.small.epochs=3"),
        ("", "supervision.defects=[large]"),
        ("# @package model.deeper\n", "model=mine"),
        ("defaults: [_self_, split: half_reserve]\n", "model=mine"),
        ("defaults: [patchcore, _self_]\n", "model=mine"),
        ("defaults: [/shift: noise, _self_]\n", "model=mine"),
    ],
)
def test_what_needs_hydra_is_left_to_it(tmp_path, head, override):
    conf = tmp_path / "conf"
    shutil.copytree(ROOT / "conf", conf)
    (conf / "model/mine.yaml").write_text(head + (ROOT / "conf/model/patchcore.yaml").read_text())
    assert compose_options(conf, ["dataset=mtd", "model=patchcore"])
    assert compose_options(conf, [override]) is None


def test_what_is_chosen_by_hand_takes_the_place_of_what_the_preset_brings(tmp_path):
    params = _compose(tmp_path, "model=msflow", "preset=paper", "backbone=resnet18", "image_size=64")
    assert (params["backbone"]["name"], params["image_size"]) == ("resnet18", 64)


@pytest.mark.parametrize("kept", [[], ["backbone=resnet18"], ["image_size=64"]])
def test_an_unknown_preset_is_an_error_before_any_stage_runs(tmp_path, kept):
    with pytest.raises(ConfigError, match=r"preset: 'papr' does not exist\. Choose one of small, paper\."):
        _compose(tmp_path, "preset=papr", *kept)


def test_the_presets_are_the_same_everywhere():
    resolvers = runpy.run_path(str(ROOT / "conf/hydra_plugins/resolvers.py"))
    assert resolvers["PRESETS"] == build.MODEL_PRESETS == plans.STUDY_PRESETS


def test_a_preset_that_names_no_backbone_there_is_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match=r"conf/backbone has no option 'nosuch'\. Choose one of .*resnet18"):
        _compose(tmp_path, "+model.small.backbone=nosuch")


@pytest.mark.parametrize("path", sorted((ROOT / "conf/dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_has_the_keys_that_stages_read(path):
    dataset = read_conf(f"dataset/{path.stem}")
    assert dataset.keys() >= {"name", "code", "categories", "source", "options", "doubtful_defects", "split"}
    facts = {"title", "paper", "licence", "shareable", "size", "masks", "serves", "attribution", "archive", "counts"}
    assert read_facts(path.stem).keys() >= facts
    assert (ROOT / dataset["code"]).exists()
    split = {"seed", "test_normals", "val_normals", "reserve_anomalies", "reserve_defects", "val_anomalies"}
    assert dataset["split"].keys() == split


@pytest.mark.parametrize("path", sorted((ROOT / "conf/dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_file_with_its_bases_is_what_hydra_composes(tmp_path, path):
    assert read_conf(f"dataset/{path.stem}") == _compose(tmp_path, f"dataset={path.stem}")["dataset"]


def test_every_shift_has_a_yaml_and_the_reverse():
    from viad.protocol.shifts import SHIFTS

    assert {path.stem for path in (ROOT / "conf/shift").glob("*.yaml")} == {"none", *SHIFTS}


def test_an_unknown_option_is_an_error_that_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)nosuch.*patchcore"):
        _compose(tmp_path, "model=nosuch")


def test_an_unknown_key_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="imagesize"):
        _compose(tmp_path, "imagesize=3")
    assert not (tmp_path / "params.yaml").exists()
