"""Clones for experiments: one holder each, one GPU each, made anew where they are broken."""

import shutil
import subprocess
import sys

import pytest
from dvc.repo import Repo

from viad.studies.worker_clones import GPUS_VARIABLE, WORKERS_VARIABLE, CloneError, lock_clones, run_command

WHO = ["-c", "user.name=t", "-c", "user.email=t@t"]


def _repository(folder):
    folder.mkdir(parents=True)
    run_command("git", "init", "--quiet", cwd=folder)
    Repo.init(str(folder)).close()
    (folder / "params.yaml").write_text("a: 1\n")
    run_command("git", "add", "--all", cwd=folder)
    run_command("git", *WHO, "commit", "--quiet", "--message", "start", cwd=folder)
    return folder


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return _repository(tmp_path_factory.mktemp("made") / "project")


@pytest.fixture
def here(made, tmp_path, monkeypatch):
    monkeypatch.setenv(WORKERS_VARIABLE, str(tmp_path / "workers"))
    monkeypatch.delenv(GPUS_VARIABLE, raising=False)
    monkeypatch.chdir(made)
    return made


def _names(held):
    return [clone.folder.name for clone in held]


@pytest.mark.usefixtures("here")
def test_a_clone_has_one_holder():
    with lock_clones(2) as first, lock_clones(1) as second:
        assert len({*_names(first), *_names(second)}) == 3
    with lock_clones(1) as again:
        assert _names(again) == _names(first)[:1]


@pytest.mark.usefixtures("here")
def test_a_process_that_outlives_its_study_keeps_the_clone():
    with lock_clones(1) as first:
        child = subprocess.Popen(["sleep", "60"], pass_fds=[first[0].lock.fileno()])
    with lock_clones(1) as second:
        assert _names(second) != _names(first)
    child.kill()
    child.wait()
    with lock_clones(1) as third:
        assert _names(third) == _names(first)


def test_another_checkout_of_the_same_name_has_its_own(here, tmp_path, monkeypatch):
    with lock_clones(1) as first:
        pass
    monkeypatch.chdir(_repository(tmp_path / "project"))
    with lock_clones(1) as second:
        assert _names(second) != _names(first)
        assert run_command("git", "remote", "get-url", "origin", cwd=second[0].folder) != str(here)


@pytest.mark.parametrize("lost", [".git/HEAD", ".git/objects"])
def test_a_broken_clone_is_made_anew(here, lost):
    with lock_clones(1) as (clone,):
        pass
    path = clone.folder / lost
    shutil.rmtree(path) if path.is_dir() else path.unlink()
    (clone.folder / "params.yaml").write_text("a: 2\n")
    with lock_clones(1) as (clone,):
        assert (clone.folder / "params.yaml").read_text() == "a: 1\n"
        cache = run_command(sys.executable, "-m", "dvc", "cache", "dir", cwd=clone.folder)
        assert cache == str(here / ".dvc/cache")


def test_a_clone_without_git_is_not_taken_for_what_it_lies_in(here, monkeypatch):
    monkeypatch.setenv(WORKERS_VARIABLE, str(here / "workers"))
    with lock_clones(1) as (clone,):
        pass
    shutil.rmtree(clone.folder / ".git")
    (here / "params.yaml").write_text("a: 3\n")
    with lock_clones(1):
        assert (here / "params.yaml").read_text() == "a: 3\n"
        assert run_command("git", "branch", "--show-current", cwd=here) != ""
    run_command("git", "checkout", "--quiet", "params.yaml", cwd=here)
    shutil.rmtree(here / "workers")


@pytest.mark.usefixtures("here")
def test_each_clone_has_a_gpu_and_shares_it_where_they_are_few(monkeypatch):
    monkeypatch.setenv(GPUS_VARIABLE, "4,GPU-a1")
    with lock_clones(3) as held:
        assert [clone.environment for clone in held] == [
            {GPUS_VARIABLE: "4"},
            {GPUS_VARIABLE: "GPU-a1"},
            {GPUS_VARIABLE: "4"},
        ]
    with lock_clones(1), lock_clones(1) as other_study:
        assert other_study[0].environment == {GPUS_VARIABLE: "GPU-a1"}


@pytest.mark.usefixtures("here")
def test_a_clone_is_made_ready():
    with lock_clones(1) as (clone,):
        commit = run_command("git", "rev-parse", "HEAD", cwd=clone.folder)
        for name in ("mine", "not-mine"):
            run_command("git", "update-ref", f"refs/exps/ab/cd/{name}", commit, cwd=clone.folder)
        (clone.folder / "params.yaml").write_text("a: 2\n")
        locks = clone.folder / ".dvc/tmp/rwlock"
        locks.parent.mkdir(exist_ok=True)
        locks.write_text('{"a":')
        clone.reset("mine")
        assert not locks.is_file()
        assert (clone.folder / "params.yaml").read_text() == "a: 1\n"
        assert run_command("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=clone.folder) == (
            "refs/exps/ab/cd/not-mine"
        )
        (clone.folder / ".git/index.lock").touch()
        with pytest.raises(CloneError, match=r"index\.lock"):
            clone.reset("mine")
