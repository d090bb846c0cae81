"""Studies: plans compose; a pool of clones runs them, skips what is there, and survives failures and kills."""

import contextlib
import csv
import os
import signal
import subprocess
from functools import cache
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml

from conf_files import read_conf, read_facts
from served_commands import CODE
from tiny_runs import TINY, keep_tiny_stages, tiny_settings_in_name
from viad import cli
from viad.errors import ConfigError
from viad.protocol.anomaly_reserve import AnomalyReserve
from viad.protocol.splits import assign_splits
from viad.studies.plans import STUDY_PRESETS, Experiment, _as_list, estimate_cost, plan_experiments, read_study
from viad.studies.runner import _manage_children, interleave_datasets, run_experiments
from waiting import processes_in, wait_until

ROOT = Path(__file__).parents[1]
STUDIES = sorted(path.stem for path in (ROOT / "conf/study").glob("*.yaml"))


IN_NAME = tiny_settings_in_name()


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", STUDY_PRESETS)
def test_every_study_composes_and_names_its_experiments(name, preset, monkeypatch):
    monkeypatch.chdir(ROOT)
    grids = read_study(name, preset)
    for grid in grids:  # one of each grid: all of the large ones take minutes to compose
        one = {key: values[-1] if isinstance(values, list) else values for key, values in grid.items()}
        (experiment,) = plan_experiments([one])
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


@cache
def _split_as_published(dataset):
    """The rows of each category with their split; none where the dataset publishes no counts."""
    conf, categories = read_conf(f"dataset/{dataset}"), []
    for category, counts in (read_facts(dataset)["counts"] or {}).items():
        published = counts[0] if isinstance(counts, list) else counts  # the smallest archive there is
        samples = _rows(published, conf["doubtful_defects"])
        categories.append(samples.assign(split=assign_splits(samples, "study", conf["split"], category)))
    return categories


@pytest.mark.parametrize("name", STUDIES)
@pytest.mark.parametrize("preset", STUDY_PRESETS)
def test_the_anomalies_that_a_study_wants_are_there(name, preset, monkeypatch):
    """Too many would fail its experiments; as the counts that datasets publish tell, where they do."""
    monkeypatch.chdir(ROOT)
    for grid in read_study(name, preset):
        ratios = _as_list(grid.get("contamination.ratio", 0))
        labels = [number for number in _as_list(grid.get("supervision.anomalies", 0)) if number != "all"]
        for dataset in _as_list(grid.get("dataset", "elpv")):
            conf = read_conf(f"dataset/{dataset}")
            for samples in _split_as_published(dataset):
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
    assert [one.name for one in plan_experiments(grids)] == [
        f"{model}-elpv-256-s{seed}" for model in ("patchcore", "padim") for seed in (1, 2)
    ]


def test_an_unknown_study_edition_or_override_is_an_error(monkeypatch):
    monkeypatch.chdir(ROOT)
    with pytest.raises(ConfigError, match="no study is called 'nosuch'"):
        read_study("nosuch", "small")
    with pytest.raises(ConfigError, match="choose one of small, paper"):
        read_study("color", "large")
    with pytest.raises(ConfigError, match="nosuch"):
        plan_experiments([{"model": "nosuch"}])


def _made(name, **conditions):
    return Experiment(name, (), conditions, ("mono", "poly"))


def test_the_estimate_comes_from_measured_runs():
    one = {"model.name": "padim", "dataset.name": "elpv", "backbone.name": "a", "image_size": 256}
    measured = pd.DataFrame([one | {"category": category} for category in ("mono", "poly", "mono")])
    measured = measured.assign(**{"training.train_seconds": [20.0, 40.0, 60.0], "preset": "small"})
    padim, msflow = (_made(name, **one | {"model.name": name, "preset": "small"}) for name in ("padim", "msflow"))
    # 40 s of training for either category, and 45 s for each besides.
    assert estimate_cost([padim], measured, 1).startswith("about 3 minutes with 1 at once, and 40 MB")
    assert estimate_cost([padim, msflow], measured, 2).startswith(
        "about 3 minutes with 2 at once (1 of them unlike any"
    )
    assert "no estimate" in estimate_cost([msflow], measured, 1)
    paper = _made("paper", **one | {"preset": "paper"})
    assert "no estimate" in estimate_cost([paper], measured, 1)
    larger = measured.assign(image_size=512)
    assert "about 3 minutes" in estimate_cost([padim], larger, 1)
    both = pd.concat([measured, larger.assign(**{"training.train_seconds": 900.0})])
    assert "about 3 minutes" in estimate_cost([padim], both, 1)


def test_datasets_take_turns():
    planned = [_made(name, **{"dataset.name": name[0]}) for name in ("a1", "a2", "a3", "b1", "b2")]
    assert [one.name for one in interleave_datasets(planned)] == ["a1", "b1", "a2", "b2", "a3"]


def _sent_hangup(child):
    """What a hangup does to a study that runs a child."""
    with _manage_children(1) as children:
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
        next(run_experiments("color", [], 0))


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


