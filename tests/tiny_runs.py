"""Runs of the pipeline on tiny images, made once and copied by the tests that start from them."""

import shutil
from importlib.resources import files
from pathlib import Path

import pandas as pd

# Overrides of a run on a dozen images that are rendered in a second.
TINY = {
    "dataset": "synthetic", "dataset.categories": "[texture]", "dataset.source.size": 128,
    "dataset.source.train_normals": 10, "dataset.source.test_normals": 5, "dataset.source.anomalies": 3,
    "backbone": "random", "image_size": 64, "bootstrap.resamples": 50,
}  # fmt: skip


def tiny_settings(*overrides):
    """The overrides of a run on the tiny data, with more overrides."""
    return [*(f"{key}={value}" for key, value in TINY.items()), *overrides]


def tiny_settings_in_name():
    """The settings of the tiny data as names of experiments have them."""
    return "_".join(sorted(f"{key}_{value}" for key, value in TINY.items() if key.startswith("dataset.source.")))


def run_tiny_experiment(project, *overrides, check=True):
    """`dvc exp run` on the tiny data with more overrides; its output."""
    settings = [word for override in tiny_settings(*overrides) for word in ("-S", override)]
    return project.run("dvc", "exp", "run", *settings, check=check)


def keep_tiny_stages(project):
    """Leave only DVC's cache of `run_tiny_experiment`: what the tests run again need not be computed."""
    project.run("git", "reset", "--quiet", "--hard")
    project.run("git", "clean", "--quiet", "--force", "-dx", "--exclude", ".dvc")
    shutil.rmtree(project.folder / ".git/refs/exps")


keep_tiny_stages.after = run_tiny_experiment


def run_small_default(project):
    """Give conf/ smaller defaults, so that commands stay as written, and commit `dvc repro` with them."""
    shrink(project)
    project.run("dvc", "repro")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "default run")


def shrink(project):
    images = _keep_few_cells(project.folder / "src/elpv_dataset")
    changes = {
        "src/viad/datasets/elpv.py": [("IMAGE_COUNT = 2624", f"IMAGE_COUNT = {images}")],
        "conf/config.yaml": [("of_preset:image_size,256}", "of_preset:image_size,64}")],
        "conf/backbone/of_preset.yaml": [("backbone,efficientnet_lite0}}", "backbone,random}}")],
        "conf/dataset/elpv.yaml": [
            ("categories: [mono, poly]", "categories: [mono]"),
            ("{all: [588, 313], reserve: [0, 173]}", "{all: [40, 40], reserve: [0, 80]}"),
        ],
        "conf/dataset/synthetic.yaml": [
            ("categories: [texture, object, assembly]", "categories: [assembly]"), ("size: 512", "size: 128"),
            ("train_normals: 120", "train_normals: 10"), ("test_normals: 40", "test_normals: 5"),
            ("anomalies: 20 ", "anomalies: 3 "),
        ],
        "conf/model/msflow.yaml": [("  epochs: 10", "  epochs: 2")],
    }  # fmt: skip
    for name, pairs in changes.items():
        path = project.folder / name
        text = path.read_text()
        for old, new in pairs:
            assert old in text, (name, old)
            text = text.replace(old, new, 1)
        path.write_text(text)
    project.run("viad", "compose")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "tiny defaults")


def _keep_few_cells(package):
    """Write a package with a few cells of elpv-dataset, beside `viad`, where stages find it first; their number."""
    published, columns = Path(str(files("elpv_dataset"))) / "data", ["path", "probability", "type"]
    labels = pd.read_csv(published / "labels.csv", sep=r"\s+", header=None, names=columns)
    few = labels[labels["type"] == "mono"].groupby("probability").head(40)
    (package / "data/images").mkdir(parents=True)
    (package / "__init__.py").touch()
    few.to_csv(package / "data/labels.csv", sep=" ", header=False, index=False)
    for path in few["path"]:
        shutil.copy(published / path, package / "data" / path)
    return len(few)
