"""Experiments that an earlier version made, whose params say `budget` and `pool`, are read under today's names."""

import json
import subprocess

import pytest

import many_experiments
from composed import default_params
from viad.artifacts.dvc_adapter import Repository
from viad.comparison.comparison_files import compare_experiments
from viad.experiments.experiment_tables import load_dvc_experiments
from viad.experiments.random_names import rename_random_experiments

TODAY = {
    "reserve_anomalies": "pool_anomalies", "reserve_defects": "pool_defects", "doubtful_defects": "natural_noise",
    "false_positive_rate": "false_alarm_rate", "false_negative_rate": "miss_rate",
}  # fmt: skip


def _age(values):
    """Params or metrics with the keys of the earlier version."""
    if isinstance(values, dict):
        return {TODAY.get(key, key): _age(value) for key, value in values.items()}
    return values


def _aged(used_budget):
    """Make an experiment as version 0.1 wrote it, with `budget: auto`."""
    make = many_experiments.experiment

    def experiment(*arguments):
        params, files = make(*arguments)
        params = _age(params) | {"budget": "auto", "contamination": params["contamination"] | {"source": "pool"}}
        del params["preset"]
        files = {
            path: json.dumps(_age(json.loads(text))) if path.endswith("json") else text for path, text in files.items()
        }
        for path in files:
            if "/training/" in path:
                files[path] = json.dumps(json.loads(files[path]) | {"budget": used_budget})
        return params, files

    return experiment


@pytest.fixture
def repository(tmp_path, monkeypatch):
    """Two experiments that the earlier version made on a GPU, in a repository of their own."""
    (tmp_path / "params.yaml").write_text("{}")
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    subprocess.run(["dvc", "init", "-q"], cwd=tmp_path, check=True)
    monkeypatch.setattr(many_experiments, "experiment", _aged("paper"))
    many_experiments.write(tmp_path, 2, default_params())
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.usefixtures("repository")
def test_what_an_earlier_version_wrote_is_read_under_todays_names():
    table = load_dvc_experiments().table
    assert len(table) == 4
    assert set(table["preset"]) == {"paper"}, "the budget that training recorded, not what `auto` would mean today"
    assert set(table["contamination.source"]) == {"reserve"}
    assert table["false_positive_rate"].tolist() == [0.05] * 4
    assert table["false_negative_rate"].tolist() == [0.2] * 4
    assert all(name.endswith("-paper-s3341") for name in table["experiment"])
    assert set(table["overrides"]) == {""}


@pytest.mark.usefixtures("repository")
def test_they_are_compared_and_renamed_without_a_traceback():
    assert len(compare_experiments(load_dvc_experiments())["experiments"]) == 4
    with Repository() as repo:
        old = [name for name, _ in repo.list_experiments()]
        repo.rename_experiment(old[0], "tangy-mugs")
    (new,) = rename_random_experiments().values()
    assert new.endswith("-paper-s3341")
