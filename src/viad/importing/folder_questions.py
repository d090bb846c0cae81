"""Folders whose names do not say what their images are: one message asks for all of them."""

import shlex
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path, PurePosixPath

from viad.errors import DataError
from viad.importing.folder_contents import FolderContents, describe_contents, shorten_list
from viad.importing.folder_files import ImageFile
from viad.importing.folder_words import NORMAL_WORDS, is_unclear, normalize_name
from viad.importing.import_options import ImportOptions, names_folder

Roots = set[tuple[str, ...]]


class Questions:
    """Folders in question: how many images each has, what it would be, and the options that settle it."""

    def __init__(self, paths: Iterable[PurePosixPath]) -> None:
        places = {place for path in paths for place in path.parents}
        self._names = Counter(normalize_name(place.name) for place in places)
        self._readings: dict[PurePosixPath, tuple[str, str]] = {}
        self._counts: Counter[PurePosixPath] = Counter()

    def ask(self, place: PurePosixPath, reading: str, *options: str) -> None:
        """Ask about an image's folder; `options` contain `{}` for its name, or path if two folders have this name.

        The first reading of a folder stays.
        """
        unique = self._names[normalize_name(place.name)] == 1
        name = shlex.quote(place.name if unique else place.as_posix())
        self._readings.setdefault(place, (reading, " or ".join(option.format(name) for option in options)))
        self._counts[place] += 1

    def raise_error(self, folder: Path, problem: str, contents: FolderContents, files: Sequence[ImageFile]) -> None:
        """Raise an error with all questions, if there are any.

        Raises:
            DataError: there are questions.
        """
        if not self._readings:
            return
        lines = [
            f"  {place}/ ({self._counts[place]} images) would be {reading}: {options}"
            for place, (reading, options) in sorted(self._readings.items())
        ]
        clear = _describe_clear_folders(files, set(self._readings))
        found = describe_contents(folder, contents, (file.path for file in files if file.is_mask))
        raise DataError(f"{folder}: {problem}\n{found}\n{clear}Unclear:\n{shorten_list(lines, 'folders')}")


def _describe_clear_folders(files: Sequence[ImageFile], asked: set[PurePosixPath]) -> str:
    """Describe how the other folders are read."""
    readings: Counter[tuple[str, str]] = Counter()
    around = {outer for place in asked for outer in place.parents}
    for file in files:
        if file.is_mask or not file.kinds or asked & set(file.path.parents) or file.places[-1] in around:
            continue
        place = file.places[-1].as_posix()
        readings[place, "normal" if file.normal_at is not None else f"the defect type {'-'.join(file.kinds)}"] += 1
    lines = [f"  {place}/ ({count} images): {reading}" for (place, reading), count in sorted(readings.items())]
    return f"Clear:\n{shorten_list(lines, 'folders')}\n" if lines else ""


def find_roots(images: Sequence[ImageFile]) -> Roots:
    """Find the folders of each category: those above normal images, or else above the splits without such folders."""
    roots = {
        tuple(file.others[: file.normal_at if file.category_at is None else file.category_at + 1])
        for file in images
        if file.normal_at is not None or file.category_at is not None
    }
    if not roots:
        roots = {tuple(file.others) for file in images if file.split and file.above_split == len(file.others)}
    if not roots and not any(file.others for file in images):
        roots = {()}
    return roots


def ask_about_folders(images: Sequence[ImageFile], roots: Roots, options: ImportOptions, questions: Questions) -> None:
    """Ask about folders that may or may not be categories, defect types or splits."""
    split_categories = {file.root for file in images if file.split}
    for file in images:
        outer = max((root for root in roots if root != file.root and file.root[: len(root)] == root), default=None)
        at = file.root_length
        first = file.places[at] if file.kinds else None
        if outer is not None and file.category_at is None:
            questions.ask(
                file.places[len(outer)], f"a category inside the category {'-'.join(outer) or 'of all images'}",
                "--split {}=val", "--category {}", "--exclude {}",
            )  # fmt: skip
        elif len(roots) > 1 and file.root and file.category_at is None and is_unclear(file.root[0]):
            questions.ask(file.places[0], f"the category {file.root[0]}", "--category {}", "--exclude {}")
        elif first is not None and file.root not in roots:
            questions.ask(first, "images of no category", "--exclude {}", "--category {}")
        elif (
            first is not None
            and is_unclear(first.name)
            and file.normal_at is None
            and not names_folder(options.defects, first)
        ):
            questions.ask(first, f"the defect type {first.name}", "--exclude {}", "--defect {}", "--normal {}")
        if not file.split and file.root in split_categories and (file.kinds or _lies_deeper(file)):
            place = first or file.path.parent
            reading = "images without a split beside others that have one"
            questions.ask(place, reading, "--exclude {}", "--split {}=test")


def _lies_deeper(file: ImageFile) -> bool:
    """Tell whether an image is in a folder below its category's."""
    return len(file.path.parts) - 1 > len(file.others)


def is_overview(file: ImageFile) -> bool:
    """Tell whether an image lies directly in the folder of its category, outside all folders for labels and splits."""
    return not file.split and not file.kinds and not _lies_deeper(file)


def ask_for_normal_images(images: Sequence[ImageFile], questions: Questions) -> None:
    """Ask which folder holds the normal images; folders with a word for normal in their names come with this option."""
    outer = {place for file in images for place in file.places[:-1]}  # the folders around those in question
    for file in images:
        if file.places and file.places[-1] not in outer:
            place = file.places[-1]
            words = set(normalize_name(place.name).split("_"))
            options = ("--normal {}",) if words & NORMAL_WORDS else ("--normal {}", "--exclude {}")
            questions.ask(place, f"the defect type {place.name}", *options)


def ask_for_labels(images: Sequence[ImageFile], questions: Questions) -> None:
    """Ask about images that no folder and no mask labels."""
    for file in images:
        questions.ask(file.path.parent, "images without a label", "--normal {}", "--defect {}", "--exclude {}")
