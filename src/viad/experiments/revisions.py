"""The files of a commit or an experiment, read without checking it out.

`dvc.lock` says which file of DVC's cache is which. DVC's own file system would open the whole pipeline, half a second
for each revision.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml

from viad.artifacts.dvc_adapter import Repository


class Revision:
    """The files of one revision: those in git, and those of its outputs that are in DVC's cache.

    Args:
        repo: the open repository that has the revision.
        name: of the revision, as git resolves it.
    """

    def __init__(self, repo: Repository, name: str) -> None:
        self._repo, self._name = repo, name
        lock = self.yaml("dvc.lock") or {}
        outs = (out for stage in lock.get("stages", {}).values() for out in stage.get("outs", []))
        self._outs: dict[str, str] = {out["path"]: out["md5"] for out in outs if "md5" in out}
        self._folders: dict[str, dict[str, str]] = {}

    def yaml(self, path: str) -> Any:
        """A YAML file in git; None if it is not there."""
        text = self._repo.read_git_file(self._name, path)
        return None if text is None else _parsed(text)

    def json(self, path: str) -> Any:
        """An output's JSON; None if it has none or DVC has lost it."""
        return None if (file := self.output(path)) is None else json.loads(file.read_text(encoding="utf-8"))

    def table(self, path: str) -> pd.DataFrame | None:
        """An output's CSV; None if it has none or DVC has lost it."""
        return None if (file := self.output(path)) is None else pd.read_csv(file, keep_default_na=False, dtype=TEXTS)

    def output(self, path: str) -> Path | None:
        """Where the cache has an output, or a file in an output that is a folder; None if it does not."""
        md5 = self._outs.get(path) or self._in_folder(path)
        return None if md5 is None else self._repo.find_cached_object(md5)

    def output_hash(self, path: str) -> str | None:
        """The hash by which dvc.lock names an output; None if it has none."""
        return self._outs.get(path)

    def _in_folder(self, path: str) -> str | None:
        for out, md5 in self._outs.items():
            if md5.endswith(".dir") and path.startswith(f"{out}/"):
                if out not in self._folders:
                    listed = self._repo.find_cached_object(md5)
                    files = json.loads(listed.read_text(encoding="utf-8")) if listed else []
                    self._folders[out] = {file["relpath"]: file["md5"] for file in files}
                return self._folders[out].get(path[len(out) + 1 :])
        return None


TEXTS = {"sample": str}  # some datasets' names of images look like numbers


@lru_cache(maxsize=256)  # most experiments have the same conf/
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
