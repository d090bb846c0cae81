"""Clones of this repository that experiments run in: one process holds a clone, and each has a GPU of its own.

A clone lies outside the workspace, at this repository's present commit, and shares its DVC cache and its archives.
"""

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from viad.errors import ViadError

WORKERS_VARIABLE = "VIAD_WORKERS"  # environment: where the clones lie
GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"


class CloneError(ViadError):
    """Git or DVC refused something in a clone."""


@dataclass(frozen=True)
class Clone:
    """A clone that this process holds.

    folder: of the clone. lock: open as long as it is held; a child that inherits it holds the clone as well.
    environment: what its processes have beside ours.
    """

    folder: Path
    lock: IO[bytes]
    environment: dict[str, str]

    def reset(self, experiment: str) -> None:
        """Undo what an earlier run left: changed files, an experiment of this name, DVC's locks.

        Raises:
            CloneError: git refuses.
        """
        run_command("git", "checkout", "--quiet", "--force", "HEAD", cwd=self.folder)
        for ref in run_command("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=self.folder).splitlines():
            if ref.endswith(f"/{experiment}"):  # DVC takes a name once
                run_command("git", "update-ref", "-d", ref, cwd=self.folder)
        # Nobody works here but us. A killed DVC may leave half of this file, or the number that a process of today has.
        (self.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)


@contextmanager
def lock_clones(count: int) -> Iterator[list[Clone]]:
    """Hold `count` clones, the first that no other process holds; what is not there yet is cloned.

    Raises:
        CloneError: git or DVC refuses.
    """
    here, commit = Path.cwd().resolve(), run_command("git", "rev-parse", "HEAD", cwd=Path.cwd())
    cache = run_command(sys.executable, "-m", "dvc", "cache", "dir", cwd=here)
    gpus = _list_gpus()
    held: list[Clone] = []
    try:
        for number, folder, lock in itertools.islice(_lock_free_clones(here), count):
            held.append(Clone(folder, lock, {GPUS_VARIABLE: gpus[number % len(gpus)]} if gpus else {}))
            _update_clone(folder, here, commit, cache)
        yield held
    finally:
        for one in held:
            one.lock.close()


def _lock_free_clones(here: Path) -> Iterator[tuple[int, Path, IO[bytes]]]:
    """Numbers and folders of clones of this repository that nobody holds, each with its lock taken."""
    home = Path(os.environ.get(WORKERS_VARIABLE, Path.home() / ".cache/viad/workers"))
    home.mkdir(parents=True, exist_ok=True)
    name = f"{here.name}-{hashlib.sha256(str(here).encode()).hexdigest()[:8]}"  # others may have a folder of this name
    for number in itertools.count():
        lock = (home / f"{name}-{number}.lock").open("wb")
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.close()
        else:
            yield number, home / f"{name}-{number}", lock


def _update_clone(folder: Path, here: Path, commit: str, cache: str) -> None:
    """Bring a clone to a commit of this repository; one that git finds broken is made anew."""
    try:
        _fetch_commit(folder, commit)
    except (CloneError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        run_command("git", "clone", "--quiet", "--shared", str(here), str(folder), cwd=here)
        _fetch_commit(folder, commit)
    run_command(sys.executable, "-m", "dvc", "config", "--local", "cache.dir", cache, cwd=folder)
    archives = folder / "data/archives"
    if (here / "data/archives").is_dir() and not archives.exists():
        archives.parent.mkdir(exist_ok=True)
        archives.symlink_to((here / "data/archives").resolve())


def _fetch_commit(folder: Path, commit: str) -> None:
    git = ("git", "--git-dir", ".git", "--work-tree", ".")  # or a broken clone would be taken for what it lies in
    run_command(*git, "fetch", "--quiet", "origin", commit, cwd=folder)
    run_command(*git, "checkout", "--quiet", "--force", "--detach", commit, cwd=folder)


def _list_gpus() -> list[str]:
    """The GPUs that we may use, as CUDA names them."""
    if told := os.environ.get(GPUS_VARIABLE):
        return told.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def run_command(*command: str, cwd: Path) -> str:
    """What a command prints.

    Raises:
        CloneError: it failed; with what it said.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CloneError(f"`{' '.join(command)}` failed in {cwd}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()
