"""conf/ and params.yaml agree, and every option composes."""

from pathlib import Path

import pytest
import yaml

from viad.config.composition import compose_params
from viad.errors import ConfigError

ROOT = Path(__file__).parents[1]
GROUPS = ["dataset", "model", "backbone", "shift", "validation"]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _compose(tmp_path, *overrides):
    compose_params(list(overrides), tmp_path / "params.yaml")
    return yaml.safe_load((tmp_path / "params.yaml").read_text())


def test_committed_params_are_what_conf_composes_to(tmp_path):
    _compose(tmp_path)
    assert (tmp_path / "params.yaml").read_text() == Path("params.yaml").read_text(), "run `make params`"


@pytest.mark.parametrize(
    ("group", "option"),
    [(group, path.stem) for group in GROUPS for path in sorted((ROOT / "conf" / group).glob("*.yaml"))],
)
def test_every_option_of_every_group_composes_under_its_own_name(tmp_path, group, option):
    params = _compose(tmp_path, f"{group}={option}")
    assert params[group]["name"] == option


@pytest.mark.parametrize("path", sorted((ROOT / "conf/model").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_model_names_its_module_and_both_budgets(path):
    model = yaml.safe_load(path.read_text())
    if path.stem == "external":  # the user's folder stands in for the code
        return
    assert (ROOT / model["code"]).is_file()
    assert model["learning_type"] in ("one_class", "unsupervised", "supervised")
    for budget in ("small", "paper"):
        assert model[budget].keys() - {"steps"} == {"strides", "epochs", "batch_size", "args"}


@pytest.mark.parametrize("path", sorted((ROOT / "conf/dataset").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_dataset_has_the_keys_that_stages_read(path):
    dataset = yaml.safe_load(path.read_text())
    keys = {"name", "code", "categories", "attribution", "about", "source", "archive", "options", "counts"}
    keys |= {"natural_noise", "split"}
    assert dataset.keys() >= keys
    assert (ROOT / dataset["code"]).exists()


def test_every_shift_has_a_yaml_and_the_reverse():
    from viad.protocol.shifts import SEVERITIES

    assert {path.stem for path in (ROOT / "conf/shift").glob("*.yaml")} == {"none", *SEVERITIES}


def test_an_unknown_option_is_an_error_that_lists_the_known_ones(tmp_path):
    with pytest.raises(ConfigError, match=r"(?s)nosuch.*patchcore"):
        _compose(tmp_path, "model=nosuch")


def test_an_unknown_key_is_an_error(tmp_path):
    with pytest.raises(ConfigError, match="imagesize"):
        _compose(tmp_path, "imagesize=3")
    assert not (tmp_path / "params.yaml").exists()
