"""Experiment names say what they are, and differ where experiments differ."""

import itertools
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from composed import default_params
from viad.experiments.naming import NOTED, RANDOM, experiment_name

BASE = {"model.name": "patchcore", "dataset.name": "elpv", "image_size": 256, "seed": 3341}


def test_default_and_conditions():
    assert experiment_name(BASE) == "patchcore-elpv-256-s3341"
    changed = BASE | {"shift.name": "noise", "shift.severity": 3, "contamination.ratio": 0.1, "color": "gray1"}
    assert experiment_name(changed) == "patchcore-elpv-256-noise3-gray1-contamination0.1-s3341"


def test_the_preset_is_in_the_name_unless_it_is_small():
    assert experiment_name(BASE | {"preset": "small"}) == experiment_name(BASE)
    assert experiment_name(BASE | {"preset": "paper"}) == "patchcore-elpv-256-paper-s3341"


def test_numbers_stand_as_in_params_yaml():
    table = {"image_size": 256.0, "seed": 3341.0, "contamination.ratio": 0.0}  # as DVC's table has them
    assert experiment_name(BASE | table) == experiment_name(BASE)


def test_defaults_are_those_of_params_yaml():
    params = default_params()
    for key, default, _ in NOTED:
        if key == "settings":  # no parameter, but all that are not noted
            continue
        value = params
        for part in key.split("."):
            value = value[part]
        assert value == default, key


def test_each_noted_parameter_changes_the_name():
    names = [experiment_name(BASE)] + [
        experiment_name(BASE | {key: f"other{i}"}) for i, (key, _, _) in enumerate(NOTED)
    ]
    assert len(set(names)) == len(names)
    assert all(not RANDOM.fullmatch(name) for name in names)


@given(st.text(min_size=1, max_size=20), st.integers())
def test_any_name_is_a_git_ref(dataset, seed):
    name = experiment_name(BASE | {"dataset.name": dataset, "seed": seed})
    assert subprocess.run(["git", "check-ref-format", f"refs/exps/{name}"], check=False).returncode == 0


def test_random_names_are_told_from_ours():
    for model, size in itertools.product(["msflow", "padim"], [128, 256]):
        assert not RANDOM.fullmatch(experiment_name(BASE | {"model.name": model, "image_size": size}))
    assert RANDOM.fullmatch("tangy-mugs")
    assert not RANDOM.fullmatch("my-padim")
