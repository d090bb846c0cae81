"""`viad compose --from-workspace`: conf/ composes to the workspace's params afterwards, or is as it was."""

import shutil
import sys
from pathlib import Path

import pytest
import yaml

from viad import cli
from viad.config.composition import compose_params
from viad.errors import ConfigError
from viad.experiments.workspace_defaults import adopt_workspace_params

ROOT = Path(__file__).parents[1]
CONFIG, PARAMS = Path("conf/config.yaml"), Path("params.yaml")
EXPERIMENTS = {
    "the default": [],
    "another dataset and size": ["dataset=synthetic", "image_size=64", "dataset.source.size=128"],
    "hyperparameters": ["model=msflow", "model.small.epochs=2", "model.small.args.learning_rate=1e-5"],
    "a shift": ["shift=jpeg", "shift.severity=5"],
    "the paper's preset": ["model=msflow", "preset=paper"],
    "the paper's preset on another backbone": ["model=msflow", "preset=paper", "backbone=resnet18", "image_size=64"],
    "conditions of training": [
        "contamination.ratio=0.1", "supervision.anomalies=all", "supervision.masks=false", "validation=same_defects",
        "validation.patience=9", "audit.exclude=duplicates", "epochs=3", "threshold.false_positive_rate=0.01",
    ],
    "types": ["center_crop=1.0", "model.small.args.num_neighbors=9.0", "dataset.split.reserve_anomalies=1"],
    "texts": ["supervision.defects=['a b','no','1e-4',crack]", "dataset.categories=[mono]", "color=gray1"],
    "a table in place of null, and null": [
        "epochs={texture: {all: [1, 2]}}", "model.small.args.max_patches=null",
    ],
    "new keys": ["+model.small.args.whiten=true", "+model.small.image_size=96"],
    "predictions made elsewhere": ["model=external", "model.name=theirs", "model.path=/data/theirs"],
}  # fmt: skip


@pytest.fixture(autouse=True)
def workspace(tmp_path, monkeypatch):
    """A folder with conf/ alone."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(ROOT / "conf", "conf")
    return tmp_path


def _composed(*overrides):
    compose_params(overrides, Path("composed.yaml"))
    return Path("composed.yaml").read_text()


def _comments():
    return [line.partition("#")[2] for line in CONFIG.read_text().splitlines() if "#" in line]


@pytest.mark.parametrize("overrides", EXPERIMENTS.values(), ids=EXPERIMENTS)
def test_conf_composes_to_the_params_of_the_workspace(overrides):
    comments, before = _comments(), CONFIG.read_text()
    compose_params(overrides)
    wanted = PARAMS.read_text()
    changes = adopt_workspace_params()
    assert _composed() == wanted
    assert PARAMS.read_text() == wanted
    assert _comments() == comments
    assert bool(changes) == bool(overrides) == (CONFIG.read_text() != before)
    assert adopt_workspace_params() == []


def test_the_diff_is_of_the_changed_entries_alone():
    before = CONFIG.read_text().splitlines()
    compose_params(["model=msflow", "preset=paper", "model.paper.args.flow_steps=[1, 1]", "seed=7"])
    changes = ["model=msflow", "seed=7", "preset=paper", "model.paper.args.flow_steps=[1, 1]"]
    assert adopt_workspace_params() == changes
    after = CONFIG.read_text().splitlines()
    differ = [new.split("#")[0].strip() for old, new in zip(before, after, strict=False) if old != new]
    assert differ == ["- model: msflow", "seed: 7", "preset: paper"]
    assert after[len(before) :] == ["model:", "  paper:", "    args:", "      flow_steps: [1, 1]"]


def test_what_follows_the_preset_still_follows_it():
    compose_params(["model=msflow", "preset=paper"])
    adopt_workspace_params()
    follows = yaml.safe_load(_composed("preset=small"))
    assert (follows["image_size"], follows["backbone"]["name"]) == (256, "efficientnet_lite0")


def test_values_of_an_experiment_adopted_before_are_not_left_behind():
    compose_params(["model.small.args.num_neighbors=1", "dataset.split.val_normals=0.3"])
    adopt_workspace_params()
    compose_params(["model=padim", "~model.small.args.num_neighbors", "dataset.split.val_normals=0.15"])
    assert adopt_workspace_params() == ["model=padim", "~dataset", "~model"]
    assert "num_neighbors" not in CONFIG.read_text()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            lambda p: p["model"]["small"]["args"].pop("max_patches"),
            "model.small.args.max_patches is not there in param",
        ),
        (lambda p: p["shift"].update(name="of_mine"), "conf/shift has no file for shift.name 'of_mine'"),
        (lambda p: p.pop("backbone"), "conf/backbone has no file for backbone.name ''"),
        (lambda p: p.update(preset="papr"), "preset: 'papr' does not exist"),
        (lambda p: p.clear(), "conf/dataset has no file"),
    ],
)
def test_params_that_conf_cannot_compose_to_change_nothing(change, words):
    compose_params(["model=patchcore", "seed=7"])
    params = yaml.safe_load(PARAMS.read_text())
    change(params)
    PARAMS.write_text(yaml.safe_dump(params))
    with pytest.raises(ConfigError, match=words):
        adopt_workspace_params()
    assert CONFIG.read_bytes() == (ROOT / CONFIG).read_bytes()
    assert {path.name for path in Path("conf").iterdir()} == {path.name for path in (ROOT / "conf").iterdir()}


def test_a_defaults_list_without_a_group_is_an_error():
    compose_params([])
    CONFIG.write_text(CONFIG.read_text().replace("  - shift: none\n", ""))
    with pytest.raises(ConfigError, match=r"no entry 'shift'. Add `- shift: none`"):
        adopt_workspace_params()


def _command(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["viad", "compose", *arguments])
    code = cli.main()
    return code, "".join(capsys.readouterr())


def test_the_command_says_what_changed_and_how_to_undo_it(monkeypatch, capsys):
    compose_params(["model=msflow", "model.small.epochs=2"])
    code, said = _command(monkeypatch, capsys, "--from-workspace")
    assert code == 0
    assert said.startswith("conf/config.yaml: model=msflow, model.small.epochs=2\n")
    assert "model.small.epochs, now hold for each of its files" in said
    assert "`git checkout conf/config.yaml`" in said
    assert _command(monkeypatch, capsys, "--from-workspace")[1].startswith("conf/ already composes to params.yaml")


def test_the_command_takes_no_other_values(monkeypatch, capsys):
    compose_params(["seed=7"])
    code, said = _command(monkeypatch, capsys, "--from-workspace", "image_size=64")
    assert code == 1
    assert "image_size=64" in said
    assert CONFIG.read_bytes() == (ROOT / CONFIG).read_bytes()
