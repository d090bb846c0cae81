"""Folders that a command writes anew as a whole, at a place that the user names."""

from pathlib import Path

from viad.errors import DataError


def check_ours(out: Path, sign: str, what: str) -> None:
    """Refuse to replace what another wrote.

    Args:
        out: the folder that is about to be replaced.
        sign: a file that every such folder has.
        what: a folder with this file is, in words.

    Raises:
        DataError: `out` is a file, or a folder that holds something else.
    """
    if out.exists() and not (out / sign).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is no {what}. Choose a new folder.")
