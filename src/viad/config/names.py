"""One rule for the names of datasets and categories and of imported defect types, and one for the ids of images.

A name becomes an argument of a command, part of a path, of a git ref and of a URL, and text on a page, on Linux, macOS
and Windows. The rule allows what all of them allow; it is checked where a name enters.
"""

import re
import unicodedata
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from viad.errors import ConfigError, DataError

MAX_NAME_LENGTH = 100  # characters; a git ref and a file name hold several names
NAME_RULE = "Use letters a to z, digits, '.', '_' and '-', beginning and ending with a letter or digit"
SAFE_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?")
UNSAFE_CHARACTERS = re.compile(r"[^A-Za-z0-9._-]+")
# Windows opens a device instead of a file of these names, whatever the suffix.
DEVICE_NAMES = {"con", "prn", "aux", "nul", *(f"{port}{i}" for port in ("com", "lpt") for i in range(1, 10))}


def find_fault(name: Any) -> str | None:
    """Say what is wrong with a name; None if nothing is."""
    if not isinstance(name, str):
        return f"is no text ({type(name).__name__}): put it in quotes"
    if not name:
        return "is empty"
    if not SAFE_NAME.fullmatch(name):
        return "has a character that a shell, a path or a URL treats as something else"
    if len(name) > MAX_NAME_LENGTH:
        return f"has {len(name)} characters, more than {MAX_NAME_LENGTH}"
    if ".." in name or name.lower().endswith(".lock"):
        return "is no valid part of a git ref"
    if name.partition(".")[0].lower() in DEVICE_NAMES:
        return "is the name of a device on Windows"
    return None


def check_name(key: str, name: Any) -> str:
    """Return a name that keeps the rule.

    Args:
        key: what the name is, for the message, such as dataset.categories.

    Raises:
        ConfigError: the name breaks the rule; the message proposes one that keeps it.
    """
    if (fault := find_fault(name)) is not None:
        raise ConfigError(f"{key}: the name {name!r} {fault}. {NAME_RULE}, such as '{make_safe_name(str(name))}'.")
    return str(name)


def check_names(key: str, names: Any) -> list[str]:
    """Return names that keep the rule and differ in more than capital letters.

    Raises:
        ConfigError: there is no list of names, one breaks the rule, or two are equal or differ in capital letters only.
    """
    if not isinstance(names, list) or not names:
        raise ConfigError(f"{key}: {names!r} is no list of names. Set it to a list such as [first, second].")
    seen: dict[str, str] = {}
    for name in (check_name(key, one) for one in names):
        if (other := seen.setdefault(name.lower(), name)) != name or names.count(name) > 1:
            raise ConfigError(f"{key}: '{other}' and '{name}' are one folder on Windows and macOS. Rename one of them.")
    return names


def check_image_id(sample: str) -> str:
    """Return an image's id if it can be a relative path: parts that are no folder above, without control characters.

    Raises:
        DataError: it cannot.
    """
    parts = sample.split("/")
    if any(part in ("", ".", "..") for part in parts) or not sample.isprintable() or "\\" in sample:
        raise DataError(f"the id {sample!r} of an image is no relative path. Rename the image's file.")
    return sample


def check_text(key: str, text: str) -> str:
    """Return words that are shown and compared only, such as a published defect type: one line that can be printed.

    Raises:
        DataError: they are none.
    """
    if not text.isprintable() or text != text.strip():
        raise DataError(f"{key}: {text!r} is no line of text. Remove control characters and blanks at its ends.")
    return text


def make_safe_name(text: str) -> str:
    """Make a name that keeps the rule and can still be read: 'bottle cap' becomes bottle_cap."""
    plain = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode()
    name = re.sub(r"\.{2,}", "_", UNSAFE_CHARACTERS.sub("_", plain))[:MAX_NAME_LENGTH].strip("._-") or "unnamed"
    if name.lower().endswith(".lock"):
        name = f"{PurePosixPath(name).stem}_lock"
    return name if find_fault(name) is None else f"{name.partition('.')[0]}_"[: MAX_NAME_LENGTH - 2] + "1"


def make_safe_names(texts: Iterable[str]) -> dict[str, str]:
    """Make a name for each text, different ones also without regard to capital letters; a safe text stays as it is."""
    safe: dict[str, str] = {}
    for text in sorted(set(texts), key=lambda text: (find_fault(text) is not None, text)):
        name, count = text if find_fault(text) is None else make_safe_name(text), 1
        taken = {other.lower() for other in safe.values()}
        base = name
        while name.lower() in taken:
            count += 1
            name = f"{base[: MAX_NAME_LENGTH - 5]}_{count}"
        safe[text] = name
    return safe
