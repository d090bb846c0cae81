"""Files of a revision: of git, of the cache, and of outputs that are folders."""

import shutil
import subprocess

import pytest
import yaml
from dvc.repo import Repo

from viad.artifacts.dvc_adapter import Repository
from viad.experiments.revisions import Revision

TABLE = "sample,score\\n007,0.5\\n"
MAKE = f"mkdir -p out/deep && printf '{TABLE}' > out/deep/scores.csv && printf '[1]' > one.json"


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    root = tmp_path_factory.mktemp("made")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    with pytest.MonkeyPatch.context() as patch, Repo.init(str(root)) as repo:
        patch.chdir(root)
        (root / "dvc.yaml").write_text(yaml.safe_dump({"stages": {"make": {"cmd": MAKE, "outs": ["out", "one.json"]}}}))
        repo.reproduce()
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["add", "."], [*who, "commit", "-qm", "made"]):
        subprocess.run(["git", *command], cwd=root, check=True)
    for file in ("out/deep/scores.csv", "one.json", "dvc.yaml"):  # the workspace is of no account
        (root / file).unlink()
    return root


@pytest.fixture
def root(made, tmp_path):
    return shutil.copytree(made, tmp_path / "root")


@pytest.fixture
def files(root):
    with Repository(root) as repo:
        yield Revision(repo, "HEAD")


def test_files_of_git_and_of_the_cache(files):
    assert files.read_yaml("dvc.yaml")["stages"]["make"]["outs"] == ["out", "one.json"]
    assert files.read_json("one.json") == [1]
    assert files.read_table("out/deep/scores.csv").to_dict("records") == [{"sample": "007", "score": 0.5}]


@pytest.mark.parametrize("path", ["nosuch.json", "out/nosuch.csv", "outside/deep/scores.csv", "one.json/inside"])
def test_what_is_no_output(files, path):
    assert files.find_output(path) is None
    assert files.read_json(path) is None
    assert files.read_table(path) is None
    assert files.read_yaml(path) is None


def test_what_the_cache_has_lost(files, root):
    for file in (root / ".dvc/cache").rglob("*"):
        if file.is_file():
            file.unlink()
    assert files.read_table("out/deep/scores.csv") is None  # its folder's list is gone too
    assert files.read_json("one.json") is None
