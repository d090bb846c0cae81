"""What `make run` left in this workspace: the bounds that the README's numbers must keep (`pytest -m default_run`)."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.default_run


@pytest.mark.parametrize(("category", "bound"), [("mono", 0.93), ("poly", 0.86)])
def test_patchcore_on_real_cells(category, bound):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
    assert (params["model"]["name"], params["image_size"]) == ("patchcore", 256)
    metrics = json.loads((ROOT / f"metrics/elpv/{category}.json").read_text())
    assert metrics["image_auroc"] >= bound
    assert metrics["counts"]["test_normal"] >= 100


def test_the_readme_shows_the_gallery_of_this_run():
    shown, drawn = (
        np.asarray(Image.open(ROOT / path), float) for path in ("docs/heatmaps.jpg", "plots/heatmaps/category_mono.jpg")
    )
    assert shown.shape == drawn.shape
    assert np.abs(shown - drawn).mean() < 2  # another processor rounds otherwise


def test_nothing_is_left_to_run():
    status = subprocess.run(
        [Path(sys.executable).parent / "dvc", "status"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert "up to date" in status.stdout + status.stderr


def test_an_experiment_of_the_default_size_adds_tens_of_megabytes():
    folders = [ROOT / "models/elpv", ROOT / "predictions/elpv"]
    size = sum(file.stat().st_size for folder in folders for file in folder.rglob("*") if file.is_file())
    assert size < 50e6
