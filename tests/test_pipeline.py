"""The real dvc commands on a dozen tiny images, in a temporary clone of this repository."""

import json
import shutil
import subprocess

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from served_commands import CODE
from tiny_runs import run_tiny_experiment, tiny_settings, tiny_settings_in_name
from viad.artifacts.anomaly_maps import Recipe, resize_maps
from viad.experiments.experiment_tables import load_dvc_experiments
from viad.experiments.remeasurement import remeasure_experiments
from viad.metrics import catalogue
from viad.metrics import image as image_metrics
from viad.metrics.catalogue import Metric
from waiting import count_writes

COLLECT = "from viad.experiments.committed_results import collect_results; collect_results()"
IN_NAME = tiny_settings_in_name()
pytestmark = pytest.mark.pipeline


def _repro(project, *overrides):
    """`dvc repro` on the tiny data with more overrides; its output. In two thirds of the time of `dvc exp run`."""
    project.run("viad", "compose", *tiny_settings(*overrides))
    return project.run("dvc", "repro")


def _stages_run(output):
    return {line.split("'")[1].split("@")[0] for line in output.splitlines() if line.startswith("Running stage '")}


def _json(project, path):
    return json.loads((project.folder / path).read_text())


def _bytes(project, path):
    return (project.folder / path).read_bytes()


@pytest.fixture
def fresh(new_project):
    """A project as its first experiment left it."""
    project = new_project(run_tiny_experiment)
    yield project
    shutil.rmtree(project.folder)


def test_one_tidy_row_with_pixel_metrics_and_defect_kinds(fresh):
    summary, cost = _json(fresh, "metrics/summary.json"), _json(fresh, "metrics/timing.json")
    assert {"image_auroc", "pg2", "pb2", "pixel_auroc", "pixel_ap", "pixel_f1max", "aupro_30", "aupro_5"} <= set(
        summary
    )
    assert len(summary) + len(cost) <= 30
    assert cost["train_seconds"] > 0
    category = _json(fresh, "metrics/synthetic/texture.json")
    assert set(category["image_auroc_by_defect"]) == {"small", "large"}
    assert category["counts"] == {"test_normal": 5, "test_anomalous": 6, "val_normal": 2}
    low, high = category["intervals"]["image_auroc"]
    assert 0 <= low <= category["image_auroc"] <= high <= 1
    assert _json(fresh, "metrics/synthetic/training/texture.json")["selection"] == "last"
    assert (fresh.folder / "plots/heatmaps/category_texture.jpg").is_file()


def test_measuring_again_gives_the_stored_metrics_and_those_that_came_later(fresh, monkeypatch):
    stored = _json(fresh, "metrics/synthetic/texture.json")
    name = (fresh.folder / "metrics/results.md").read_text().partition(":")[0]
    assert "Every experiment that DVC has here has every metric." in fresh.run("viad", "evaluate")
    assert fresh.run("viad", "evaluate", name).endswith(f"{name}: measured again. texture: nothing changed.\n")
    (kept,) = (fresh.folder / "results/measured").glob("*.json")
    assert json.loads(kept.read_text())["metrics"] == stored
    kept.unlink()

    monkeypatch.chdir(fresh.folder)
    monkeypatch.setattr(image_metrics, "toy", lambda scores, labels: float(scores[labels == 1].max()), raising=False)
    monkeypatch.setattr(catalogue, "CATALOGUE", (*catalogue.CATALOGUE, Metric("toy", "Toy", "image", "the highest")))
    row = load_dvc_experiments().table.set_index("experiment").loc[name]
    assert row["toy"] is None
    outcome = next(one for one in remeasure_experiments([]) if one.experiment == name)
    assert outcome.words.startswith("measured again. texture: new: toy ")
    scores = pd.read_csv(fresh.folder / "metrics/synthetic/scores/texture.csv")
    filled = load_dvc_experiments().table.set_index("experiment").loc[name]
    assert filled["toy"] == pytest.approx(scores[scores["label"] == 1]["score"].max())
    assert filled.drop("toy").equals(row.drop("toy"))
    assert name not in {one.experiment for one in remeasure_experiments([])}
    shutil.rmtree(fresh.folder / "results")


