"""Complete outputs or none: write to a temporary path, then rename.

DVC treats any file at the path of an output as complete, so an incomplete file must never have that path.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a temporary path in the folder of `target`; rename it to `target` unless an exception is raised.

    The path does not exist yet: write a file or a folder there. Temporary files of an earlier, killed run are removed
    first; `target` itself is replaced.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    aside = target.with_name(f".{target.name}.partial")
    _remove(aside)
    try:
        yield aside
        if not aside.exists():
            raise FileNotFoundError(f"nothing was written to {aside}, so {target} is unchanged")
        _remove(target)
        aside.rename(target)
    finally:
        _remove(aside)


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
