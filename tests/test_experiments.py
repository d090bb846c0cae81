"""Experiments out of DVC, and as they are kept in docs/."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

import many_experiments
from composed import default_params
from viad.artifacts.dvc_adapter import Repository
from viad.comparison.dataframes import load_tables
from viad.errors import ConfigError
from viad.experiments import committed_results, experiment_tables
from viad.experiments.experiment_tables import IMAGE_COLUMNS, Experiments, load_dvc_experiments, merge_scores
from viad.experiments.measurements import find_missing_metrics, read_quality, write_quality
from viad.experiments.random_names import rename_random_experiments
from viad.experiments.remeasurement import remeasure_experiments
from viad.experiments.revisions import Revision

ROOT = Path(__file__).parents[1]
PARAMS = default_params()


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("repository")
    (root / "params.yaml").write_text("{}")
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    Repo.init(str(root)).close()
    many_experiments.write(root, 12, PARAMS)
    return root


@pytest.fixture
def here(repository, tmp_path, monkeypatch):
    root = tmp_path / "here"
    shutil.copytree(repository, root)
    monkeypatch.chdir(root)
    return root


@pytest.mark.usefixtures("here")
def test_every_experiment_and_category_is_a_row_with_its_conditions_and_scores():
    found = load_dvc_experiments()
    assert len(found.table) == 24
    row = found.table[(found.table["model.name"] == "padim") & (found.table["category"] == "mono")].iloc[0]
    assert row["experiment"] == "padim-elpv-128-s3341"
    assert (row["image_size"], row["center_crop"], row["training.learning_type"]) == (128, 1, "one_class")
    tested = found.scores["elpv", "mono"]
    assert list(tested.columns[:4]) == IMAGE_COLUMNS
    assert len(tested) == sum(many_experiments.CATEGORIES["mono"])
    from sklearn.metrics import roc_auc_score

    assert roc_auc_score(tested["label"], tested["padim-elpv-128-s3341"]) == pytest.approx(row["image_auroc"])
    assert set(found.revisions) == set(found.table["experiment"])


def test_what_the_cache_has_lost_is_no_row(here):
    lost = next(
        path for path in (here / ".dvc/cache").rglob("*") if path.is_file() and "image_auroc" in path.read_text()
    )
    lost.unlink()
    assert len(load_dvc_experiments().table) == 23


def test_what_is_kept_comes_back_and_newer_results_replace_it(here):
    assert committed_results.collect_results() == 24
    kept, found = committed_results.load_committed_results(), load_dvc_experiments()
    pd.testing.assert_series_equal(
        kept.table["image_auroc"], found.merge(Experiments()).table["image_auroc"], atol=1e-5
    )
    assert set(kept.scores) == {("elpv", "mono"), ("elpv", "poly")}
    before = (here / "docs/experiments.csv").read_bytes()
    committed_results.collect_results()
    assert (here / "docs/experiments.csv").read_bytes() == before
    assert len(committed_results.load_all_results().table) == 24
    tables = load_tables()
    assert {"experiments", "means", "differences", "effects", "ranks", "recommendations"} <= set(tables)
    assert len(tables["scores/elpv/mono"]) == 304
    assert all(isinstance(table, pd.DataFrame) for table in tables.values())


def test_an_experiment_without_predictions_is_named_with_what_to_do(here):
    (outcome,) = remeasure_experiments(["padim-elpv-128-s3341"])
    assert outcome.failed
    assert "predictions/elpv/mono/scores.csv is not in DVC's cache. Get it from a remote with `dvc exp" in outcome.words
    assert not (here / "results").exists()


@pytest.mark.usefixtures("here")
def test_an_unknown_experiment_is_not_measured():
    with pytest.raises(
        ConfigError, match=r"DVC has no experiment 'nosuch' here\. Choose one of: .*padim-elpv-128-s3341"
    ):
        list(remeasure_experiments(["nosuch"]))


@pytest.mark.usefixtures("here")
def test_metrics_measured_again_take_the_place_of_the_stored_ones():
    found = load_dvc_experiments()
    name = "padim-elpv-128-s3341"
    with Repository() as repo:
        files = Revision(repo, found.revisions[name])
        quality = read_quality(files, "elpv", "mono") | {"pg2": 0.125}
        assert find_missing_metrics(files, "elpv", "mono") == []
        assert find_missing_metrics(files, "elpv", "nosuch") == []
        write_quality(files, "elpv", "mono", name, quality)
    changed = load_dvc_experiments().table.compare(found.table)
    assert changed["pg2"]["self"].tolist() == [0.125]
    assert set(changed.columns.get_level_values(0)) == {"pg2"}


def test_overrides_are_another_experiment(here):
    shutil.copytree(ROOT / "conf", here / "conf")
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["add", "conf"], [*who, "commit", "-qm", "conf"]):
        subprocess.run(["git", *command], cwd=here, check=True)
    many_experiments.write(here, 1, PARAMS | {"toy": 0.1})
    table = load_dvc_experiments().table
    assert len(table) == 26
    changed = table[table["overrides"] != ""]
    assert set(changed["overrides"]) == {"toy=0.1"}
    assert set(changed["experiment"]) == {"patchcore-elpv-128-toy_0.1-s3341"}


def _git(*command):
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    done = subprocess.run(["git", *who, *command], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _experiment_refs():
    return _git("for-each-ref", "--format=%(refname)", "refs/exps").splitlines()


@pytest.mark.usefixtures("here")
def test_random_names_become_ones_that_say_what_was_run():
    (ref,) = [ref for ref in _experiment_refs() if "/padim-256-none0-0-" in ref]
    random = f"{ref.rpartition('/')[0]}/tangy-mugs"
    twin = f"{ref.rpartition('/')[0]}/lucky-sail"
    for name in (random, twin):
        _git("update-ref", name, _git("rev-parse", ref))
    renamed = rename_random_experiments()
    assert set(renamed) == {"tangy-mugs", "lucky-sail"}
    assert set(renamed.values()) == {"padim-elpv-256-s3341", "padim-elpv-256-s3341-2"}
    assert rename_random_experiments() == {}
    assert {ref.rpartition("/")[2] for ref in _experiment_refs()} > {"padim-elpv-256-s3341", "padim-elpv-256-s3341-2"}


@pytest.mark.parametrize(("seed", "there"), [(3341, True), (7, False)])
def test_a_commit_counts_if_its_results_are_of_its_params(here, seed, there):
    (ref,) = [ref for ref in _experiment_refs() if "/padim-256-none0-0-" in ref]
    lock = yaml.safe_load(_git("show", f"{ref}:dvc.lock"))
    lock["stages"]["evaluate"]["params"] = {"params.yaml": {"seed": 3341, "model.name": "padim"}}
    lock["stages"]["train@tile"] = {"params": {"params.yaml": {"seed": 1}}}  # of another dataset, long ago
    params = yaml.safe_load(_git("show", f"{ref}:params.yaml")) | {"seed": seed, "image_size": 300}
    (here / "dvc.lock").write_text(yaml.safe_dump(lock))
    (here / "params.yaml").write_text(yaml.safe_dump(params))
    (here / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"evaluate": {"cmd": "true"}, "train": {"cmd": "true"}}}))
    _git("add", "dvc.lock", "params.yaml", "dvc.yaml")
    _git("commit", "--quiet", "--message", "run")
    assert (f"padim-elpv-300-s{seed}" in set(load_dvc_experiments().table["experiment"])) is there


@pytest.mark.usefixtures("here")
def test_older_experiments_lack_parameters_and_count_as_default():
    committed_results.collect_results()
    table = pd.read_csv(committed_results.EXPERIMENTS_CSV)
    table.drop(columns=["center_crop", "epochs"]).to_csv(committed_results.EXPERIMENTS_CSV, index=False)
    assert (committed_results.load_committed_results().table["center_crop"] == 1).all()


def test_scores_of_different_test_sets_are_joined_by_image():
    def table(name, samples):
        values = {"sample": samples, "label": 0, "defect": "", "domain": "", name: np.arange(len(samples), dtype=float)}
        return pd.DataFrame(values)

    both = merge_scores(table("a", ["x", "y"]), table("b", ["y", "z"]))
    assert both["sample"].tolist() == ["x", "y", "z"]
    assert both["a"].tolist()[:2] == [0, 1]
    assert np.isnan(both["a"].iloc[2])
    again = merge_scores(both, table("a", ["x", "y"]).assign(a=7.0))
    assert again["a"].tolist()[:2] == [7, 7]
    assert list(again.columns) == [*IMAGE_COLUMNS, "a", "b"]


def test_the_run_of_the_last_commit_counts_although_a_value_reads_like_a_boolean(here):
    """DVC writes dvc.lock in YAML 1.2, where an unquoted `no` is a text."""
    params = {"model": {"name": "padim"}, "dataset": {"name": "elpv", "categories": [], "options": {"masks": "no"}}}
    lock = "schema: '2.0'\nstages:\n  summarize:\n    params:\n      params.yaml:\n        dataset:\n"
    lock += "          name: elpv\n          categories: []\n          options:\n            masks: no\n"
    for name, text in {
        "params.yaml": yaml.safe_dump(params), "dvc.lock": lock, "dvc.yaml": "stages: {summarize: {cmd: 'true'}}\n"
    }.items():  # fmt: skip
        (here / name).write_text(text)
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["add", "params.yaml", "dvc.lock", "dvc.yaml"], [*who, "commit", "-qm", "run"]):
        subprocess.run(["git", *command], cwd=here, check=True)
    with Repository() as repo:
        assert experiment_tables._is_reproduced(Revision(repo, "HEAD"))
