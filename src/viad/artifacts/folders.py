"""Checks of folders that a command replaces as a whole, at a path that the user names."""

from pathlib import Path

from viad.errors import DataError


def check_replaceable(out: Path, marker: str, noun: str) -> None:
    """Refuse to replace a folder that another program wrote.

    Args:
        out: the folder that is about to be replaced.
        marker: a file that every folder of this program contains.
        noun: the word for such a folder in messages.

    Raises:
        DataError: `out` is a file, or a folder with other contents.
    """
    if out.exists() and not (out / marker).is_file() and (not out.is_dir() or any(out.iterdir())):
        raise DataError(f"{out} exists and is not a {noun}. Choose a new folder.")
