"""Whole outputs or none: write aside, then rename.

DVC takes any file at an output's path for complete, so an incomplete file must never be there.
"""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """Yield a path beside `target` to write to; rename it to `target` if nothing was raised.

    The path does not exist yet: make a file or a folder there. Files that an earlier,
    killed run left beside `target` are removed first; `target` itself is replaced.
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