@pytest.fixture(scope="module")
def killed_study(new_project):
    """A project in which a study was ended while its first stage ran; clones have what a killed DVC leaves."""
    grids = [TINY | {"model": ["padim", "patchcore"]}, TINY | {"model": "padim", "image_size": 7}]
    project = _with_study(new_project(keep_tiny_stages), grids)
    assert "3 experiments, 3 to run" in project.run("viad", "study", "tiny", "--dry-run")
    command = ["viad", "study", "tiny", "--jobs", "2"]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    start = subprocess.Popen(command, cwd=project.folder, env=project.env, **quiet)
    log = project.folder / f"studies/tiny/padim-synthetic-64-random-{IN_NAME}-s3341.log"
    wait_until(
        lambda: start.poll() is not None or (log.is_file() and "Running stage" in log.read_text()), "a stage runs"
    )
    workers = Path(project.env["VIAD_WORKERS"])
    assert start.poll() is None
    assert processes_in(workers) != []
    start.send_signal(signal.SIGTERM)
    assert start.wait() != 0
    wait_until(lambda: processes_in(workers) == [], "all that the study started ends")
    clones = [path for path in workers.iterdir() if path.is_dir()]
    assert len(clones) == 2
    for clone in clones:
        (clone / ".dvc/tmp/rwlock").write_text("")  # DVC, killed while it writes this file
    return project


# `viad study tiny --jobs 2`, but the stages come from the server that tests have, not from one that first imports.
STUDY_WITH_OUR_SERVER = """
import contextlib, pathlib, sys
from viad import cli
from viad.studies import runner
runner.start_stage_server = lambda _: contextlib.nullcontext(pathlib.Path({stages!r}))
sys.argv = ["viad", "study", "tiny", "--jobs", "2"]
sys.exit(cli.main())
"""


@pytest.mark.pipeline
def test_a_killed_study_goes_on_says_what_failed_and_runs_nothing_twice(killed_study, monkeypatch, capsys):
    project = killed_study
    project.run(CODE, STUDY_WITH_OUR_SERVER.format(stages=project.stages), check=False)
    rows = {row["experiment"]: row for row in _status(project)}
    done, failed = (f"padim-synthetic-{size}-random-{IN_NAME}-s3341" for size in (64, 7))
    assert {name for name, row in rows.items() if row["result"] == "done"} == {done, done.replace("padim", "patchcore")}
    assert "from 32 to 4096" in rows[failed]["reason"]
    assert (project.folder / rows[failed]["log"]).is_file()
    listed = project.run("dvc", "exp", "list", "--name-only").split()
    assert {done, done.replace("padim", "patchcore")} <= set(listed)
    project.run(CODE, "from viad.experiments.committed_results import collect_results; collect_results()")

    def viad(*arguments):
        """What the command prints; here, as a process of its own would first import for seconds."""
        monkeypatch.setattr("sys.argv", ["viad", *arguments])
        code, printed = cli.main(), capsys.readouterr()
        return code, printed.out + printed.err

    monkeypatch.chdir(project.folder)
    code, said = viad("study", "tiny", "--dry-run")
    assert (code, "3 experiments, 1 to run" in said) == (0, True)
    code, said = viad("compare")
    assert (code, "| synthetic, 64 px, random, dataset.source.anomalies=3, " in said) == (0, True)
    code, _ = viad("report", "--gallery", done)
    assert code == 0
    page = project.folder / "results/report"
    assert (page / "index.html").is_file()
    assert len(list((page / "pictures").rglob("*.jpg"))) >= 8
    code, said = viad("report", "--gallery", "nosuch")
    assert (code, "no such experiment" in said) == (1, True)
    (project.folder / "src/viad/artifacts/anomaly_maps.py").open("a").write("# changed\n")
    code, said = viad("study", "tiny")
    assert (code, "uncommitted changes" in said) == (1, True)


def test_a_planned_name_is_that_of_the_run(monkeypatch, tmp_path):
    """What `plan` makes of overrides is what the composed params are called."""
    from viad.config.composition import compose_params
    from viad.experiments.conditions import read_conditions
    from viad.experiments.experiment_names import name_experiment

    monkeypatch.chdir(ROOT)
    grid = {
        "dataset": "synthetic", "model": "devnet", "shift": "noise", "shift.severity": 3, "epochs": 4,
        "supervision.anomalies": 10, "supervision.defects": "[large]", "contamination.ratio": 0.1, "center_crop": 0.875,
        "threshold.false_positive_rate": 0.1, "model.small.batch_size": 3,
    }  # fmt: skip
    (planned,) = plan_experiments([grid])
    compose_params(planned.overrides, tmp_path / "params.yaml")
    params = yaml.safe_load((tmp_path / "params.yaml").read_text())
    assert "-fpr0.1-model.small.batch_size_3-" in planned.name
    assert planned.name == name_experiment(read_conditions(params, "model.small.batch_size=3"))
