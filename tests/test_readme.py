"""Every command of the README runs as written, on tiny images; its generated parts are current."""

import csv
import io
import re
import subprocess
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

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
    assert "plots/heatmaps/mono.jpg" in screen
    assert "CC BY-NC-SA 4.0" in screen


def test_generated_parts_are_current():
    from viad.documentation.shift_table import severity_table

    assert (ROOT / "metrics/results.md").read_text(encoding="utf-8") in README, "run `viad docs`"
    assert severity_table() in (ROOT / "docs/shifts.md").read_text(encoding="utf-8"), "run `viad docs`"


def test_the_datasets_page_says_what_the_yamls_say(monkeypatch):
    from viad.documentation.dataset_tables import counts_table, datasets_table

    monkeypatch.chdir(ROOT)
    page = (ROOT / "docs/datasets.md").read_text(encoding="utf-8")
    assert datasets_table() in page, "run `viad docs`"
    assert counts_table() in page, "run `viad docs`"


def test_links_lead_somewhere():
    for page in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]:
        for target in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


@pytest.mark.parametrize("command", sorted({c for c in COMMANDS if c.startswith("make ")}))
def test_make_targets_exist(command):
    subprocess.run([*command.split(), "--dry-run"], cwd=ROOT, check=True, capture_output=True)


def _shrink(project):
    """Smaller defaults in conf/, so that the commands themselves stay as written."""
    changes = {
        "config.yaml": [("image_size: 256", "image_size: 64"), ("backbone: efficientnet_lite0", "backbone: random")],
        "dataset/elpv.yaml": [("categories: [mono, poly]", "categories: [mono]")],
        "dataset/synthetic.yaml": [
            ("categories: [texture, object, assembly]", "categories: [assembly]"), ("size: 512", "size: 128"),
            ("train_normals: 120", "train_normals: 10"), ("test_normals: 40", "test_normals: 5"),
            ("anomalies: 20 ", "anomalies: 3 "),
        ],
        "model/msflow.yaml": [("  epochs: 10", "  epochs: 2")],
    }  # fmt: skip
    for name, pairs in changes.items():
        path = project.folder / "conf" / name
        text = path.read_text()
        for old, new in pairs:
            assert old in text, (name, old)
            text = text.replace(old, new, 1)
        path.write_text(text)
    project.run("viad", "params")
    project.run("git", "commit", "--quiet", "--all", "--message", "tiny defaults")


@pytest.mark.pipeline
def test_commands_run_as_written(new_project):
    project = new_project()
    _shrink(project)
    project.run("dvc", "repro")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "default run")
    _draw_parts(project.folder.parent / "parts/lid")
    for command in COMMANDS:
        if command.startswith(("dvc", "viad")):
            project.run("bash", "-c", command)
        if command == "dvc queue start":
            _wait(project)
    assert project.run("dvc", "queue", "status").count("Success") == 4
    rows = {
        row["Experiment"]: row for row in csv.DictReader(io.StringIO(project.stdout("dvc", "exp", "show", "--csv")))
    }
    for model in ("patchcore", "padim"):
        for size in (128, 256):
            assert 0 <= float(rows[f"{model}-elpv-{size}-random-s3341"]["image_auroc"]) <= 1
    assert "synthetic" in "".join(rows)
    assert (project.folder / "dvc_plots/index.html").is_file()


def _draw_parts(folder):
    """Somebody's own images, where the README has them."""
    rng = np.random.default_rng(0)
    for kind, count in (("good", 12), ("scratch", 6)):
        (folder / kind).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(folder / kind / f"{i}.png")


def _wait(project):
    deadline = time.monotonic() + 1200
    while any(word in project.run("dvc", "queue", "status") for word in ("Queued", "Running")):
        assert time.monotonic() < deadline, project.run("dvc", "queue", "status")
        time.sleep(2)
