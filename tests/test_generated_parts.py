"""`viad docs`: the README shows the committed default run, whatever was run in the workspace since."""

import shutil
import subprocess
from pathlib import Path

import pytest

from composed import default_params_text, read_committed
from viad.config.composition import compose_params
from viad.documentation.generated_parts import refresh_pages
from viad.errors import ConfigError

ROOT = Path(__file__).parents[1]


def _commit(*paths):
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    for command in (["init", "--quiet"], ["add", "--", *paths], [*who, "commit", "--quiet", "--message", "a run"]):
        subprocess.run(["git", *command], check=True)


@pytest.fixture
def workspace(tmp_path, monkeypatch):
    """A checkout whose last commit holds the default run, with documents that are current."""
    monkeypatch.chdir(tmp_path)
    for folder in ("conf", "docs"):
        shutil.copytree(ROOT / folder, tmp_path / folder)
    shutil.copyfile(ROOT / "README.md", tmp_path / "README.md")
    Path("metrics").mkdir()
    Path("metrics/results.md").write_text(read_committed("metrics/results.md"))
    Path("params.yaml").write_text(default_params_text())
    _commit("params.yaml", "metrics")
    refresh_pages()
    return tmp_path


def test_a_run_in_the_workspace_leaves_the_readme_as_it_is(workspace):
    before = (workspace / "README.md").read_text()
    assert read_committed("metrics/results.md") in before
    compose_params(["model=padim", "dataset=synthetic"])
    (workspace / "metrics/results.md").write_text("padim on synthetic\n")
    refresh_pages()
    assert (workspace / "README.md").read_text() == before


def test_another_committed_run_is_not_taken_for_the_default(workspace):
    before = (workspace / "README.md").read_text()
    compose_params(["model=padim"])
    _commit("params.yaml")
    with pytest.raises(ConfigError, match=r"committed params\.yaml differs from the one composed from conf/.*make run"):
        refresh_pages()
    assert (workspace / "README.md").read_text() == before


@pytest.mark.usefixtures("workspace")
def test_results_that_are_not_committed_are_an_error():
    subprocess.run(["git", "rm", "--quiet", "--cached", "metrics/results.md"], check=True)
    _commit()
    with pytest.raises(ConfigError, match=r"metrics/results\.md is not committed"):
        refresh_pages()
