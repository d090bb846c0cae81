"""Runs of the pipeline on tiny images, made once and copied by the tests that start from them."""

import shutil

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


def run_tiny_stages(project):
    """`run_tiny_experiment`, of which only DVC's cache is left: what the tests run again need not be computed."""
    run_tiny_experiment(project)
    project.run("git", "reset", "--quiet", "--hard")
    project.run("git", "clean", "--quiet", "--force", "-dx", "--exclude", ".dvc")
    shutil.rmtree(project.folder / ".git/refs/exps")


def run_small_default(project):
    """Give conf/ smaller defaults, so that commands stay as written, and commit `dvc repro` with them."""
    shrink(project)
    project.run("dvc", "repro")
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", "default run")


def shrink(project):
    changes = {
        "config.yaml": [("of_preset:image_size,256}", "of_preset:image_size,64}")],
        "backbone/of_preset.yaml": [("backbone,efficientnet_lite0}}", "backbone,random}}")],
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
    project.run("viad", "compose")
    project.run("git", "commit", "--quiet", "--all", "--message", "tiny defaults")
