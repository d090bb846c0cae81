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

WORKERS = "VIAD_WORKERS"  # environment: where the clones lie
GPUS = "CUDA_VISIBLE_DEVICES"


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

    def make_ready(self, experiment: str) -> None:
        """Undo what an earlier run left: changed files, an experiment of this name, DVC's locks.

        Raises:
            CloneError: git refuses.
        """
        output("git", "checkout", "--quiet", "--force", "HEAD", cwd=self.folder)
        for ref in output("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=self.folder).splitlines():
            if ref.endswith(f"/{experiment}"):  # DVC takes a name once
                output("git", "update-ref", "-d", ref, cwd=self.folder)
        # Nobody works here but us. A killed DVC may leave half of this file, or the number that a process of today has.
        (self.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)


@contextmanager
def clones(count: int) -> Iterator[list[Clone]]:
    """Hold `count` clones, the first that no other process holds; what is not there yet is cloned.

    Raises:
        CloneError: git or DVC refuses.
    """
    here, commit = Path.cwd().resolve(), output("git", "rev-parse", "HEAD", cwd=Path.cwd())
    cache = output(sys.executable, "-m", "dvc", "cache", "dir", cwd=here)
    gpus = _gpus()
    held: list[Clone] = []
    try:
        for number, folder, lock in itertools.islice(_free(here), count):
            held.append(Clone(folder, lock, {GPUS: gpus[number % len(gpus)]} if gpus else {}))
            _bring(folder, here, commit, cache)
        yield held
    finally:
        for one in held:
            one.lock.close()


def _free(here: Path) -> Iterator[tuple[int, Path, IO[bytes]]]:
    """Numbers and folders of clones of this repository that nobody holds, each with its lock taken."""
    home = Path(os.environ.get(WORKERS, Path.home() / ".cache/viad/workers"))
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


def _bring(folder: Path, here: Path, commit: str, cache: str) -> None:
    """Bring a clone to a commit of this repository; one that git finds broken is made anew."""
    try:
        _fetch(folder, commit)
    except (CloneError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        output("git", "clone", "--quiet", "--shared", str(here), str(folder), cwd=here)
        _fetch(folder, commit)
    output(sys.executable, "-m", "dvc", "config", "--local", "cache.dir", cache, cwd=folder)
    archives = folder / "data/archives"
    if (here / "data/archives").is_dir() and not archives.exists():
        archives.parent.mkdir(exist_ok=True)
        archives.symlink_to((here / "data/archives").resolve())


def _fetch(folder: Path, commit: str) -> None:
    git = ("git", "--git-dir", ".git", "--work-tree", ".")  # or a broken clone would be taken for what it lies in
    output(*git, "fetch", "--quiet", "origin", commit, cwd=folder)
    output(*git, "checkout", "--quiet", "--force", "--detach", commit, cwd=folder)


def _gpus() -> list[str]:
    """The GPUs that we may use, as CUDA names them."""
    if told := os.environ.get(GPUS):
        return told.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def output(*command: str, cwd: Path) -> str:
    """What a command prints.

    Raises:
        CloneError: it failed; with what it said.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CloneError(f"`{' '.join(command)}` failed in {cwd}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()