def test_repro_again_is_up_to_date(fresh):
    assert "up to date" in fresh.run("dvc", "repro")


def test_a_shift_retrains_nothing(fresh):
    output = _repro(fresh, "shift=brightness", "shift.severity=3")
    assert _stages_run(output) == {"shift", "predict", "evaluate", "summarize"}
    metrics = _json(fresh, "metrics/synthetic/texture.json")
    assert 0 <= metrics["shifted_called_anomalous"] <= 1
    assert 0 <= metrics["shifted_vs_unshifted_auroc"] <= 1


def test_noise_shifts_nothing_and_its_test_set_stays(fresh):
    test_rows = _bytes(fresh, "data/shifted/synthetic/texture/samples.csv")
    output = _repro(fresh, "contamination.ratio=0.2")
    assert {"contaminate", "train"} <= _stages_run(output)
    assert not {"resize", "shift"} & _stages_run(output)
    assert _bytes(fresh, "data/shifted/synthetic/texture/samples.csv") == test_rows
    told = pd.read_csv(fresh.folder / "data/contaminated/synthetic/texture/samples.csv")
    train = told[told["split"] == "train"]
    assert train["label"].mean() == pytest.approx(0.2, abs=0.05)
    assert (train["train_label"] == 0).all()


def test_touching_one_models_yaml_reruns_that_models_stages_only(fresh):
    path = fresh.folder / "conf/model/patchcore.yaml"
    path.write_text(path.read_text().replace("num_neighbors: 9", "num_neighbors: 3"))
    assert _stages_run(run_tiny_experiment(fresh)) == {"train", "predict", "evaluate", "summarize"}
    # The edit was never committed, and the experiment's own git tree has it: the name still tells the two apart.
    fresh.run(CODE, COLLECT)
    runs = pd.read_csv(fresh.folder / "docs/experiments.csv", keep_default_na=False)
    edited = runs["overrides"].str.endswith(", model.small.args.num_neighbors=3")
    assert edited.sum() == 1
    assert not set(runs["experiment"][edited]) & set(runs["experiment"][~edited])


def test_an_edit_reruns_the_stages_that_import_it_and_dvc_finds_them_again_without_a_lock(fresh):
    for edited, stages in (("report/page.py", set()), ("plots/curves.py", {"code", "evaluate"})):
        with (fresh.folder / "src/viad" / edited).open("a") as file:
            file.write("# edited\n")
        assert _stages_run(fresh.run("dvc", "repro")) == stages, edited
    # Times differ from run to run; they must not hide what was trained already.
    (fresh.folder / "dvc.lock").unlink()
    output = fresh.run("dvc", "repro")
    assert _stages_run(output) <= {"summarize"}
    assert "Stage 'train@texture' is cached" in output


def test_another_model_leaves_data_and_shift_alone(fresh):
    stages = _stages_run(run_tiny_experiment(fresh, "model=padim", "model.small.args.n_features=20"))
    assert stages == {"code", "train", "predict", "evaluate", "summarize"}
    _check_table(fresh)
    _check_that_an_applied_experiment_becomes_the_default(fresh)


def _check_table(project):
    """`make table`: name, three metrics and the conditions that differ, most of them in a terminal of 120 columns."""
    for number, name in enumerate(project.stdout("dvc", "exp", "list", "--name-only").split()):
        project.run("dvc", "exp", "rename", name, f"detector-synthetic-64-s{number}")
    printed = project.stdout("make", "--silent", "--old-file", "install", "table")
    lines = [line for line in printed.splitlines() if "─────" not in line and line.strip()]
    columns = ["image_auroc", "pg2", "pb2", "dataset.name", "model.name", "backbone.name", "image_size"]
    assert lines[0].split() == ["Experiment", *columns]
    assert lines[0][:120].split() == ["Experiment", *columns[:6]]  # DVC's pager shows the rest to the right
    rows = [line.split() for line in lines]
    shown = [dict(zip(columns, row[3:], strict=True)) for row in rows if row[2:] and row[2].startswith("[detector")]
    assert {row["model.name"] for row in shown} == {"patchcore", "padim"}
    (ours,) = (row for row in shown if row["model.name"] == "padim")
    summary = _json(project, "metrics/summary.json")
    measured = {key: f"{round(summary[key], 5):g}" for key in columns[:3]}
    conditions = {"dataset.name": "synthetic", "model.name": "padim", "backbone.name": "random", "image_size": "64"}
    assert ours == measured | conditions


