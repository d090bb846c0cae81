"""The table of conditions: it has each key of conf/config.yaml, conf/ has its baselines, and all else follows."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
import yaml

from made import BASELINE
from viad.comparison.caveats import find_caveats
from viad.comparison.condition_axes import AXES, number_runs, prepare_experiments
from viad.config.composition import compose_params
from viad.experiments.conditions import (
    CONDITION_KEYS,
    CONDITIONS,
    EXCLUDED_PARAMETERS,
    FIXED_KEYS,
    OVERRIDES,
    is_excluded,
    look_up,
    read_baselines,
)
from viad.experiments.experiment_names import name_experiment
from viad.experiments.experiment_tables import list_table_columns
from viad.metrics.catalogue import CATALOGUE

ROOT = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def _in_root(monkeypatch):
    monkeypatch.chdir(ROOT)


def _flatten(tree, head=""):
    for key, value in tree.items():
        if isinstance(value, dict):
            yield from _flatten(value, f"{head}{key}.")
        else:
            yield f"{head}{key}"


def test_make_table_has_each_condition_and_three_metrics():
    recipe = subprocess.run(
        ["make", "--dry-run", "--old-file", "install", "table"], capture_output=True, text=True, check=True
    ).stdout.replace("\\\n", " ")
    command = shlex.split(recipe)
    dropped = re.compile(command[command.index("--drop") + 1])
    assert [key for key in CONDITION_KEYS if dropped.match(key) and key != OVERRIDES] == []
    metrics = {metric.key for metric in CATALOGUE}
    assert {key for key in metrics if not dropped.match(key)} == {"image_auroc", "pg2", "pb2"}
    for other in ("Created", "Executor", "src/stage.py", "data/raw/elpv", "model.small.epochs", "dataset.split.seed"):
        assert dropped.match(other), other
    assert not dropped.match("Experiment")


def test_each_key_of_the_config_is_a_condition_or_excluded_by_name():
    config = yaml.safe_load(Path("conf/config.yaml").read_text())
    groups = [group for one in config.pop("defaults") if one != "_self_" for group in one]
    assert [key for key in _flatten(config) if key not in CONDITION_KEYS and not is_excluded(key)] == []
    assert {f"{group}.name" for group in groups} <= set(CONDITION_KEYS)


def test_conditions_stand_once_and_excluded_keys_have_a_reason():
    assert len(set(CONDITION_KEYS)) == len(CONDITION_KEYS)
    assert len(AXES) == sum(one.axis is not None for one in CONDITIONS)
    assert not [key for key in CONDITION_KEYS if is_excluded(key)]
    assert all(EXCLUDED_PARAMETERS.values())


def test_baselines_are_what_conf_composes_to(tmp_path):
    compose_params([], tmp_path / "params.yaml")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert read_baselines() == {key: look_up(params, key) for key in CONDITION_KEYS} | {OVERRIDES: ""}


def test_baselines_are_those_of_the_working_folder(tmp_path, monkeypatch):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    config = tmp_path / "conf/config.yaml"
    config.write_text(config.read_text().replace("color: rgb", "color: gray1"))
    monkeypatch.chdir(tmp_path)
    assert read_baselines()["color"] == "gray1"
    assert name_experiment(read_baselines()) == "patchcore-elpv-256-s3341"
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    assert read_baselines()["color"] == "rgb"  # of the project


def _runs(*changes):
    """A row for each change; all have one experiment's name, which nothing may read."""
    rows = [BASELINE | {"model.name": "a", "experiment": "x", "category": "c"} | change for change in changes]
    return prepare_experiments(pd.DataFrame(rows).reindex(columns=list_table_columns()))


OTHERS = {"seed": 1, "image_size": 512, "supervision.defects": "crack", "supervision.masks": False, "epochs": 3}


@pytest.mark.parametrize("key", [key for key in CONDITION_KEYS if key != "seed"])
def test_runs_are_told_by_their_conditions_and_never_by_their_name(key):
    other = OTHERS.get(key, 0.5 if isinstance(read_baselines()[key], int | float) else "other")
    runs = number_runs(_runs({"seed": 1}, {"seed": 2}, {"seed": 1, key: other}))
    assert runs.tolist() == [0, 0, 1]


