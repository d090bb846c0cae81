"""The files of a commit or an experiment, read without checking it out.

`dvc.lock` says which file of DVC's cache is which. DVC's own file system would open the whole pipeline, half a second
for each revision, and reads git through a thread that a busy machine can keep waiting forever.
"""

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import pandas as pd
import yaml


class Revision:
    """The files of one revision: those in git, and those of its outputs that are in DVC's cache.

    Args:
        repo: DVC's, open.
        name: of the revision, as git resolves it.
    """

    def __init__(self, repo: Any, name: str) -> None:
        self._tree, self._cache = repo.scm.get_tree_obj(name, backends=["dulwich"]), repo.cache.local
        lock = self.yaml("dvc.lock") or {}
        outs = (out for stage in lock.get("stages", {}).values() for out in stage.get("outs", []))
        self._outs: dict[str, str] = {out["path"]: out["md5"] for out in outs if "md5" in out}
        self._folders: dict[str, dict[str, str]] = {}

    def yaml(self, path: str) -> Any:
        """A YAML file in git; None if it is not there."""
        found = self._tree
        for part in path.split("/"):
            found = next((one for one in found.scandir() if one.name == part), None)
            if found is None:
                return None
        with found.open(mode="r", encoding="utf-8") as file:
            return _parsed(file.read())

    def json(self, path: str) -> Any:
        """An output's JSON; None if it has none or DVC has lost it."""
        return None if (file := self.output(path)) is None else json.loads(file.read_text(encoding="utf-8"))

    def table(self, path: str) -> pd.DataFrame | None:
        """An output's CSV; None if it has none or DVC has lost it."""
        return None if (file := self.output(path)) is None else pd.read_csv(file, keep_default_na=False, dtype=TEXTS)

    def output(self, path: str) -> Path | None:
        """Where the cache has an output, or a file in an output that is a folder; None if it does not."""
        md5 = self._outs.get(path) or self._in_folder(path)
        return None if md5 is None else self._cached(md5)

    def output_hash(self, path: str) -> str | None:
        """The hash by which dvc.lock names an output; None if it has none."""
        return self._outs.get(path)

    def _in_folder(self, path: str) -> str | None:
        for out, md5 in self._outs.items():
            if md5.endswith(".dir") and path.startswith(f"{out}/"):
                if out not in self._folders:
                    listed = self._cached(md5)
                    files = json.loads(listed.read_text(encoding="utf-8")) if listed else []
                    self._folders[out] = {file["relpath"]: file["md5"] for file in files}
                return self._folders[out].get(path[len(out) + 1 :])
        return None

    def _cached(self, md5: str) -> Path | None:
        place = Path(self._cache.oid_to_path(md5))
        return place if place.is_file() else None


TEXTS = {"sample": str}  # some datasets' names of images look like numbers


@lru_cache(maxsize=256)  # most experiments have the same conf/
def _parsed(text: str) -> Any:
    return yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))  # noqa: S506
