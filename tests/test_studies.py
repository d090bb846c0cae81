"""Studies: plans compose; a pool of clones runs them, skips what is there, and survives failures and kills."""

import contextlib
import csv
import os
import signal
import subprocess
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from conf_files import read_conf
from viad.errors import ConfigError
from viad.protocol.anomaly_reserve import AnomalyReserve
from viad.protocol.splits import assign_splits
from viad.studies.plans import PRESETS, Experiment, _listed, estimate, plan, read_study
from viad.studies.runner import _children, in_turn, run_all
from waiting import processes_in, wait_until

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "conf/study").glob("*.yaml"))
TINY = {
    "dataset": "synthetic", "dataset.categories": "[texture]", "dataset.source.size": 128,
    "dataset.source.train_normals": 10, "dataset.source.test_normals": 5, "dataset.source.anomalies": 3,
    "backbone": "random", "image_size": 64, "bootstrap.resamples": 50,
}  # fmt: skip


IN_NAME = "_".join(sorted(f"{key}_{value}" for key, value in TINY.items() if key.startswith("dataset.source.")))


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", PRESETS)
def test_every_study_composes_and_names_its_experiments(name, preset, monkeypatch):
    monkeypatch.chdir(ROOT)
    grids = read_study(name, preset)
    for grid in grids:  # one of each grid: all of the large ones take minutes to compose
        one = {key: values[-1] if isinstance(values, list) else values for key, values in grid.items()}
        (experiment,) = plan([one])
        assert f"dataset={one.get('dataset', 'elpv')}" in experiment.overrides
        assert len(experiment.name) > 10


def _rows(counts, doubtful):
    """Rows of a category with as many images as published; those of a reserve are of the doubtful kinds, if any."""
    rows = []
    for split, numbers in counts.items():
        for label, number in enumerate(numbers):
            kinds = doubtful if split == "reserve" and doubtful else ["defect"]
            for i in range(number):
                row = {"split": "" if split == "all" else split, "label": label, "group": ""}
                rows.append(row | {"defect": kinds[i % len(kinds)] if label else "", "sample": f"{split}{label}{i}"})
    return pd.DataFrame(rows)


IN_NAME = "_".join(sorted(f"{key}_{value}" for key, value in TINY.items() if key.startswith("dataset.source.")))


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", PRESETS)
def test_the_anomalies_that_a_study_wants_are_there(name, preset, monkeypatch):
    """Too many would fail its experiments; as the counts that datasets publish tell, where they do."""
    monkeypatch.chdir(ROOT)
    for grid in read_study(name, preset):
        ratios = _listed(grid.get("contamination.ratio", 0))
        labels = [number for number in _listed(grid.get("supervision.anomalies", 0)) if number != "all"]
        for dataset in _listed(grid.get("dataset", "elpv")):
            conf = read_conf(f"dataset/{dataset}")
            for category, counts in (conf["counts"] or {}).items():
                published = counts[0] if isinstance(counts, list) else counts  # the smallest archive there is
                samples = _rows(published, conf["doubtful_defects"])
                samples["split"] = assign_splits(samples, "study", conf["split"], category)
                reserve = AnomalyReserve(
                    samples[samples["split"] == "reserve"], doubtful_defects=conf["doubtful_defects"],
                    reserve_defects=[],
                    val_share=conf["split"]["val_anomalies"], rng=np.random.default_rng(0),
                )  # fmt: skip
                wanted = {"ratio": max(ratios), "source": grid.get("contamination.source", "reserve")}
                reserve.choose_contamination(wanted, int((samples["split"] == "train").sum()))
                reserve.choose_labelled(max(labels, default=0))


def test_a_plan_is_all_combinations_each_once(monkeypatch):
    monkeypatch.chdir(ROOT)
    grids = [{"model": ["patchcore", "padim"], "seed": [1, 2]}, {"model": "padim", "seed": 2}]
    assert [one.name for one in plan(grids)] == [
        f"{model}-elpv-256-s{seed}" for model in ("patchcore", "padim") for seed in (1, 2)
    ]


def test_an_unknown_study_edition_or_override_is_an_error(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match="there is no study 'nosuch'"):
        read_study("nosuch", "small")
    with pytest.raises(ConfigError, match="choose one of small, paper"):
        read_study("color", "large")
    with pytest.raises(ConfigError, match="nosuch"):
        plan([{"model": "nosuch"}])


def _made(name, **conditions):
    return Experiment(name, (), conditions, ("mono", "poly"))


def test_the_estimate_comes_from_measured_runs():
    one = {"model.name": "padim", "dataset.name": "elpv", "backbone.name": "a", "image_size": 256}
    measured = pd.DataFrame([one | {"category": category} for category in ("mono", "poly", "mono")])
    measured = measured.assign(**{"training.train_seconds": [20.0, 40.0, 60.0], "preset": "small"})
    padim, msflow = (_made(name, **one | {"model.name": name, "preset": "small"}) for name in ("padim", "msflow"))
    # 40 s of training for either category, and 45 s for each besides.
    assert estimate([padim], measured, 1).startswith("about 3 minutes with 1 at once, and 40 MB")
    assert estimate([padim, msflow], measured, 2).startswith("about 3 minutes with 2 at once (1 of them unlike any")
    assert "no estimate" in estimate([msflow], measured, 1)
    paper = _made("paper", **one | {"preset": "paper"})
    assert "no estimate" in estimate([paper], measured, 1)
    larger = measured.assign(image_size=512)
    assert "about 3 minutes" in estimate([padim], larger, 1)
    both = pd.concat([measured, larger.assign(**{"training.train_seconds": 900.0})])
    assert "about 3 minutes" in estimate([padim], both, 1)


