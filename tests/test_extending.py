"""docs/extending.md, followed word for word in a clone: the files of each recipe in their order, then its commands."""

import io
import os
import re
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tiny_runs import run_small_default

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs/extending.md").read_text(encoding="utf-8")
RECIPES = {
    title: re.findall(r"^```(\w+) ?(\S*)\n(.*?)^```$", text, re.M | re.S)
    for title, text in re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S)
}
FILES = {  # what a recipe may touch, at most
    "A detector": 2, "A dataset": 2, "A study": 1, "A shift": 2, "A metric": 3, "A condition": 3,
}  # fmt: skip
pytestmark = pytest.mark.pipeline


@pytest.fixture(scope="module")
def project(new_project):
    """A clone with small defaults, whose commands use its own code."""
    clone = new_project(run_small_default)
    clone.env["PYTHONPATH"] = os.fspath(clone.folder / "src")
    archive = clone.folder / "data/archives/two_folders.zip"
    archive.parent.mkdir(parents=True, exist_ok=True)
    _write_two_folders(archive)
    return clone


def _write_two_folders(path):
    """The archive that the dataset's recipe describes, with pictures of 48 px."""
    rng = np.random.default_rng(0)
    names = [f"normal/{i}" for i in range(16)] + [f"defect/{i}" for i in range(8)]
    with zipfile.ZipFile(path, "w") as archive:
        for name in names:
            pixels, mask = rng.integers(90, 110, (48, 48, 3), dtype=np.uint8), np.zeros((48, 48), np.uint8)
            if name.startswith("defect"):
                pixels[10:20, 10:20], mask[10:20, 10:20] = 250, 255
                archive.writestr(f"two_folders/part/{name}_mask.png", _png(mask))
            archive.writestr(f"two_folders/part/{name}.png", _png(pixels))


def _png(pixels):
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "png")
    return file.getvalue()


def test_each_recipe_of_the_page_is_followed_here():
    assert set(FILES) == set(RECIPES)


@pytest.mark.parametrize("title", FILES)
def test_a_recipe_works_as_written(project, title):
    touched = set()
    for kind, path, text in RECIPES[title]:
        if kind == "sh":
            for command in text.splitlines():
                project.run("bash", "-c", command)
        elif kind == "diff":
            patch = project.folder.parent / "recipe.diff"
            patch.write_text(text)
            project.run("git", "apply", "--recount", "--whitespace=nowarn", str(patch))
            touched |= set(re.findall(r"^\+\+\+ b/(\S+)", text, re.M))
        else:
            assert path, f"{title}: a block of {kind} names no file"
            (project.folder / path).write_text(text)
            touched.add(path)
    changed = project.stdout(
        "git", "status", "--short", "--untracked-files=all", "--", "src", "conf", "tests", "dvc.yaml"
    )
    assert {line.split()[-1] for line in changed.splitlines()} == touched
    assert len(touched) <= FILES[title]
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", title)
