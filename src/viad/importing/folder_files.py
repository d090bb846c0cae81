"""The meaning of the folders around each image file: split, mask, category and kind."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from viad.importing.folder_words import (
    MASK_ENDING,
    MASK_WORDS,
    NEUTRAL_WORDS,
    NORMAL_WORDS,
    SPLIT_WORDS,
    has_doubtful_mask_name,
    normalize_name,
    split_prefix,
    strip_mask_words,
)
from viad.importing.import_options import ImportOptions, names_folder
from viad.importing.mask_files import looks_like_mask

MOST_EXAMINED = 5  # images of a folder that may hold masks
TWIN_SUFFIXES = (".jpg", ".jpeg", ".bmp")  # of an image whose mask is a PNG of the same name


@dataclass
class ImageFile:
    """An image or mask, and its folders that are neither a split nor for masks.

    `others` names these folders, `places` their paths. `above_split` of them lie above the split's folder. The first
    `root_length` are the category, the rest is the kind.
    """

    path: PurePosixPath
    is_mask: bool = False
    split: str = ""
    others: list[str] = field(default_factory=list)
    places: list[PurePosixPath] = field(default_factory=list)
    above_split: int = -1
    normal_at: int | None = None
    category_at: int | None = None
    root_length: int = 0

    @property
    def root(self) -> tuple[str, ...]:
        """The folders of the category."""
        return tuple(self.others[: self.root_length])

    @property
    def kinds(self) -> list[str]:
        """The folders below the category: the normal images or the defect type."""
        return self.others[self.root_length :]

    def add_folder(self, place: PurePosixPath, name: str = "") -> None:
        """Add a folder that is neither a split nor for masks."""
        self.others.append(name or place.name)
        self.places.append(place)


def classify_files(folder: Path, paths: Sequence[PurePosixPath], options: ImportOptions) -> list[ImageFile]:
    """Classify every image below `folder` by its folders and its name."""
    mask_folders = _find_mask_folders(folder, paths)
    stems = {path.with_suffix("").as_posix().lower() for path in paths}
    known = set(paths)
    files = [_classify_file(path, mask_folders, options) for path in paths]
    for file in files:
        file.is_mask = file.is_mask or _is_named_as_mask(file.path, stems) or _is_mask_of_twin(folder, file.path, known)
    return files


def _find_mask_folders(folder: Path, paths: Sequence[PurePosixPath]) -> dict[PurePosixPath, bool]:
    """Tell which folders hold masks; of a doubtful name, such as `missing_label`, if most images look like masks."""
    doubtful: dict[PurePosixPath, list[PurePosixPath]] = {}
    found: dict[PurePosixPath, bool] = {}
    for path in paths:
        for place in path.parents:
            if normalize_name(place.name) in MASK_WORDS or split_prefix(place.name)[1] in MASK_WORDS:
                found[place] = True
            elif has_doubtful_mask_name(place.name) or has_doubtful_mask_name(split_prefix(place.name)[1] or "-"):
                doubtful.setdefault(place, []).append(path)
    for place, images in doubtful.items():
        examined = images[:: max(1, len(images) // MOST_EXAMINED)]
        answers = [answer for path in examined if (answer := looks_like_mask(folder / path)) is not None]
        found[place] = sum(answers) * 2 > len(answers)
    return found


def _classify_file(
    path: PurePosixPath, mask_folders: Mapping[PurePosixPath, bool], options: ImportOptions
) -> ImageFile:
    file = ImageFile(path)
    for place in reversed(path.parents[:-1]):
        word = normalize_name(place.name)
        prefix, rest = split_prefix(place.name)
        declared = names_folder(options.splits, place)
        split = options.splits[declared] if declared else SPLIT_WORDS.get(word, prefix)
        if split:
            file.split, file.above_split = split, len(file.others)
        if names_folder(options.categories, place):
            file.category_at = len(file.others)
            file.add_folder(place)
        elif names_folder(options.normal, place) or word in NORMAL_WORDS:
            file.normal_at = len(file.others) if file.normal_at is None else file.normal_at
            file.add_folder(place)
        elif names_folder(options.defects, place):
            file.add_folder(place)
        elif mask_folders.get(place):
            file.is_mask = True
            if word not in MASK_WORDS and not prefix and (kind := MASK_ENDING.sub("", place.name)):
                file.add_folder(place, kind)
        elif (not split and word not in NEUTRAL_WORDS) or (prefix and rest not in NEUTRAL_WORDS):
            file.add_folder(place)
    return file


def _is_named_as_mask(path: PurePosixPath, stems: set[str]) -> bool:
    """Tell whether a file lies beside its image, with a word for a mask in its name."""
    own = strip_mask_words(path.stem)
    return bool(own) and own != path.stem and (path.parent / own).as_posix().lower() in stems


def _is_mask_of_twin(folder: Path, path: PurePosixPath, paths: set[PurePosixPath]) -> bool:
    """Tell whether a PNG beside an image of the same name is its mask: it looks like one."""
    if path.suffix.lower() != ".png" or not any(path.with_suffix(end) in paths for end in TWIN_SUFFIXES):
        return False
    return bool(looks_like_mask(folder / path))
