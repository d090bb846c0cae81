"""What the report shows of many experiments, without a browser."""

import json
import shutil
import subprocess
from pathlib import Path

import pandas as pd
import pytest

import many_experiments
from composed import default_params, default_params_text
from viad.comparison.caveats import CAVEATS
from viad.experiments import committed_results
from viad.report.contents import collect_contents, list_planned_experiments
from viad.report.page import PAGE_KEYS, write_page
from viad.studies.plans import plan_experiments, read_study

ROOT = Path(__file__).parents[1]
COUNT = 70  # ten detectors at three sizes, plain and under two shifts


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """The contents of a report of experiments that DVC has, and the folder of the repository."""
    from dvc.repo import Repo

    root = tmp_path_factory.mktemp("repository")
    for name in ("conf", "docs"):
        shutil.copytree(ROOT / name, root / name, ignore=shutil.ignore_patterns("scores", "experiments.csv"))
    (root / "params.yaml").write_text(default_params_text())
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "-q"], ["add", "."], [*who, "commit", "-qm", "start"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    Repo.init(str(root)).close()
    many_experiments.write(root, COUNT, default_params())
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(root)
        return collect_contents(committed_results.load_all_results(), [], root / "pictures"), root


def test_the_page_gets_all_that_it_shows_as_plain_values(made):
    page, root = made
    assert set(page) == set(PAGE_KEYS)
    json.dumps(page["experiments"], allow_nan=False)
    write_page(page, root / "report")
    assert (root / "report/index.html").is_file()


def test_every_experiment_is_a_row_with_its_condition_and_caveats(made):
    page, _ = made
    assert page["made"]["experiments"] == COUNT
    assert len(page["experiments"]) == 2 * COUNT
    row = next(row for row in page["experiments"] if row["experiment"] == "padim-elpv-256-brightness3-s3341")
    assert row["condition"] == "brightness 3"
    assert row["image_auroc_low"] < row["image_auroc"] < row["image_auroc_high"]
    assert set(row["caveats"]) <= set(CAVEATS) == set(page["caveats"])
    supervised = next(row for row in page["experiments"] if row["experiment"].startswith("devnet-elpv-256-labels10"))
    assert supervised["condition"] == "10 labels"


def test_the_first_answers_are_of_plain_conditions_and_name_their_experiments(made):
    page, _ = made
    assert page["answers"][0]["question"].startswith("Which detector for elpv at 128 px? ")
    assert "Take " in page["answers"][0]["words"]
    names = {row["experiment"] for row in page["experiments"]}
    assert all(set(answer["experiments"]) <= names for answer in page["answers"])


def test_ranks_pareto_and_differences_are_there(made):
    page, _ = made
    assert page["ranks"]["blocks"] == 2
    assert page["ranks"]["figure"].startswith("<svg")
    assert any(point["front"] for point in page["pareto"][0]["points"])
    assert all(one["low"] <= one["difference"] <= one["high"] for one in page["differences"])


def test_the_papers_edition_is_shown_once_one_of_it_was_run_or_tried(monkeypatch, tmp_path):
    shutil.copytree(ROOT / "conf", tmp_path / "conf")
    monkeypatch.chdir(tmp_path)
    small, paper = (
        [one.name for one in plan_experiments(read_study("color", preset))] for preset in ("small", "paper")
    )
    columns = ["experiment", "preset", "dataset.name"]
    runs = pd.DataFrame([["dfm-visa", "paper", "visa"], ["padim-elpv", "paper", "elpv"]], columns=columns)
    assert list_planned_experiments("color", runs) == small  # of another study
    assert (
        list_planned_experiments("color", pd.concat([runs, runs.head(1).assign(experiment=paper[3])])) == small + paper
    )
    status = tmp_path / "studies/color/status.csv"
    status.parent.mkdir(parents=True)
    status.write_text("experiment,result,seconds,reason,log\nno-longer-planned,done,1,,\n")
    assert list_planned_experiments("color", runs) == small
    status.write_text(f"{status.read_text()}{paper[0]},failed,1,why,log\n")
    assert list_planned_experiments("color", runs) == small + paper


def test_a_study_has_its_question_states_tables_and_curves(made):
    page, _ = made
    studies = {study["name"]: study for study in page["studies"]}
    assert studies["shift"]["question"].startswith("How much does a shift of the test images cost")
    states = {one["experiment"]: one["state"] for one in studies["shift"]["states"]}
    assert states["patchcore-elpv-256-s3341"] == "done"
    assert "missing" in states.values()
    evaluation = studies["evaluation"]["tables"]
    assert evaluation[0]["head"][:2] == ["where", "detector"]
    assert len(evaluation[0]["rows"]) >= 4


def test_what_dvc_has_no_pictures_of_has_no_gallery(made):
    page, _ = made
    assert page["galleries"] == []