def test_seeds_of_other_conditions_are_no_second_seed():
    table = _runs({"seed": 1}, {"seed": 2}, {"seed": 3, "precision": "bfloat16"})
    assert ["one_seed" in caveats for caveats in find_caveats(table)] == [False, False, True]


@pytest.mark.parametrize("key", [key for key in FIXED_KEYS if key not in ("dataset.name", "shift.severity")])
def test_a_condition_is_in_words_or_has_a_column_of_its_own(key):
    (one,) = (one for one in CONDITIONS if one.key == key)
    changed = _runs({key: OTHERS.get(key, "other")})["condition"].iloc[0]
    assert (changed == "baseline") == (one.in_words is None)


def test_a_title_says_what_the_name_says(tmp_path):
    from viad.stages import summarize

    compose_params(["audit.exclude=duplicates", "model.small.args.num_neighbors=3"], tmp_path / "params.yaml")
    title = summarize._make_title(yaml.safe_load((tmp_path / "params.yaml").read_text()))
    assert title.startswith(
        "patchcore-elpv-256-no_duplicates-model.small.args.num_neighbors_3-s3341: patchcore on elpv at 256 px, "
    )


# A copy of the project in which a condition is added: its entry, its key, and nothing else.
TOY = """
    Condition("toy.weight", "a weight", in_name="toy{}", in_words="toy weight {}", axis=Axis("toy", "toy weight")),
"""
USE = """
import pandas as pd, yaml
from made import BASELINE, Made
from viad.comparison.condition_curves import build_curves
from viad.comparison.condition_axes import prepare_experiments
from viad.experiments.experiment_tables import list_table_columns
from viad.studies.plans import plan_experiments
planned = plan_experiments([{"model": ["patchcore", "padim"], "toy.weight": [1, 2, 3]}])
made = Made()
made.add("padim", skill=2)
made.add("padim", skill=1, **{"toy__weight": 2})
compared = made.compared()
effects = compared["effects"]
table = prepare_experiments(made.experiments().table)
print(yaml.safe_dump({
    "names": [one.name for one in planned],
    "columns": "toy.weight" in list_table_columns() and "toy.weight" in compared["means"],
    "condition": sorted(set(table["condition"])),
    "axis": sorted(set(effects["axis"])),
    "change": effects[["baseline", "value"]].drop_duplicates().to_numpy().tolist(),
    "curve": [one["x"] for one in build_curves(table, made.scores, "toy")],
}))
"""


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    root = tmp_path_factory.mktemp("toy")
    for name in ("src", "conf", "tests"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("__pycache__", "static"))
    config = root / "conf/config.yaml"
    config.write_text(config.read_text() + "\ntoy:\n  weight: 1\n")
    return root


def _use(root):
    command = [sys.executable, "-c", USE]
    path = {"PYTHONPATH": f"{root / 'src'}:{root / 'tests'}", "PATH": "/usr/bin:/bin", "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=root, env=path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return yaml.safe_load(done.stdout)


def test_a_condition_costs_its_entry_and_its_key(toy):
    table = toy / "src/viad/experiments/conditions.py"
    text = table.read_text()
    entry = text.replace("    Condition(OVERRIDES,", f"{TOY.rstrip()}\n    Condition(OVERRIDES,", 1)
    assert entry != text
    table.write_text(entry)
    try:
        found = _use(toy)
    finally:
        table.write_text(text)
    assert found == {
        "names": [
            f"{model}-elpv-256-{toy}s3341" for model in ("patchcore", "padim") for toy in ("", "toy2-", "toy3-")
        ],
        "columns": True, "condition": ["baseline", "toy weight 2"], "axis": ["toy"], "change": [["1", "2"]],
        "curve": ["toy weight", "toy weight"],
    }  # fmt: skip


def test_a_condition_whose_entry_was_forgotten_still_distinguishes(toy, monkeypatch):
    from viad.studies.plans import plan_experiments

    monkeypatch.chdir(toy)
    planned = plan_experiments([{"model": ["patchcore", "padim"], "toy.weight": [1, 2, 3]}])
    assert [one.name for one in planned[:3]] == [
        "patchcore-elpv-256-s3341", "patchcore-elpv-256-toy.weight_2-s3341", "patchcore-elpv-256-toy.weight_3-s3341",
    ]  # fmt: skip
    assert len(planned) == 6
