"""The `viad` command in one process: its commands, and what it prints."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from viad import cli
from viad.experiments import committed_results
from viad.experiments.experiment_tables import Experiments

ROOT = Path(__file__).parents[1]


def _run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["viad", *arguments])
    return cli.main()


@pytest.fixture
def clone(tmp_path, monkeypatch):
    """What `viad docs` reads and writes, committed; without experiments in DVC, as in a fresh clone."""
    for name in ("conf", "docs", "metrics"):
        shutil.copytree(ROOT / name, tmp_path / name)
    (tmp_path / ".dvc").mkdir()
    for name in ("README.md", "params.yaml", "dvc.lock", "dvc.yaml", ".dvc/config", ".dvc/.gitignore"):
        shutil.copy(ROOT / name, tmp_path / name)
    for command in (["init", "--quiet"], ["add", "--all"], ["commit", "--quiet", "--message", "all"]):
        identity = ["-c", "user.name=t", "-c", "user.email=t"]
        subprocess.run(["git", *identity, *command], cwd=tmp_path, check=True)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(committed_results, "load_dvc_experiments", Experiments)
    return tmp_path


def test_docs_writes_all_generated_files_and_names_each(clone, monkeypatch, capsys):
    for name in ("docs/findings.md", "docs/published.md", "docs/findings/shift.svg"):
        (clone / name).unlink()
    assert _run(monkeypatch, "docs") == 0
    first, *written = capsys.readouterr().out.splitlines()
    assert first.startswith("docs/experiments.csv, docs/scores/ (0 rows")
    names = {"README.md", *(f"docs/{name}.md" for name in ("datasets", "findings", "models", "published", "shifts"))}
    assert names | {"docs/findings/shift.svg"} <= set(written)
    assert written[-1].startswith("docs/heatmaps.jpg is unchanged: DVC's cache has no gallery of the default run")
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=clone, capture_output=True, text=True, check=True)
    assert changed.stdout == "", "run `viad docs`"


@pytest.mark.parametrize("command", ["name", "params", "collect", "findings"])
def test_there_are_no_old_names_of_commands(command, monkeypatch, capsys):
    with pytest.raises(SystemExit):
        _run(monkeypatch, command)
    assert "invalid choice" in capsys.readouterr().err


def test_an_error_says_what_to_do(monkeypatch, capsys):
    monkeypatch.chdir(ROOT)
    assert _run(monkeypatch, "audit", "elvp") == 1
    assert "no dataset 'elvp' in conf/dataset. Choose one of aebad_s" in capsys.readouterr().err
    assert _run(monkeypatch, "study", "color", "--preset", "large", "--dry-run") == 1
    assert "large" in capsys.readouterr().err
