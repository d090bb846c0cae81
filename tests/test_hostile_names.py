"""Names that a shell, a path or DVC would take for something else, in every place where a name can stand."""

import json

import numpy as np
import pytest
import yaml
from PIL import Image

from tiny_runs import tiny_settings

pytestmark = pytest.mark.pipeline
COMMAND = "b;touch PWNED;$(touch PWNED)`touch PWNED`"


@pytest.fixture
def clone(new_project):
    return new_project()


def _draw(folder, kind, count):
    rng = np.random.default_rng(0)
    (folder / kind).mkdir(parents=True)
    for i in range(count):
        Image.fromarray(rng.integers(0, 255, (48, 64, 3), dtype=np.uint8)).save(folder / kind / f"{i}; touch PWNED.png")


def _run(project, *settings):
    words = [word for override in settings for word in ("-S", override)]
    return project.run("dvc", "exp", "run", *words, check=False)


def test_no_name_is_executed_or_leaves_its_folder(clone, tmp_path):
    for category in (COMMAND, "bottle cap"):
        _draw(tmp_path / "mine" / category, "good", 9)
        _draw(tmp_path / "mine" / category, "$(touch PWNED)", 4)
    said = clone.run("viad", "import", str(tmp_path / "mine"), "--name", "mine")
    assert "Category 'bottle cap' is called bottle_cap here" in said
    conf = yaml.safe_load((clone.folder / "conf/dataset/mine.yaml").read_text())
    assert conf["categories"] == ["b_touch_PWNED_touch_PWNED_touch_PWNED", "bottle_cap"]
    assert conf["facts"]["display_names"]["categories"]["bottle_cap"] == "bottle cap"
    assert conf["facts"]["display_names"]["defects"] == {"touch_PWNED": "$(touch PWNED)"}
    clone.run("dvc", "exp", "run", "-S", "dataset=mine", "-S", "image_size=64", "-S", "backbone=random", "resize")
    samples = list((clone.folder / "data/resized/mine/bottle_cap").rglob("*.png"))
    assert len(samples) == 13

    # By -S, past the import: the first stage refuses it, and no other one runs.
    output = _run(clone, *tiny_settings(f"dataset.categories=['{COMMAND}']"))
    assert "dataset.categories: the name" in output
    assert "such as 'b_touch_PWNED" in output
    assert "Running stage 'raw'" not in output

    # By a yaml written by hand: DVC is not even asked.
    conf["categories"] = [COMMAND]
    (clone.folder / "conf/dataset/mine.yaml").write_text(yaml.safe_dump(conf))
    output = _run(clone, "dataset=mine")
    assert "conf/dataset/mine.yaml: categories: the name" in output
    assert "Running stage" not in output

    # In params.yaml itself, with stages that run again: DVC quotes it, and the first stage refuses it.
    path = clone.folder / "params.yaml"
    params = yaml.safe_load(path.read_text())
    params["dataset"]["categories"] = [COMMAND]
    path.write_text(json.dumps(params))
    output = clone.run("dvc", "repro", check=False)
    assert "dataset.categories: the name" in output

    for output in clone.folder.parent.rglob("PWNED*"):
        pytest.fail(f"{output} was made")
    assert "Traceback" not in output
