"""Worker clones: clones of this repository that run experiments, each locked by a process and with a GPU of its own.

A clone is outside the workspace, at this repository's present commit, and shares its DVC cache and its archives.
"""

import fcntl
import hashlib
import itertools
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from viad.artifacts.dvc_adapter import read_cache_folder, set_cache_folder
from viad.errors import ViadError

WORKERS_VARIABLE = "VIAD_WORKERS"  # environment variable: the folder of the clones
GPUS_VARIABLE = "CUDA_VISIBLE_DEVICES"


class CloneError(ViadError):
    """A git command failed in a clone."""


@dataclass(frozen=True)
class Clone:
    """A clone that this process has locked.

    folder: of the clone. lock: an open file that locks the clone; a child that inherits it keeps the clone locked.
    environment: additional variables for processes in the clone.
    """

    folder: Path
    lock: IO[bytes]
    environment: dict[str, str]

    def reset(self, experiment: str) -> None:
        """Remove the traces of an earlier run: changed files, an experiment of this name, DVC's locks.

        Raises:
            CloneError: a git command fails.
        """
        run_command("git", "checkout", "--quiet", "--force", "HEAD", cwd=self.folder)
        for ref in run_command("git", "for-each-ref", "--format=%(refname)", "refs/exps", cwd=self.folder).splitlines():
            if ref.endswith(f"/{experiment}"):  # DVC accepts each name only once
                run_command("git", "update-ref", "-d", ref, cwd=self.folder)
        # No other process uses the clone. A killed DVC may leave half of this file, or the id of a present process.
        (self.folder / ".dvc/tmp/rwlock").unlink(missing_ok=True)


@contextmanager
def lock_clones(count: int) -> Iterator[list[Clone]]:
    """Lock the first `count` clones that no other process has locked; create missing clones.

    Raises:
        CloneError: a git command fails.
        DvcError: DVC's configuration is not valid.
    """
    here, commit = Path.cwd().resolve(), run_command("git", "rev-parse", "HEAD", cwd=Path.cwd())
    cache = read_cache_folder(here)
    gpus = _list_gpus()
    clones: list[Clone] = []
    try:
        for number, folder, lock in itertools.islice(_lock_free_clones(here), count):
            clones.append(Clone(folder, lock, {GPUS_VARIABLE: gpus[number % len(gpus)]} if gpus else {}))
            _update_clone(folder, here, commit, cache)
        yield clones
    finally:
        for clone in clones:
            clone.lock.close()


def _lock_free_clones(here: Path) -> Iterator[tuple[int, Path, IO[bytes]]]:
    """Yield numbers, folders and locks of this repository's clones that no other process has locked."""
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
    """Update a clone to a commit of this repository; create it again if git finds it broken."""
    try:
        _fetch_commit(folder, commit)
    except (CloneError, OSError):
        shutil.rmtree(folder, ignore_errors=True)
        run_command("git", "clone", "--quiet", "--shared", str(here), str(folder), cwd=here)
        _fetch_commit(folder, commit)
    set_cache_folder(folder, cache)
    archives = folder / "data/archives"
    if (here / "data/archives").is_dir() and not archives.exists():
        archives.parent.mkdir(exist_ok=True)
        archives.symlink_to((here / "data/archives").resolve())


def _fetch_commit(folder: Path, commit: str) -> None:
    git = (
        "git",
        "--git-dir",
        ".git",
        "--work-tree",
        ".",
    )  # otherwise git would take a repository around a broken clone for it
    run_command(*git, "fetch", "--quiet", "origin", commit, cwd=folder)
    run_command(*git, "checkout", "--quiet", "--force", "--detach", commit, cwd=folder)


def _list_gpus() -> list[str]:
    """List the available GPUs, as CUDA names them."""
    if names := os.environ.get(GPUS_VARIABLE):
        return names.split(",")
    import torch

    return [str(number) for number in range(torch.cuda.device_count())]


def run_command(*command: str, cwd: Path) -> str:
    """Run a command and return its output.

    Raises:
        CloneError: the command failed; the message contains its output.
    """
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)  # noqa: S603
    if done.returncode:
        raise CloneError(f"`{' '.join(command)}` failed in {cwd}: {done.stderr.strip() or done.stdout.strip()}")
    return done.stdout.strip()