def test_datasets_take_turns():
    planned = [_made(name, **{"dataset.name": name[0]}) for name in ("a1", "a2", "a3", "b1", "b2")]
    assert [one.name for one in in_turn(planned)] == ["a1", "b1", "a2", "b2", "a3"]


def _sent_hangup(child):
    """What a hangup does to a study that runs a child."""
    with _children(1) as children:
        children.running.add(child)
        os.kill(os.getpid(), signal.SIGHUP)


@pytest.mark.parametrize("nohup", [False, True])
def test_a_hangup_ends_a_study_and_its_children_unless_nohup_ignores_it(nohup):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if nohup else signal.SIG_DFL)
    child = subprocess.Popen(["sleep", "30"], start_new_session=True)
    try:
        with contextlib.nullcontext() if nohup else pytest.raises(SystemExit, match=str(128 + signal.SIGHUP)):
            _sent_hangup(child)
        if nohup:
            assert child.poll() is None
        else:
            assert child.wait(timeout=10) == -signal.SIGTERM
        assert signal.getsignal(signal.SIGHUP) == (signal.SIG_IGN if nohup else signal.SIG_DFL)
    finally:
        child.kill()
        child.wait()
        signal.signal(signal.SIGHUP, before)


def test_a_study_needs_a_job():
    with pytest.raises(ConfigError, match="--jobs 0: at least one"):
        next(run_all("color", [], 0))


def _with_study(project, grids):
    """The project with a committed study `tiny` of these grids."""
    (project.folder / "conf/study/tiny.yaml").write_text(yaml.safe_dump({"small": grids, "paper": []}))
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "a study")
    project.env["VIAD_WORKERS"] = str(project.folder.with_name(f"{project.folder.name}-workers"))
    return project


def _status(project):
    with (project.folder / "studies/tiny/status.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.mark.pipeline
def test_a_study_keeps_what_ran_says_what_failed_and_runs_nothing_twice(new_project):
    grids = [TINY | {"model": ["padim", "patchcore"]}, TINY | {"model": "padim", "image_size": 7}]
    project = _with_study(new_project(), grids)
    said = project.run("viad", "study", "tiny", "--jobs", "2", check=False)
    assert "3 experiments, 3 to run" in said
    rows = {row["experiment"]: row for row in _status(project)}
    assert [row["result"] for row in rows.values()].count("done") == 2
    failed = rows[f"padim-synthetic-7-random-{IN_NAME}-s3341"]
    assert "from 32 to 4096" in failed["reason"]
    assert (project.folder / failed["log"]).is_file()
    listed = project.run("dvc", "exp", "list", "--name-only")
    assert f"padim-synthetic-64-random-{IN_NAME}-s3341" in listed
    assert f"patchcore-synthetic-64-random-{IN_NAME}-s3341" in listed
    assert "3 experiments, 1 to run" in project.run("viad", "study", "tiny", "--dry-run")
    project.run("python", "-c", "from viad.experiments.committed_results import collect; collect()")
    assert "| synthetic, 64 px, random, dataset.source.anomalies=3, " in project.run("viad", "compare")
    project.run("viad", "report", "--gallery", f"padim-synthetic-64-random-{IN_NAME}-s3341")
    page = project.folder / "results/report"
    assert (page / "index.html").is_file()
    assert len(list((page / "pictures").rglob("*.jpg"))) >= 8
    assert "no such experiment" in project.run("viad", "report", "--gallery", "nosuch", check=False)
    (project.folder / "src/viad/artifacts/anomaly_maps.py").open("a").write("# changed\n")
    assert "uncommitted changes" in project.run("viad", "study", "tiny", check=False)


@pytest.mark.pipeline
def test_a_study_that_is_killed_goes_on(new_project):
    project = _with_study(new_project(), [TINY | {"model": "padim"}])
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = subprocess.Popen(["viad", "study", "tiny"], cwd=project.folder, env=project.env, **quiet)
    log = project.folder / f"studies/tiny/padim-synthetic-64-random-{IN_NAME}-s3341.log"
    wait_until(
        lambda: start.poll() is not None or (log.is_file() and "Running stage" in log.read_text()), "a stage runs"
    )
    workers = project.env["VIAD_WORKERS"]
    assert start.poll() is None
    assert processes_in(workers) != []
    start.send_signal(signal.SIGTERM)
    assert start.wait() != 0
    wait_until(lambda: processes_in(workers) == [], "all that the study started ends")
    (clone,) = (path for path in Path(workers).iterdir() if path.is_dir())
    (clone / ".dvc/tmp/rwlock").write_text("")  # as DVC leaves it when it is killed while writing
    project.run("viad", "study", "tiny")
    assert [row["result"] for row in _status(project)].count("done") == 1


def test_a_planned_name_is_that_of_the_run(monkeypatch, tmp_path):
    """What `plan` makes of overrides is what the composed params are called."""
    from viad.config.composition import compose_params
    from viad.experiments.conditions import read_conditions
    from viad.experiments.naming import experiment_name

    monkeypatch.chdir(ROOT)
    grid = {
        "dataset": "synthetic", "model": "devnet", "shift": "noise", "shift.severity": 3, "epochs": 4,
        "supervision.anomalies": 10, "supervision.defects": "[large]", "contamination.ratio": 0.1, "center_crop": 0.875,
        "threshold.false_positive_rate": 0.1, "model.small.batch_size": 3,
    }  # fmt: skip
    (planned,) = plan([grid])
    compose_params(planned.overrides, tmp_path / "params.yaml")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert "-fpr0.1-model.small.batch_size_3-" in planned.name
    assert planned.name == experiment_name(read_conditions(params, "model.small.batch_size=3"))
