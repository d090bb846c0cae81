"""Experiment names say what they are, and differ where experiments differ."""

import itertools
import subprocess

from hypothesis import given
from hypothesis import strategies as st

from viad.experiments.conditions import CONDITION_KEYS
from viad.experiments.experiment_names import MAX_VALUE_LENGTH, RANDOM_NAME, name_experiment

BASE = {"model.name": "patchcore", "dataset.name": "elpv", "image_size": 256, "seed": 3341}


def test_default_and_conditions():
    assert name_experiment(BASE) == "patchcore-elpv-256-s3341"
    changed = BASE | {"shift.name": "noise", "shift.severity": 3, "contamination.ratio": 0.1, "color": "gray1"}
    assert name_experiment(changed) == "patchcore-elpv-256-noise3-gray1-contamination0.1-s3341"


def test_the_preset_is_in_the_name_unless_it_is_small():
    assert name_experiment(BASE | {"preset": "small"}) == name_experiment(BASE)
    assert name_experiment(BASE | {"preset": "paper"}) == "patchcore-elpv-256-paper-s3341"


def test_numbers_stand_as_in_params_yaml():
    table = {"image_size": 256.0, "seed": 3341.0, "contamination.ratio": 0.0}  # as DVC's table has them
    assert name_experiment(BASE | table) == name_experiment(BASE)


def test_each_condition_changes_the_name():
    # A severity stands behind the name of its shift.
    changes = [{key: f"other{i}"} for i, key in enumerate(CONDITION_KEYS) if key != "shift.severity"]
    changes.append({"shift.name": "noise", "shift.severity": 3})
    changes.append({"shift.name": "noise", "shift.severity": 4})
    names = [name_experiment(BASE), *(name_experiment(BASE | change) for change in changes)]
    assert len(set(names)) == len(names)
    assert all(not RANDOM_NAME.fullmatch(name) for name in names)


def test_long_overrides_are_cut_and_still_distinguish():
    first, second = ({"overrides": ", ".join(["model.small.args.k=1"] * 20) + end} for end in ("", "2"))
    names = [name_experiment(BASE | one) for one in (first, second)]
    assert names[0] != names[1]
    assert all(len(name) < len("patchcore-elpv-256--s3341") + MAX_VALUE_LENGTH + 1 for name in names)


@given(st.text(min_size=1, max_size=20), st.integers())
def test_any_name_is_a_git_ref(dataset, seed):
    name = name_experiment(BASE | {"dataset.name": dataset, "seed": seed})
    assert subprocess.run(["git", "check-ref-format", f"refs/exps/{name}"], check=False).returncode == 0


def test_random_names_are_told_from_ours():
    for model, size in itertools.product(["msflow", "padim"], [128, 256]):
        assert not RANDOM_NAME.fullmatch(name_experiment(BASE | {"model.name": model, "image_size": size}))
    assert RANDOM_NAME.fullmatch("tangy-mugs")
    assert not RANDOM_NAME.fullmatch("my-padim")