def _check_that_an_applied_experiment_becomes_the_default(project):
    """The first experiment is applied after the second has run; what `dvc exp run` composes then is the first's."""
    path = project.folder / "params.yaml"
    refs = project.stdout("git", "for-each-ref", "--format=%(refname)", "refs/exps").split()
    refs = [ref for ref in refs if "/detector-synthetic" in ref]
    models = {yaml.safe_load(project.stdout("git", "show", f"{ref}:params.yaml"))["model"]["name"]: ref for ref in refs}
    applied = models["patchcore"].rpartition("/")[2]
    project.run("dvc", "exp", "apply", applied)
    wanted = path.read_text()
    assert "dataset=synthetic" in project.run("viad", "compose", "--from-workspace")
    path.unlink()
    project.run("viad", "compose")
    assert path.read_text() == wanted
    assert _stages_run(project.run("dvc", "exp", "run")) <= {"summarize"}  # which names what differs from conf/
    assert path.read_text() == wanted
    project.run("git", "checkout", "conf/config.yaml")
    assert project.stdout("git", "diff", "HEAD", "--name-only", "conf") == ""


def test_another_seed_leaves_the_test_set_alone_and_the_same_seed_gives_the_same_bytes(fresh):
    outputs = ["models/synthetic/texture/model.safetensors", "predictions/synthetic/texture/scores.csv"]
    outputs += ["predictions/synthetic/texture/maps.npy", "metrics/synthetic/texture.json", "metrics/summary.json"]
    first = [_bytes(fresh, path) for path in outputs]
    test_rows = _bytes(fresh, "data/shifted/synthetic/texture/samples.csv")
    for stage in ("train", "predict", "evaluate"):
        fresh.run("python", "src/stage.py", stage, "--category", "texture")
    fresh.run("python", "src/stage.py", "summarize")
    assert [_bytes(fresh, path) for path in outputs] == first
    _repro(fresh, "seed=1954")
    assert _bytes(fresh, "data/shifted/synthetic/texture/samples.csv") == test_rows
    assert _bytes(fresh, outputs[0]) != first[0]


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
        subprocess.run(["python", "src/stage.py", stage, "--category", "texture"], cwd=copy, env=fresh.env, check=True)
    model = "models/synthetic/texture/model.safetensors"
    assert (copy / model).read_bytes() == _bytes(fresh, model)
    metrics = "metrics/synthetic/texture.json"
    poisoned = json.loads((copy / metrics).read_text())
    assert poisoned["threshold"] == _json(fresh, metrics)["threshold"]
    assert poisoned["image_auroc"] != _json(fresh, metrics)["image_auroc"]


def _workspace_metrics(project):
    """What `dvc exp show` and the extension have in the row of the workspace."""
    return json.loads(project.stdout("dvc", "exp", "show", "--json"))[0]["data"]["metrics"]["metrics/summary.json"][
        "data"
    ]


@pytest.mark.vscode
def test_a_row_shows_no_metrics_of_the_run_before_and_dvc_restores_its_own(fresh):
    before = _workspace_metrics(fresh)
    assert before["image_auroc"] > 0
    fresh.run("dvc", "exp", "run", "--no-hydra", "--single-item", "--force", "contaminate@texture")
    assert _workspace_metrics(fresh) == {}
    # No input of summarize has changed, only its output.
    assert _stages_run(fresh.run("dvc", "exp", "run", "--no-hydra")) <= {"summarize"}
    assert _workspace_metrics(fresh) == before
    assert "up to date" in fresh.run("dvc", "status")


