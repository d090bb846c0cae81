"""Reading the layout of a user's folder: normal images, masks, splits and categories."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from viad.artifacts.images import read_image, read_mask
from viad.datasets.folder_trees import IMAGE_SUFFIXES
from viad.errors import DataError

NORMAL_WORDS = {
    "good", "ok", "normal", "normals", "negative", "neg", "free", "clean", "pass", "passed", "healthy", "intact",
    "defect_free", "defectfree", "no_defect", "nodefect", "non_defective", "nondefective", "0",
}  # fmt: skip
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test", "eval": "test",
}  # fmt: skip
MASK_WORDS = {
    "mask", "masks", "ground_truth", "groundtruth", "gt", "label", "labels", "annotation", "annotations", "annot",
    "segmentation", "segmentations", "seg", "truth", "defect_mask",
}  # fmt: skip
NEUTRAL_WORDS = {"image", "images", "img", "imgs", "data", "anomalies", "defects", "pictures", "photos"}
UNNAMED_DEFECT = "anomalous"  # the defect type of an anomaly whose type has no name
MASK_ENDING = re.compile(r"[ _.-]*(mask|gt|label|seg|annotation|truth)$", re.IGNORECASE)


@dataclass(frozen=True)
class Picture:
    """An image of a layout, with files relative to the folder of the layout."""

    image: PurePosixPath
    label: int
    category: str
    mask: PurePosixPath | None = None
    defect: str = ""
    split: str = ""
    group: str = ""
    domain: str = ""


@dataclass
class _File:
    """An image file, and the meaning of the folders around it."""

    path: PurePosixPath
    is_mask: bool = False
    split: str = ""
    kinds: list[str] = field(default_factory=list)  # folder names that are neither a split nor for masks


def normalize_name(name: str) -> str:
    """Write a name in lower case with underscores, for a comparison with the words above."""
    return re.sub(r"[ -]+", "_", name.lower())


def read_folder(folder: Path, normal: Sequence[str] = ()) -> tuple[list[Picture], list[str]]:
    """Read the images of a folder tree in order, and list the ignored ones outside all recognised folders.

    Folders whose names mean a split, normal images or masks are recognised; any other folder beside or below them is a
    defect type. The folder above the normal images names the category. Without such folders, an image with a mask that
    is not empty is anomalous. Anomalies in a training folder go to the reserve.

    Args:
        folder: the tree.
        normal: further names of folders that hold normal images.

    Raises:
        DataError: the folder has no image, or no normal image.
    """
    words = NORMAL_WORDS | {normalize_name(name) for name in normal}
    paths = sorted(
        PurePosixPath(file.relative_to(folder).as_posix())
        for file in folder.rglob("*")
        if file.suffix.lower() in IMAGE_SUFFIXES and file.is_file()
        and not any(part.startswith((".", "__MACOSX")) for part in file.relative_to(folder).parts)
    )  # fmt: skip
    if not paths:
        raise DataError(f"{folder}: no image found ({', '.join(sorted(IMAGE_SUFFIXES))}). Name a folder of images.")
    stems = {path.with_suffix("").as_posix().lower() for path in paths}
    files = [_classify_file(path, stems) for path in paths]
    all_paths = set(paths)
    for file in files:
        file.is_mask = file.is_mask or _is_mask_of_twin(folder, file.path, all_paths)
    masks = _group_by_stem(file for file in files if file.is_mask)
    images = [file for file in files if not file.is_mask]
    roots = {
        _find_category_folders(file, words)
        for file in images
        if any(normalize_name(kind) in words for kind in file.kinds)
    }
    roots |= {_find_category_folders(file, words) for file in images if file.split and not file.kinds}
    placed = [file for file in images if any(kind not in root for root in roots for kind in file.kinds) or file.split]
    ignored = {file.path for file in images} - {file.path for file in placed}
    left_out = sorted(path.as_posix() for path in ignored) if placed else []
    pictures = [_make_picture(file, masks, roots, words, folder) for file in placed or images]
    if not any(picture.label == 0 for picture in pictures):
        kinds = sorted({kind for file in images for kind in file.kinds})
        raise DataError(
            f"{folder}: no folder of normal images found. Name it one of {', '.join(sorted(words))}, or "
            f"name it with --normal (folders here: {', '.join(kinds) or 'none'}), or describe the images in a CSV."
        )
    return pictures, left_out


def _classify_file(path: PurePosixPath, stems: set[str]) -> _File:
    """Classify a file by its folders; a mask is in a folder of masks, or beside its image with an ending."""
    file = _File(path)
    for part in path.parts[:-1]:
        word = normalize_name(part)
        if word in SPLIT_WORDS:
            file.split = SPLIT_WORDS[word]
        elif word in MASK_WORDS:
            file.is_mask = True
        elif MASK_ENDING.search(part):
            file.is_mask = True
            file.kinds.append(MASK_ENDING.sub("", part))
        elif word not in NEUTRAL_WORDS:
            file.kinds.append(part)
    own = MASK_ENDING.sub("", path.stem)
    if own and own != path.stem and (path.parent / own).as_posix().lower() in stems:
        file.is_mask = True
    return file


def _is_mask_of_twin(folder: Path, path: PurePosixPath, paths: set[PurePosixPath]) -> bool:
    """Tell whether a PNG beside an image of the same name is its mask: grey, and mostly black."""
    if path.suffix.lower() != ".png" or not any(path.with_suffix(end) in paths for end in (".jpg", ".jpeg", ".bmp")):
        return False
    pixels = read_image(folder / path)
    return pixels.ndim == 2 and float((pixels == 0).mean()) > 0.5


def _group_by_stem(masks: Iterable[_File]) -> dict[str, list[_File]]:
    found: dict[str, list[_File]] = {}
    for mask in masks:
        found.setdefault(MASK_ENDING.sub("", mask.path.stem).lower(), []).append(mask)
    return found


def _find_category_folders(file: _File, words: set[str]) -> tuple[str, ...]:
    """Find the folders above the split or the normal images: the category."""
    above: list[str] = []
    for part in file.path.parts[:-1]:
        if (
            normalize_name(part) in SPLIT_WORDS
            or normalize_name(part) in words
            or normalize_name(part) in NEUTRAL_WORDS
        ):
            break
        above.append(part)
    return tuple(above)


def _make_picture(
    file: _File, masks: Mapping[str, list[_File]], roots: set[tuple[str, ...]], words: set[str], folder: Path
) -> Picture:
    parts = file.path.parts[:-1]
    root = max((root for root in roots if parts[: len(root)] == root), key=len, default=())
    kinds = [kind for kind in file.kinds if kind not in root]
    own = _choose_mask(file, masks.get(file.path.stem.lower(), []), root, kinds)
    if kinds:
        normal = any(normalize_name(kind) in words for kind in kinds)
    elif own is not None:  # no folder names its kind, so the mask decides
        normal = not read_mask(folder / own.path).any()
    else:  # training images are normal, and so are images without a mask if others have one
        normal = file.split == "train" or bool(masks)
    return Picture(
        image=file.path,
        label=int(not normal),
        category="-".join(root) if len(roots) > 1 else "all",
        mask=None if normal or own is None else own.path,
        defect="" if normal else "-".join(kinds) or UNNAMED_DEFECT,
        split="reserve" if not normal and file.split == "train" else file.split,
    )


def _choose_mask(file: _File, candidates: list[_File], root: tuple[str, ...], kinds: list[str]) -> _File | None:
    """Choose the mask of the image's name in its category; of several, by kind, then by split, then by folder."""
    found = [mask for mask in candidates if mask.path.parts[: len(root)] == root]
    for same in (
        lambda mask: _list_kinds(mask, root) == set(map(normalize_name, kinds)),
        lambda mask: mask.split in ("", file.split),
        lambda mask: mask.path.parent == file.path.parent,
    ):
        if len(found) > 1:
            found = [mask for mask in found if same(mask)] or found
    # A mask of another kind that happens to have this name belongs to another image.
    wanted = set(map(normalize_name, kinds))
    shared = [mask for mask in found if not (own := _list_kinds(mask, root)) or not kinds or own & wanted]
    if len(shared) > 1:
        raise DataError(
            f"{file.path} has two masks, {shared[0].path} and {shared[1].path}. Rename one of them, or use a CSV."
        )
    return shared[0] if shared else None


def _list_kinds(file: _File, root: tuple[str, ...]) -> set[str]:
    return {normalize_name(kind) for kind in file.kinds if kind not in root}
