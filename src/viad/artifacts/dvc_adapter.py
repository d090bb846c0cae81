"""The adapter to DVC: the only module that uses DVC's Python interface, which changes between minor versions.

The modules that compose conf/, fetch an imported dataset, read experiments and copy them between clones all use it. It
imports DVC at first use, because the import takes most of a second and the stages do not need it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Self

from viad.errors import ConfigError, ViadError


class DvcError(ViadError):
    """DVC refuses an operation, or lacks the requested data."""


@dataclass(frozen=True)
class Commit:
    """A commit: its full hash, its time, and the hashes of its parents."""

    sha: str
    time: datetime
    parents: tuple[str, ...] = ()


class Repository:
    """The DVC repository that contains a folder; a context manager that closes it.

    Args:
        folder: a folder in the repository; None means the current one.
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
        """List name and commit of every experiment, whatever commit it started from."""
        return [(name, sha) for listed in self._repo.experiments.ls(all_commits=True).values() for name, sha in listed]

    def rename_experiment(self, old: str, new: str) -> None:
        """Give an experiment another name."""
        self._repo.experiments.rename(new_name=new, exp_name=old)

    def read_commit(self, revision: str) -> Commit:
        """Read the commit that git resolves `revision` to."""
        commit = self._repo.scm.resolve_commit(revision)
        return Commit(commit.hexsha, datetime.fromtimestamp(commit.commit_time, UTC), tuple(commit.parents))

    def read_git_file(self, revision: str, path: str) -> str | None:
        """Read the text of a file in a git revision; None if the revision does not have it.

        The reader is dulwich: DVC's other reader works in a thread that can wait forever on a busy machine.
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
        """Find the path of a file in the local cache by its hash; None if the cache does not have it."""
        place = Path(self._repo.cache.local.oid_to_path(md5))
        return place if place.is_file() else None

    def add_folder(self, folder: Path) -> str:
        """Version a folder, as `dvc add` does, and return its hash.

        Raises:
            DvcError: DVC refuses, for example inside another output.
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
        DvcError: none of them has the folder.
    """
    from dvc.api import DVCFileSystem
    from dvc.exceptions import DvcException

    try:
        DVCFileSystem().get(folder.as_posix(), str(out), recursive=True)
    except (DvcException, OSError) as error:
        raise DvcError(str(error)) from error


def read_cache_folder(root: Path) -> str:
    """Read the path of the DVC cache that the repository at `root` uses, as `dvc cache dir` prints it.

    Raises:
        DvcError: its configuration is not valid.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        return str(Config(str(root / ".dvc"))["cache"].get("dir") or root / ".dvc/cache")
    except DvcException as error:
        raise DvcError(str(error)) from error


def set_cache_folder(root: Path, cache: str) -> None:
    """Let the repository at `root` use another DVC cache, as `dvc cache dir --local` does.

    Raises:
        DvcError: its configuration is not valid.
    """
    from dvc.config import Config
    from dvc.exceptions import DvcException

    try:
        with Config(str(root / ".dvc")).edit("local") as config:
            config["cache"]["dir"] = cache
    except DvcException as error:
        raise DvcError(str(error)) from error


def parse_lock(text: str) -> Any:
    """Parse the text of a dvc.lock by DVC's rules: in its YAML 1.2 an unquoted `no` is a text, not false."""
    from dvc.utils.serialize import parse_yaml

    return parse_yaml(text, "dvc.lock")


def compose_config(conf: Path, overrides: Sequence[str], out: Path) -> None:
    """Compose `conf/config.yaml` with the overrides, exactly as `dvc exp run` does, and write the result.

    Args:
        conf: the absolute path of conf/; Hydra also finds its plugins there.
        overrides: as for `dvc exp run -S`.
        out: the file to write.

    Raises:
        ConfigError: Hydra does not know the group, option or key of an override; the message lists the known ones.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    try:
        compose_and_dump(out, str(conf), None, "config", str(conf), list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise ConfigError(str(error)) from error
