"""All files below a folder: images, and files that are left out with the reason."""

import os
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from viad.datasets.folder_trees import IMAGE_SUFFIXES
from viad.importing.import_options import names_folder

OTHER_IMAGE_SUFFIXES = {
    ".jp2", ".j2k", ".gif", ".heic", ".heif", ".avif", ".pgm", ".ppm", ".pbm", ".pnm", ".exr", ".hdr", ".dng", ".raw",
    ".cr2", ".nef", ".arw", ".tga", ".dcm", ".svg", ".ico", ".jxl", ".npy", ".npz",
}  # fmt: skip
MOST_LINES = 20  # of a list in a message
PREFIX = re.compile(r"[^\d_.-]+")


@dataclass(frozen=True)
class LeftOut:
    """A file or link, relative to the imported folder, that does not become part of the dataset."""

    path: PurePosixPath
    reason: str


@dataclass
class FolderContents:
    """The files below a folder, relative to it, in order."""

    images: list[PurePosixPath] = field(default_factory=list)
    others: list[LeftOut] = field(default_factory=list)


def list_contents(folder: Path, exclude: Sequence[str] = ()) -> FolderContents:
    """List all files below `folder`. A linked folder is read unless it is below `folder` anyway.

    Args:
        folder: to read.
        exclude: names or paths of folders and files to leave out.
    """
    contents = FolderContents()
    seen = {folder.resolve()}
    inside = folder.resolve()

    def walk(place: Path, *, excluded: bool) -> None:
        for entry in sorted(os.scandir(place), key=lambda entry: entry.name):
            path = Path(entry.path)
            relative = PurePosixPath(path.relative_to(folder).as_posix())
            now_excluded = excluded or names_folder(exclude, relative) is not None
            if entry.is_dir():
                real = path.resolve()
                if entry.is_symlink() and (real in seen or real.is_relative_to(inside) or inside.is_relative_to(real)):
                    contents.others.append(LeftOut(relative, f"link to {real}, which is read already"))
                    continue
                seen.add(real)
                walk(path, excluded=now_excluded)
            elif now_excluded:
                contents.others.append(LeftOut(relative, "excluded by --exclude"))
            elif reason := _find_reason(path, relative):
                contents.others.append(LeftOut(relative, reason))
            else:
                contents.images.append(relative)

    walk(folder, excluded=False)
    contents.images.sort()
    return contents


def _find_reason(path: Path, relative: PurePosixPath) -> str | None:
    """Find why a file cannot be an image; None if it can."""
    if not path.is_file():
        return "broken link" if path.is_symlink() else "not a regular file"
    if any(part.startswith((".", "__MACOSX")) for part in relative.parts):
        return "hidden file"
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        return None
    if suffix in OTHER_IMAGE_SUFFIXES:
        return f"image format {suffix} is not supported; convert it to PNG"
    return "not an image"


def describe_contents(folder: Path, contents: FolderContents, masks: Iterable[PurePosixPath] = ()) -> str:
    """Describe the files by folder, in a line for each: images, masks and other files by suffix, and prefixes."""
    by_folder: dict[str, Counter[str]] = {}
    names: dict[str, list[str]] = {}
    known_masks = set(masks)
    for path in contents.images:
        place = path.parent.as_posix()
        by_folder.setdefault(place, Counter())["masks" if path in known_masks else "images"] += 1
        names.setdefault(place, []).append(path.stem)
    for other in contents.others:
        by_folder.setdefault(other.path.parent.as_posix(), Counter())[other.path.suffix.lower() or "link"] += 1
    lines = []
    for place, counts in sorted(by_folder.items()):
        parts = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        lines.append(f"  {'.' if place == '.' else place + '/'}: {parts}{_describe_prefixes(names.get(place, []))}")
    return f"Found in {folder}:\n" + shorten_list(lines, "folders")


def _describe_prefixes(stems: Sequence[str]) -> str:
    found = (PREFIX.match(stem) for stem in stems)
    prefixes = Counter(match.group() for match in found if match)
    repeated = [(prefix, count) for prefix, count in prefixes.most_common(6) if count > 1]
    return f" (names begin with {', '.join(f'{p} {n}' for p, n in repeated)})" if len(repeated) > 1 else ""


def shorten_list(lines: Sequence[str], noun: str, most: int = MOST_LINES) -> str:
    """Join lines, of which those beyond `most` are counted only."""
    more = [f"  and {len(lines) - most} more {noun}"] if len(lines) > most else []
    return "\n".join([*lines[:most], *more])


def describe_left_out(left_out: Sequence[LeftOut]) -> str:
    """Describe the files that are left out, in a line for each reason."""
    by_reason: dict[str, list[str]] = {}
    for one in left_out:
        by_reason.setdefault(one.reason, []).append(one.path.as_posix())
    lines = [
        f"  {reason}: {', '.join(paths[:4])}{f' and {len(paths) - 4} more' if len(paths) > 4 else ''}"
        for reason, paths in sorted(by_reason.items())
    ]
    return shorten_list(lines, "reasons")
