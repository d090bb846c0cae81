"""The adapter to DVC: the one module that touches DVC's Python interface, which changes between minor versions.

It lies among the artifacts since a version of a file is what DVC keeps of it, and low enough for all its users: what
composes conf/, fetches an imported dataset, reads experiments and carries them between clones. DVC is imported when it
is first used: importing it takes most of a second, and the stages do without it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from viad.errors import ConfigError, ViadError


class DvcError(ViadError):
    """DVC refuses, or does not have what it was asked for."""


@dataclass(frozen=True)
class Commit:
    """A commit's full hash, when it was made, and the hashes of its parents."""

    sha: str
    time: datetime
    parents: tuple[str, ...] = ()


class Repository:
    """The DVC repository of a folder, opened; a context manager that closes it.

    Args:
        folder: a folder in it; None is the current one.
    """

    def __init__(self, folder: Path | None = None) -> None:
        from dvc.repo import Repo

        self._repo = Repo(None if folder is None else str(folder))
        self._trees: dict[str, Any] = {}

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._repo.close()

    def list_experiments(self) -> list[tuple[str, str]]:
        """Name and commit of every experiment, whatever commit it started from."""
        return [(name, sha) for listed in self._repo.experiments.ls(all_commits=True).values() for name, sha in listed]

    def rename_experiment(self, old: str, new: str) -> None:
        """Give an experiment another name."""
        self._repo.experiments.rename(new_name=new, exp_name=old)

    def read_commit(self, revision: str) -> Commit:
        """The commit that git resolves `revision` to."""
        commit = self._repo.scm.resolve_commit(revision)
        return Commit(commit.hexsha, datetime.fromtimestamp(commit.commit_time, UTC), tuple(commit.parents))

    def read_git_file(self, revision: str, path: str) -> str | None:
        """The text of a file as git has it in a revision; None if it is not there.

        Read through dulwich: DVC's other reader works in a thread that a busy machine can keep waiting forever.
        """
        if revision not in self._trees:
            self._trees[revision] = self._repo.scm.get_tree_obj(revision, backends=["dulwich"])
        node = self._trees[revision]
        for part in path.split("/"):
            node = next((entry for entry in node.scandir() if entry.name == part), None) if node.isdir else None
            if node is None:
                return None
        with node.open(mode="r", encoding="utf-8") as file:
            return str(file.read())

    def find_cached_object(self, md5: str) -> Path | None:
        """Where the local cache has the file of a hash; None if it does not."""
        place = Path(self._repo.cache.local.oid_to_path(md5))
        return place if place.is_file() else None

    def add_folder(self, folder: Path) -> str:
        """Version a folder, as `dvc add` does; its hash.

        Raises:
            DvcError: DVC refuses, as it does inside another output.
        """
        from dvc.exceptions import DvcException

        try:
            (stage,) = self._repo.add(str(folder))
        except DvcException as error:
            raise DvcError(str(error)) from error
        return str(stage.outs[0].hash_info.value)

    def stage_files(self, paths: Sequence[Path]) -> None:
        """Stage files for git's next commit."""
        self._repo.scm.add([str(path) for path in paths])


def fetch_folder(folder: Path, out: Path) -> None:
    """Write a versioned folder of this repository to `out`, from the workspace, DVC's cache or its remote.

    Raises:
        DvcError: none of them has it.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        DVCFileSystem().get(folder.as_posix(), str(out), recursive=True)
    except (DvcException, OSError) as error:
        raise DvcError(str(error)) from error


def compose_config(conf: Path, overrides: Sequence[str], out: Path) -> None:
    """Write what `conf/config.yaml` composes to under the overrides, exactly as `dvc exp run` composes it.

    Args:
        conf: an absolute path; also where Hydra finds plugins.
        overrides: as for `dvc exp run -S`.
        out: the file to write.

    Raises:
        ConfigError: Hydra does not know the group, option or key of an override; the message lists what it knows.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        compose_and_dump(out, str(conf), None, "config", str(conf), list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error)) from error
