"""The adapter to DVC, on the DVC that is installed: a new minor version is tried by these tests."""

import subprocess
from pathlib import Path

import pytest
from dvc.repo import Repo

from viad.artifacts.dvc_adapter import DvcError, Repository, compose_config, fetch_folder
from viad.errors import ConfigError


def git(*arguments):
    who = ["-c", "user.name=t", "-c", "user.email=t@t"]
    return subprocess.run(["git", *who, *arguments], check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def root(tmp_path, monkeypatch):
    """A repository with one commit, one experiment and one versioned folder."""
    monkeypatch.chdir(tmp_path)
    git("init", "-q")
    Repo.init(".").close()
    (tmp_path / "params.yaml").write_text("seed: 1\n")
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "one.txt").write_text("one")
    with Repository() as repo:
        repo.add_folder(tmp_path / "photos")
    git("add", ".")
    git("commit", "-qm", "made")
    git("update-ref", f"refs/exps/{git('rev-parse', 'HEAD')[:2]}/{git('rev-parse', 'HEAD')[2:]}/first-try", "HEAD")
    return tmp_path


@pytest.mark.usefixtures("root")
def test_experiments_are_listed_and_renamed():
    with Repository() as repo:
        assert repo.list_experiments() == [("first-try", git("rev-parse", "HEAD"))]
        repo.rename_experiment("first-try", "padim-elpv")
        assert [name for name, _ in repo.list_experiments()] == ["padim-elpv"]


def test_a_commit_and_its_files(root):
    (root / "params.yaml").write_text("seed: 2\n")  # the workspace is of no account
    with Repository() as repo:
        commit = repo.read_commit("HEAD")
        assert (commit.sha, str(int(commit.time.timestamp()))) == (
            git("rev-parse", "HEAD"),
            git("log", "-1", "--format=%ct"),
        )
        assert repo.read_git_file("HEAD", "params.yaml") == "seed: 1\n"
        assert repo.read_git_file("HEAD", "params.yaml/inside") is None
        assert repo.read_git_file("HEAD", "nosuch/file.yaml") is None


def test_a_versioned_folder_is_cached_and_comes_back(root):
    with Repository() as repo:
        cached = repo.find_cached_object(repo.add_folder(root / "photos"))
        assert cached.read_text().startswith('[{"md5": ')
        assert repo.find_cached_object("0" * 32) is None
    (root / "photos" / "one.txt").unlink()
    (root / "photos").rmdir()
    fetch_folder(Path("photos"), root / "again")
    assert (root / "again" / "one.txt").read_text() == "one"
    with pytest.raises(DvcError):
        fetch_folder(Path("nosuch"), root / "nothing")


def test_a_refusal_of_dvc_is_ours(root):
    with Repository() as repo, pytest.raises(DvcError):
        repo.add_folder(root / "nosuch")


def test_files_are_staged(root):
    (root / "new.txt").write_text("new")
    with Repository() as repo:
        repo.stage_files([Path("new.txt")])
    assert git("diff", "--cached", "--name-only") == "new.txt"


def test_conf_is_composed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf" / "config.yaml").write_text("seed: 1\nname: padim\n")
    compose_config(tmp_path / "conf", ["seed=2"], tmp_path / "params.yaml")
    assert (tmp_path / "params.yaml").read_text() == "seed: 2\nname: padim\n"
    with pytest.raises(ConfigError, match="nosuch"):
        compose_config(tmp_path / "conf", ["nosuch=2"], tmp_path / "params.yaml")
