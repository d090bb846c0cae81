"""Every command of the README runs as written, on tiny images; its generated parts are current."""

import csv
import io
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from composed import list_committed, read_committed
from tiny_runs import run_small_default
from viad.config.composition import compose_params
from waiting import processes_in, wait_until

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [
    line.split("  #")[0].strip()
    for line in README.splitlines()
    if re.match(r"    (make|dvc|viad|source) ", line)
]  # fmt: skip


def test_the_first_screen_has_commands_table_and_picture():
    screen = "\n".join(README.splitlines()[:40])
    assert "make run" in screen
    assert "| mono |" in screen
    assert "docs/heatmaps.jpg" in screen
    assert "CC BY-NC-SA 4.0" in screen


def test_generated_parts_are_current():
    from viad.documentation.shift_table import format_severities

    assert read_committed("metrics/results.md") in README, "run `viad docs`"
    assert format_severities() in (ROOT / "docs/shifts.md").read_text(encoding="utf-8"), "run `viad docs`"


def test_the_datasets_page_says_what_the_yamls_say(monkeypatch):
    from viad.documentation.dataset_tables import format_counts, format_datasets

    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert format_datasets() in page, "run `viad docs`"
    assert format_counts() in page, "run `viad docs`"


def test_the_conditions_page_has_the_table_of_conditions(monkeypatch):
    from viad.documentation.condition_table import format_conditions, format_excluded_parameters

    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/conditions.md").read_text(encoding="utf-8")
    assert format_conditions() in page, "run `viad docs`"
    assert format_excluded_parameters() in page, "run `viad docs`"


def test_links_lead_somewhere():
    results = set(list_committed("metrics", "plots"))  # those in the workspace are of its last run
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            place = (page.parent / target).resolve()
            there = place.exists() or place.relative_to(ROOT).as_posix() in results
            assert there, f"{page.name}: {target}"


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("make ")}))
def test_make_targets_exist(command):
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.pipeline
@pytest.mark.parametrize("whole", [False, pytest.param(True, marks=pytest.mark.slow)])
def test_commands_run_as_written(new_project, whole, monkeypatch):
    """Unless the test is whole, experiments that differ in a value are composed only, and those queued do not run."""
    project = new_project(run_small_default)
    _draw_parts(project.folder.parent / "parts/lid")
    for command in COMMANDS:
        if command.startswith("dvc exp run -S") and not whole:
            monkeypatch.chdir(project.folder)
            compose_params([word for word in shlex.split(command)[3:] if word != "-S"], Path("composed.yaml"))
        elif command == "dvc queue start":
            _run_queue(project, start=whole)
        elif command.startswith(("dvc", "viad")):
            project.run("bash", "-c", command)
    rows = {
        row["Experiment"]: row for row in csv.DictReader(io.StringIO(project.stdout("dvc", "exp", "show", "--csv")))
    }
    queued = {f"{model}-elpv-{size}-s3341" for model in ("patchcore", "padim") for size in (128, 256)}
    assert len(queued & rows.keys()) == (4 if whole else 0)
    for name in queued & rows.keys():
        assert 0 <= float(rows[name]["image_auroc"]) <= 1
    assert ("synthetic" in "".join(rows)) == whole
    assert 'src="https:' not in (project.folder / "dvc_plots/index.html").read_text(encoding="utf-8")


def _run_queue(project, *, start):
    """Start the queue's worker and wait for its end, or only remove the four experiments that are queued."""
    queued = [line.split()[0] for line in project.stdout("dvc", "queue", "status").splitlines() if "Queued" in line]
    assert len(queued) == 4
    if not start:
        project.run("dvc", "queue", "remove", *queued)
        return
    project.run("dvc", "queue", "start")
    wait_until(lambda: processes_in(project.folder) == [], "the queue's worker ends", seconds=1200)
    assert project.run("dvc", "queue", "status").count("Success") == 4


def _draw_parts(folder):
    """Somebody's own images, where the README has them."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", 12), ("scratch", 6)):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / kind / f"{i}.png")
