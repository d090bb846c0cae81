"""Numbers from params.yaml: what is one, and that the stages refuse another spelling of the same number."""

import importlib
from pathlib import Path

import pytest

from viad.config.composition import compose_params
from viad.config.numbers import check_positive_share, check_share, check_whole_number
from viad.errors import ConfigError

ROOT = Path(__file__).parents[1]
NO_NUMBERS = [True, False, None, "0.1", float("nan"), float("inf"), [0.1]]


@pytest.mark.parametrize("value", [1, 2, 10])
def test_a_whole_number(value):
    assert check_whole_number("epochs", value, low=1, high=10) == value


@pytest.mark.parametrize("value", [0, 11, -1, 2.5, *NO_NUMBERS])
def test_no_whole_number(value):
    with pytest.raises(ConfigError, match=r"epochs: .* is not a whole number from 1 to 10\. Correct it in conf/"):
        check_whole_number("epochs", value, low=1, high=10)


def test_a_whole_number_has_one_spelling():
    with pytest.raises(ConfigError, match=r"image_size: 256\.0 is not a whole number from 0 on\. Write 256\."):
        check_whole_number("image_size", 256.0)


def test_what_else_a_key_may_hold_is_said():
    with pytest.raises(ConfigError, match=r"epochs: 0 is not a whole number from 1 on or null\."):
        check_whole_number("epochs", 0, low=1, otherwise="null")


@pytest.mark.parametrize(("check", "good"), [(check_share, [0, 0.05, 0.999]), (check_positive_share, [1e-6, 0.5, 1])])
def test_a_share_is_a_float(check, good):
    for value in good:
        share = check("ratio", value)
        assert share == value
        assert isinstance(share, float)


@pytest.mark.parametrize(
    ("check", "bad", "words"),
    [
        (check_share, [1, 1.0, -0.1, 20], "from 0 to below 1"),
        (check_positive_share, [0, -0.1, 1.01], "above 0 and up to 1"),
    ],
)
def test_no_share(check, bad, words):
    for value in [*bad, *NO_NUMBERS]:
        with pytest.raises(ConfigError, match=rf"ratio: .* is not a share {words}\. Correct it"):
            check("ratio", value)


@pytest.mark.parametrize(
    ("stage", "override", "message"),
    [
        ("resize", "image_size=256.0", r"image_size: 256\.0 .* Write 256\."),
        ("train", "image_size=256.0", r"image_size: 256\.0 .* Write 256\."),
        ("contaminate", "seed=1e3", r"seed: 1000\.0 .* Write 1000\."),
        ("train", "seed=1e3", r"seed: 1000\.0 .* Write 1000\."),
        ("evaluate", "seed=1e3", r"seed: 1000\.0 .* Write 1000\."),
    ],
)
def test_the_stages_refuse_another_spelling_of_a_number(stage, override, message, tmp_path, monkeypatch):
    monkeypatch.chdir(ROOT)
    compose_params([override], tmp_path / "params.yaml")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match=message):
        importlib.import_module(f"viad.stages.{stage}").main("mono")
