"""Folders that a command replaces as a whole, at a path that the user names."""

from pathlib import Path

from viad.errors import DataError


def check_replaceable(out: Path, sign: str, what: str) -> None:
    """Refuse to replace a folder that another program wrote.

    Args:
        out: the folder that is about to be replaced.
        sign: a file that every such folder has.
        what: the noun for such a folder in messages.

    Raises:
        DataError: `out` is a file, or a folder with other contents.
    """
    if out.exists() and not (out / sign).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not a {what}. Choose a new folder.")