def test_every_other_option_at_once(fresh):
    options = ["model=msflow", "model.small.epochs=2", "color=gray1", "aspect=pad", "validation=other_defects"]
    options += ["supervision.anomalies=2", "accelerator=cpu", "preset=small", "threshold.false_positive_rate=0.2"]
    signals = fresh.folder / ".dvc/tmp/exps/run"
    signals.mkdir(parents=True, exist_ok=True)
    with count_writes(signals) as count:
        run_tiny_experiment(fresh, *options)
        # The VS Code extension reads the curves again at each of these.
        losses = pd.read_csv(next((fresh.folder / "plots/synthetic/training").rglob("loss.tsv")), sep="\t")
        assert count()["DVCLIVE_STEP_COMPLETED"] >= len(losses)
        assert list(losses["step"]) == [0, 1]
    assert not (signals / "DVCLIVE_STEP_COMPLETED").exists()
    assert _json(fresh, "metrics/synthetic/training/texture.json")["selection"] == "validation"
    plots = json.loads(fresh.stdout("dvc", "plots", "show", "--json"))["data"]
    assert plots["plots/synthetic/training/texture/loss.tsv"][0]["type"] == "vega"
    told = pd.read_csv(fresh.folder / "data/contaminated/synthetic/texture/samples.csv")
    assert (told["train_label"][told["split"] == "train"] == 1).sum() == 2
    assert set(told["defect"][(told["split"] == "val") & (told["label"] == 1)]) == {"foreign"}


def test_experiments_are_kept_for_the_docs(fresh):
    fresh.run(CODE, COLLECT)
    table = pd.read_csv(fresh.folder / "docs/experiments.csv").set_index(["experiment", "category"])
    row = table.loc[(f"patchcore-synthetic-64-random-{IN_NAME}-s3341", "texture")]
    quality = _json(fresh, "metrics/synthetic/texture.json")
    assert row["image_auroc"] == pytest.approx(quality["image_auroc"], rel=1e-5)
    assert [row["pg2_low"], row["pg2_high"]] == pytest.approx(quality["intervals"]["pg2"], rel=1e-5)
    assert row["preset"] == "small"
    before = len(table)
    fresh.run(CODE, COLLECT)
    assert len(pd.read_csv(fresh.folder / "docs/experiments.csv")) == before


def test_predictions_made_elsewhere_are_measured_like_a_models_own(fresh, tmp_path):
    ours = fresh.folder / "predictions/synthetic/texture"
    summary, rows = _json(fresh, "metrics/summary.json"), pd.read_csv(ours / "scores.csv", dtype={"sample": str})
    theirs = tmp_path / "theirs/texture"
    (theirs / "maps").mkdir(parents=True)
    rows.sample(frac=1, random_state=0).to_csv(theirs / "scores.csv", index=False)
    recipe = Recipe(**_json(fresh, "predictions/synthetic/texture/recipe.json"))
    for sample, one in zip(rows["sample"], resize_maps(np.load(ours / "maps.npy"), recipe), strict=True):
        file = theirs / f"maps/{sample}.npy"  # a sample of this dataset is a path
        file.parent.mkdir(parents=True, exist_ok=True)
        np.save(file, one)
    external = ["model=external", f"model.path={theirs.parent}"]
    run_tiny_experiment(fresh, *external)
    for name, value in _json(fresh, "metrics/summary.json").items():
        assert value == pytest.approx(summary[name], abs=1e-4), name
    assert "latency_p50_ms" not in _json(fresh, "metrics/timing.json")
    (theirs / "scores.csv").write_text("sample,score\nsomebody,1\n")
    output = fresh.run("python", "src/stage.py", "predict", "--category", "texture", check=False)
    assert "Traceback" not in output
    assert "images have no score" in output
    assert "1 scores belong to no image: somebody" in output


TOY = '''
import torch
from anomalib import LearningType
from anomalib.data import InferenceBatch
from anomalib.models import AnomalibModule


class Brightness(AnomalibModule):
    """Scores by the distance of each pixel from the mean training image."""

    def __init__(self, weight, **options):
        super().__init__(**options)
        self.model, self.weight, self.count = torch.nn.Linear(1, 1), weight, 0
        self.register_buffer("mean", torch.zeros(3, 64, 64))

    trainer_arguments, learning_type = {"max_epochs": 1}, LearningType.ONE_CLASS

    def configure_optimizers(self):
        return None

    def training_step(self, batch, *_):
        self.count += len(batch.image)
        self.mean += batch.image.sum(dim=0)
        return torch.tensor(0.0, requires_grad=True)

    def on_train_end(self):
        self.mean /= self.count

    def forward(self, images):
        distance = self.weight * (self.pre_processor(images) - self.mean).abs().mean(dim=1, keepdim=True)
        return InferenceBatch(pred_score=distance.amax(dim=(1, 2, 3)), anomaly_map=distance)
'''


