"""The real dvc commands on a dozen tiny images, in a temporary clone of this repository."""

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

ROOT = Path(__file__).parents[1]
TINY = [
    "dataset=synthetic", "dataset.categories=[texture]", "dataset.source.size=128", "dataset.source.train_normals=10",
    "dataset.source.test_normals=5", "dataset.source.anomalies=3", "backbone=random", "image_size=64",
    "bootstrap.resamples=50",
]  # fmt: skip
BIN = Path(sys.executable).parent
pytestmark = pytest.mark.pipeline


class Project:
    """A clone of the working tree with a git and DVC state of its own."""

    def __init__(self, folder):
        self.folder = folder
        files = subprocess.run(
            ["git", "ls-files", "-co", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.splitlines()
        for file in files:
            if (ROOT / file).is_file():
                (folder / file).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / file, folder / file)
        self.env = os.environ | {"PATH": f"{BIN}{os.pathsep}{os.environ['PATH']}", "HF_HUB_OFFLINE": "1"}
        self.env |= {f"GIT_{who}_{what}": "t" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
        self.run("git", "init", "--quiet", "--initial-branch", "main")
        self.run("git", "add", "--all")
        self.run("git", "commit", "--quiet", "--message", "start")

    def run(self, *command, check=True):
        """Run a command there; its output, or an assertion with it."""
        done = subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=False)
        output = done.stdout + done.stderr
        assert not check or done.returncode == 0, output[-4000:]
        return output if not check else done.stdout + done.stderr

    def stdout(self, *command):
        return subprocess.run(command, cwd=self.folder, env=self.env, capture_output=True, text=True, check=True).stdout

    def experiment(self, *overrides, check=True):
        """`dvc exp run` on the tiny data with more overrides; its output."""
        settings = [word for override in [*TINY, *overrides] for word in ("-S", override)]
        return self.run("dvc", "exp", "run", *settings, check=check)

    def stages_run(self, output):
        return {line.split("'")[1].split("@")[0] for line in output.splitlines() if line.startswith("Running stage '")}

    def json(self, path):
        return json.loads((self.folder / path).read_text())

    def bytes(self, path):
        return (self.folder / path).read_bytes()


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    project = Project(tmp_path_factory.mktemp("project"))
    project.experiment()
    return project


@pytest.fixture
def fresh(project):
    """The project as the first experiment left it, whatever a test did before."""
    project.experiment()
    return project


def test_one_tidy_row_with_pixel_metrics_and_defect_kinds(fresh):
    summary, cost = fresh.json("metrics/summary.json"), fresh.json("metrics/cost.json")
    assert {"image_auroc", "pg2", "pb2", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30", "aupro_5"} <= set(
        summary
    )
    assert len(summary) + len(cost) <= 30
    assert cost["train_seconds"] > 0
    category = fresh.json("metrics/synthetic/texture.json")
    assert set(category["image_auroc_by_defect"]) == {"small", "large"}
    assert category["counts"] == {"test_normal": 5, "test_anomalous": 6, "val_normal": 2}
    low, high = category["intervals"]["image_auroc"]
    assert 0 <= low <= category["image_auroc"] <= high <= 1
    assert fresh.json("metrics/synthetic/training/texture.json")["selection"] == "last"
    assert (fresh.folder / "plots/heatmaps/texture.jpg").is_file()


def test_repro_again_is_up_to_date(fresh):
    assert "up to date" in fresh.run("dvc", "repro")


def test_a_shift_retrains_nothing(fresh):
    output = fresh.experiment("shift=brightness", "shift.severity=3")
    assert fresh.stages_run(output) == {"shift", "predict", "evaluate", "summarize"}
    metrics = fresh.json("metrics/synthetic/texture.json")
    assert 0 <= metrics["shifted_called_anomalous"] <= 1
    assert 0 <= metrics["shifted_vs_unshifted_auroc"] <= 1


def test_noise_shifts_nothing_and_its_test_set_stays(fresh):
    test_rows = fresh.bytes("data/shifted/synthetic/texture/samples.csv")
    output = fresh.experiment("contamination.ratio=0.2")
    assert {"contaminate", "train"} <= fresh.stages_run(output)
    assert not {"resize", "shift"} & fresh.stages_run(output)
    assert fresh.bytes("data/shifted/synthetic/texture/samples.csv") == test_rows
    told = pd.read_csv(fresh.folder / "data/contaminated/synthetic/texture/samples.csv")
    train = told[told["split"] == "train"]
    assert train["label"].mean() == pytest.approx(0.2, abs=0.05)
    assert (train["train_label"] == 0).all()


def test_touching_one_models_yaml_reruns_that_models_stages_only(fresh):
    path = fresh.folder / "conf/model/patchcore.yaml"
    before = path.read_text()
    path.write_text(before.replace("num_neighbors: 9", "num_neighbors: 3"))
    try:
        assert fresh.stages_run(fresh.experiment()) == {"train", "predict", "evaluate", "summarize"}
    finally:
        path.write_text(before)


@pytest.mark.parametrize("model", ["padim", "msflow"])
def test_another_model_leaves_data_and_shift_alone(fresh, model):
    extra = ["model.small.args.n_features=20"] if model == "padim" else ["model.small.epochs=1"]
    stages = fresh.stages_run(fresh.experiment(f"model={model}", *extra))
    assert stages == {"train", "predict", "evaluate", "summarize"}
    if model == "msflow":
        plots = json.loads(fresh.stdout("dvc", "plots", "show", "--json"))["data"]
        assert plots["plots/synthetic/training/texture/plots/metrics/train/loss.tsv"][0]["type"] == "vega"


def test_another_seed_leaves_the_test_set_alone_and_the_same_seed_gives_the_same_bytes(fresh):
    outputs = ["models/synthetic/texture/model.safetensors", "predictions/synthetic/texture/scores.csv"]
    outputs += ["predictions/synthetic/texture/maps.npy", "metrics/synthetic/texture.json", "metrics/summary.json"]
    first = [fresh.bytes(path) for path in outputs]
    test_rows = fresh.bytes("data/shifted/synthetic/texture/samples.csv")
    for stage in (["train", "texture"], ["predict", "texture"], ["evaluate", "texture"], ["summarize"]):
        fresh.run("python", "src/stage.py", *stage)
    assert [fresh.bytes(path) for path in outputs] == first
    fresh.experiment("seed=1954")
    assert fresh.bytes("data/shifted/synthetic/texture/samples.csv") == test_rows
    assert fresh.bytes(outputs[0]) != first[0]


def test_poisoned_test_rows_change_neither_the_model_nor_the_threshold(fresh, tmp_path):
    """Every test image becomes noise and every test label its opposite."""
    copy = tmp_path / "poisoned"
    shutil.copytree(fresh.folder, copy, ignore=shutil.ignore_patterns(".dvc", ".git", "raw"), symlinks=False)
    resized = copy / "data/resized/synthetic/texture"
    rng = np.random.default_rng(0)
    images = sorted((resized / "test/images").rglob("*.png"))
    assert images
    for image in images:
        image.unlink()  # it may be a link into DVC's cache
        Image.fromarray(rng.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(image)
    table = pd.read_csv(resized / "samples.csv", keep_default_na=False)
    test = table["split"] == "test"
    table.loc[test, "label"] = 1 - table.loc[test, "label"]
    (resized / "samples.csv").unlink()
    table.to_csv(resized / "samples.csv", index=False)
    shutil.rmtree(copy / "models")
    for stage in ("contaminate", "train", "shift", "predict", "evaluate"):
        subprocess.run(["python", "src/stage.py", stage, "texture"], cwd=copy, env=fresh.env, check=True)
    model = "models/synthetic/texture/model.safetensors"
    assert (copy / model).read_bytes() == fresh.bytes(model)
    metrics = "metrics/synthetic/texture.json"
    poisoned = json.loads((copy / metrics).read_text())
    assert poisoned["threshold"] == fresh.json(metrics)["threshold"]
    assert poisoned["image_auroc"] != fresh.json(metrics)["image_auroc"]


def test_queue_of_four_names_and_csv(fresh):
    settings = [word for override in TINY if not override.startswith("image_size") for word in ("-S", override)]
    fresh.run(
        "dvc", "exp", "run", "--queue", *settings, "-S", "model=patchcore,padim", "-S", "image_size=64,96",
        "-S", "accelerator=cpu",
    )  # fmt: skip
    fresh.run("dvc", "queue", "start")
    fresh.run("dvc", "queue", "logs", "--follow", _last_task(fresh), check=False)
    _wait_for_queue(fresh)
    assert fresh.run("dvc", "queue", "status").count("Success") == 4
    fresh.run("viad", "name")
    rows = list(csv.DictReader(io.StringIO(fresh.stdout("dvc", "exp", "show", "--csv"))))
    names = {row["Experiment"]: row for row in rows}
    for model in ("patchcore", "padim"):
        for size in (64, 96):
            row = names[f"{model}-synthetic-{size}-random-s3341"]
            assert 0 <= float(row["image_auroc"]) <= 1


def _last_task(project):
    lines = [line.split() for line in project.run("dvc", "queue", "status").splitlines()]
    return [words[0] for words in lines if words and len(words[0]) == 7][-1]


def _wait_for_queue(project):
    import time

    deadline = time.monotonic() + 900
    while any(word in project.run("dvc", "queue", "status") for word in ("Queued", "Running")):
        assert time.monotonic() < deadline, project.run("dvc", "queue", "status")
        time.sleep(2)


@pytest.mark.vscode
def test_what_the_vscode_extension_reads(fresh):
    shown = json.loads(fresh.stdout("dvc", "exp", "show", "--json"))
    workspace = shown[0]["data"]
    assert workspace["metrics"]["metrics/summary.json"]["data"]["image_auroc"] > 0
    assert workspace["params"]["params.yaml"]["data"]["model"]["name"] == "patchcore"
    plots = json.loads(fresh.stdout("dvc", "plots", "show", "--json"))
    assert not plots.get("errors"), plots["errors"]
    kinds = {name: plot[0]["type"] for name, plot in plots["data"].items()}
    assert {kinds[name] for name in ("ROC", "Precision-recall", "Scores")} == {"vega"}
    images = [name for name, kind in kinds.items() if kind == "image"]
    assert any(name.endswith("texture.jpg") for name in images)
    json.loads(fresh.stdout("dvc", "data", "status", "--json"))


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("color=purple", "rgb, gray3, gray1"),
        ("image_size=7", "from 32 to 4096"),
        ("contamination.ratio=0.9", "Lower the ratio"),
        ("shift.severity=9 shift=noise", "from 1 to 5"),
        ("accelerator=tpu", "auto, cpu, gpu"),
    ],
)
def test_unknown_values_end_with_a_message_and_leave_nothing_half_written(fresh, override, words):
    output = fresh.experiment(*reversed(override.split()), check=False)
    assert words in output
    assert "Traceback" not in output
    assert not list(fresh.folder.rglob(".*.partial"))


def test_a_corrupt_image_is_named(fresh):
    image = next((fresh.folder / "data/raw/synthetic/texture/train").rglob("*.png"))
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content[:100])
    output = fresh.run("python", "src/stage.py", "resize", "texture", check=False)
    assert image.name in output
    assert "not a readable image" in output
    assert not list(fresh.folder.rglob(".*.partial"))
    assert fresh.run("dvc", "checkout", "--force")
