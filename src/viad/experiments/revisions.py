"""The files of a commit or an experiment, read without a checkout.

dvc.lock maps the outputs to files in DVC's cache. DVC's own file system would open the whole pipeline, which takes half
a second for each revision.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad.artifacts.dvc_adapter import Repository, parse_lock


class Revision:
    """The files of one revision: those in git, and those of its outputs that are in DVC's cache.

    Args:
        repo: the open repository that has the revision.
        name: of the revision, as git resolves it.
    """

    def __init__(self, repo: Repository, name: str) -> None:
        self._repo, self._name = repo, name
        lock = self.read_yaml("dvc.lock") or {}
        outs = (out for stage in lock.get("stages", {}).values() for out in stage.get("outs", []))
        self._outs: dict[str, str] = {out["path"]: out["md5"] for out in outs if "md5" in out}
        self._folders: dict[str, dict[str, str]] = {}

    def read_yaml(self, path: str) -> Any:
        """Read a YAML file in git; None if the revision has no such file."""
        text = self._repo.read_git_file(self._name, path)
        return None if text is None else _parse_yaml(text)

    def read_lock(self) -> Any:
        """Read dvc.lock with the values of params as DVC wrote them; None if the revision has none. It takes 40 ms."""
        text = self._repo.read_git_file(self._name, "dvc.lock")
        return None if text is None else parse_lock(text)

    def read_json(self, path: str) -> Any:
        """Read an output as JSON; None if the revision has no such output or DVC has lost it."""
        return None if (file := self.find_output(path)) is None else json.loads(file.read_text(encoding="utf-8"))

    def read_table(self, path: str) -> pd.DataFrame | None:
        """Read an output as CSV; None if the revision has no such output or DVC has lost it."""
        return (
            None
            if (file := self.find_output(path)) is None
            else pd.read_csv(file, keep_default_na=False, dtype=TEXT_COLUMNS)
        )

    def find_output(self, path: str) -> Path | None:
        """Find the path in the cache of an output, or of a file in an output folder; None if the cache lacks it."""
        md5 = self._outs.get(path) or self._find_in_folder(path)
        return None if md5 is None else self._repo.find_cached_object(md5)

    def read_output_hash(self, path: str) -> str | None:
        """Return the hash of an output in dvc.lock; None if dvc.lock does not list it."""
        return self._outs.get(path)

    def _find_in_folder(self, path: str) -> str | None:
        for out, md5 in self._outs.items():
            if md5.endswith(".dir") and path.startswith(f"{out}/"):
                if out not in self._folders:
                    listed = self._repo.find_cached_object(md5)
                    files = json.loads(listed.read_text(encoding="utf-8")) if listed else []
                    self._folders[out] = {file["relpath"]: file["md5"] for file in files}
                return self._folders[out].get(path[len(out) + 1 :])
        return None


TEXT_COLUMNS = {"sample": str}  # in some datasets, the names of images look like numbers


@lru_cache(maxsize=256)  # most experiments share the files of conf/
def _parse_yaml(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