def test_another_model_is_one_module_and_one_yaml_and_leaves_data_and_shift_alone(fresh):
    (fresh.folder / "src/viad/models/brightness.py").write_text(TOY)
    small = {"strides": [], "epochs": 1, "batch_size": 4, "args": {"weight": 2.0}}
    model = {"name": "brightness", "code": "src/viad/models/brightness.py", "learning_type": "one_class"}
    model |= {"class_path": "viad.models.brightness.Brightness", "small": small, "paper": small}
    (fresh.folder / "conf/model/brightness.yaml").write_text(yaml.safe_dump(model))
    assert _stages_run(_repro(fresh, "model=brightness")) == {"code", "train", "predict", "evaluate", "summarize"}
    assert 0 < _json(fresh, "metrics/summary.json")["image_auroc"] <= 1
    changed = fresh.stdout("git", "status", "--short", "--", "src", "conf", "dvc.yaml").split()
    assert changed == ["??", "conf/model/brightness.yaml", "??", "src/viad/models/brightness.py"]


def test_somebodys_own_folder_becomes_a_dataset_and_runs(fresh, tmp_path):
    rng = np.random.default_rng(0)
    for kind, count in (("OK", 16), ("NG", 6)):
        (tmp_path / kind).mkdir()
        for i in range(count):
            pixels = rng.integers(0, 60, (50, 70, 3), dtype=np.uint8) + np.uint8(120 if kind == "NG" else 0)
            Image.fromarray(pixels).save(tmp_path / kind / f"Bild {i}.jpg")
    said = fresh.run("viad", "import", str(tmp_path), "--name", "mypart")
    assert "no split: 6 NG, 16 normal" in said
    new = ["conf/dataset/mypart.yaml", "data/imported/.gitignore", "data/imported/mypart.dvc"]
    settings = ["dataset=mypart", "model=padim", "model.small.args.n_features=10"]
    settings += ["backbone=random", "image_size=64", "bootstrap.resamples=50"]
    fresh.run("viad", "compose", *settings)
    fresh.run("dvc", "repro")
    assert _json(fresh, "metrics/summary.json")["image_auroc"] > 0.9
    assert _json(fresh, "metrics/mypart/audit.json")["all"]["images"] == {"all": [16, 6]}
    changed = fresh.stdout("git", "status", "--short", "-uall", "--", "conf", "src", "data", ".gitignore").split()
    assert [name for name in changed if name not in ("A", "??")] == new
    said = fresh.run("viad", "audit", "mypart")
    assert "audit of mypart" in said


@pytest.mark.parametrize(
    ("stage", "override", "words"),
    [
        ("resize", "audit.exclude=everything", "none, duplicates"),
        ("resize", "color=purple", "rgb, gray3, gray1"),
        ("resize", "image_size=7", "from 32 to 4096"),
        ("contaminate", "contamination.ratio=0.9", "Lower the ratio"),
        ("shift", "shift=noise shift.severity=9", "from 1 to 5"),
        ("train", "accelerator=tpu", "auto, cpu, gpu"),
    ],
)
def test_a_stage_refuses_an_unknown_value_and_leaves_nothing_half_written(fresh, stage, override, words):
    fresh.run("viad", "compose", *tiny_settings(*override.split()))
    output = fresh.run("python", "src/stage.py", stage, "--category", "texture", check=False)
    assert words in output
    assert "Traceback" not in output
    assert not list(fresh.folder.rglob(".*.partial"))


def test_a_corrupt_image_is_named(fresh):
    image = next((fresh.folder / "data/raw/synthetic/texture/train").rglob("*.png"))
    content = image.read_bytes()
    image.unlink()
    image.write_bytes(content[:100])
    output = fresh.run("python", "src/stage.py", "resize", "--category", "texture", check=False)
    assert image.name in output
    assert "not a readable image" in output
    assert not list(fresh.folder.rglob(".*.partial"))
    assert fresh.run("dvc", "checkout", "--force")
