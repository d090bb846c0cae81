"""The code of a stage: the modules of this package that it imports, each with its digest.

A stage depends on the file that lists them, so that it runs again if one of them changes and not if another does.
"""

import ast
import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

DIGEST_LENGTH = 16  # characters of SHA-256 in a line


def find_imported_files(entries: Iterable[Path], source: Path) -> list[Path]:
    """Find the Python files below `source` that the entries import, directly or through each other, sorted.

    Imports inside functions count. Modules that contain a docstring only are left out: they change no result.

    Args:
        entries: Python files, or folders of them; they are part of the result.
        source: the folder that contains the package.
    """
    waiting = [file for entry in entries for file in (sorted(entry.rglob("*.py")) if entry.is_dir() else [entry])]
    found: dict[Path, bool] = {}  # and whether it has more than a docstring
    while waiting:
        if (file := waiting.pop()) in found:
            continue
        tree = ast.parse(file.read_text(encoding="utf-8"))
        found[file] = any(not _is_docstring(node) for node in tree.body)
        waiting += [path for name in _list_names(tree) for path in _locate(name, source)]
    return sorted(file for file, has_code in found.items() if has_code)


def write_digests(files: Iterable[Path], out: Path) -> None:
    """Write a line for each file: the digest of its content and its path."""
    lines = [f"{hashlib.sha256(file.read_bytes()).hexdigest()[:DIGEST_LENGTH]}  {file.as_posix()}\n" for file in files]
    out.write_text("".join(lines), encoding="utf-8")


def _is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)


def _list_names(tree: ast.Module) -> Iterator[str]:
    """List the dotted names that a module imports; what is imported from a package may be a module of it."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def _locate(name: str, source: Path) -> Iterator[Path]:
    """Locate a module below `source` and the packages above it; nothing for other libraries' and for no module."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        place = source.joinpath(*parts[:end])
        yield from (file for file in (place.with_suffix(".py"), place / "__init__.py") if file.is_file())
