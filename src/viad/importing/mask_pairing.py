"""Pairing masks with their images: by place (category, split and kind) and name, or else by the numbers in the name."""

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from viad.errors import DataError
from viad.importing.folder_contents import shorten_list
from viad.importing.folder_files import ImageFile
from viad.importing.folder_words import normalize_name, strip_mask_words

MOST_NAMES = 5  # in a message


@dataclass
class MaskPairs:
    """The masks of each image (by its path), masks of no image, and notes on how they were paired."""

    masks: dict[PurePosixPath, list[PurePosixPath]] = field(default_factory=dict)
    unpaired: list[ImageFile] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def pair_masks(images: Sequence[ImageFile], masks: Sequence[ImageFile]) -> MaskPairs:
    """Pair masks with images.

    A mask in a folder with the name of an image is one of several masks of this image. Any other has the image's
    name, with or without a word for a mask, or else a name that differs in its separators, or has the same numbers.

    Raises:
        DataError: an image has two masks outside such a folder, or a mask fits two images.
    """
    pairs = MaskPairs()
    left = _pair_folders(images, masks, pairs)
    for key in KEYS:
        left = _pair_by_key(images, left, pairs, key)
    pairs.unpaired = left
    return pairs


def refuse_unpaired(pairs: MaskPairs, wanting: Sequence[ImageFile]) -> None:
    """Refuse masks of no image where images have no mask.

    Args:
        pairs: the result of the pairing.
        wanting: images that should have a mask.

    Raises:
        DataError: a mask may belong to one of the images.
    """
    masks = [mask for mask in pairs.unpaired if any(_shares_place(image, mask) for image in wanting)]
    if not masks:
        return
    images = [image for image in wanting if any(_shares_place(image, mask) for mask in masks)]
    raise DataError(
        f"{len(masks)} masks fit no image by their names, and {len(images)} images have no mask.\n"
        f"Masks:\n{_list_paths(masks)}\nImages without a mask:\n{_list_paths(images)}\n"
        "Give each mask the name of its image, leave files out with --exclude, or describe the pairs in a CSV."
    )


def _list_paths(files: Sequence[ImageFile]) -> str:
    return shorten_list([f"  {file.path}" for file in files], "files", MOST_NAMES)


def _pair_folders(images: Sequence[ImageFile], masks: Sequence[ImageFile], pairs: MaskPairs) -> list[ImageFile]:
    """Pair the masks in folders that have the name of an image, and return the others."""
    kinds = {normalize_name(kind) for image in images for kind in image.kinds}
    by_name = _index(images, lambda image: [_fold(image.path.stem)])
    left, folders = [], set()
    for mask in masks:
        parent = mask.path.parent.name
        found: list[ImageFile] = []
        if mask.others and mask.others[-1] == parent and normalize_name(parent) not in kinds:
            outer = ImageFile(mask.path, split=mask.split, others=mask.others[:-1])
            found = [image for image in by_name.get(_fold(parent), []) if _shares_place(image, outer)]
            found = _narrow(found, outer)
        if len(found) > 1:
            raise _make_ambiguity_error(mask, found)
        if found:
            pairs.masks.setdefault(found[0].path, []).append(mask.path)
            folders.add(mask.path.parent)
        else:
            left.append(mask)
    if folders:
        count = len(masks) - len(left)
        pairs.notes.append(f"{count} masks were paired by the names of their {len(folders)} folders.")
    return left


def _pair_by_key(
    images: Sequence[ImageFile], masks: Sequence[ImageFile], pairs: MaskPairs, key: "Key"
) -> list[ImageFile]:
    """Pair masks and images with a common key in a common place, and return the masks that are left.

    By the name itself (`how` is empty) a pair that is not unique is an error; by a weaker key only images that are not
    normal and have no mask are candidates, and only unique pairs count.
    """
    find_keys, how = key.find, key.how
    candidates = [i for i in images if not how or (i.normal_at is None and i.path not in pairs.masks)]
    by_key = _index(candidates, find_keys)
    chosen: dict[PurePosixPath, list[ImageFile]] = {}
    by_path = {image.path: image for image in candidates}
    left: list[ImageFile] = []
    for mask in masks:
        near = {image.path: image for name in find_keys(mask) for image in by_key.get(name, ())}
        found = [image for image in near.values() if _shares_place(image, mask)]
        if not key.takes_normal:
            found = [image for image in found if image.normal_at is None or _names_place(image, mask)]
        found = _narrow(found, mask)
        if len(found) == 1:
            chosen.setdefault(found[0].path, []).append(mask)
        elif found and not how:
            raise _make_ambiguity_error(mask, found)
        else:
            left.append(mask)
    paired = []
    for path, own in chosen.items():
        if len(own) > 1 and not how:
            own = _narrow_masks(own, by_path[path])
        if (len(own) > 1 or path in pairs.masks) and not how:
            first, second = [*pairs.masks.get(path, []), *(mask.path for mask in own)][:2]
            raise DataError(f"{path} has two masks, {first} and {second}. Rename one of them, or use a CSV.")
        if len(own) > 1:
            left += own
            continue
        pairs.masks[path] = [own[0].path]
        paired.append((own[0].path, path))
        left += [mask for mask in chosen[path] if mask not in own]
    if paired and how:
        mask_path, image_path = paired[0]
        pairs.notes.append(f"{len(paired)} masks were paired by {how}, such as {mask_path} with {image_path}.")
    return sorted(left, key=lambda mask: mask.path)


def _index(images: Sequence[ImageFile], find_keys: Callable[[ImageFile], list[str]]) -> dict[str, list[ImageFile]]:
    by_key: dict[str, list[ImageFile]] = {}
    for image in images:
        for key in find_keys(image):
            by_key.setdefault(key, []).append(image)
    return by_key


def _fold(stem: str) -> str:
    return unicodedata.normalize("NFC", stem).casefold()


def _list_names(file: ImageFile) -> list[str]:
    name = _fold(file.path.stem)
    return sorted({name, strip_mask_words(name)}) if file.is_mask else [name]


def _list_folded_names(file: ImageFile) -> list[str]:
    return sorted({re.sub(r"[\W_]+", "_", name) for name in _list_names(file)} - {"", "_"})


def _list_numbers(file: ImageFile) -> list[str]:
    numbers = [str(int(digits)) for digits in re.findall(r"[0-9]+", file.path.stem)]
    return ["-".join(numbers)] if numbers else []


def _normalize_kinds(names: Sequence[str]) -> set[str]:
    return {normalize_name(name) for name in names}


def _shares_place(image: ImageFile, mask: ImageFile) -> bool:
    """Tell whether category, split and kind of a mask, as far as its folders name them, are those of the image."""
    if mask.split and image.split and mask.split != image.split:
        return False
    root, own = image.root, tuple(mask.others)
    shared = min(len(root), len(own))
    if root[:shared] != own[:shared]:
        return False
    kinds, wanted = _normalize_kinds(own[len(root) :]), _normalize_kinds(image.kinds)
    return not kinds or not wanted or bool(kinds & wanted)


def _names_place(image: ImageFile, mask: ImageFile) -> bool:
    """Tell whether the folders of a mask say that it belongs to a normal image."""
    kinds = _normalize_kinds(mask.others[image.root_length :])
    return mask.path.parent == image.path.parent or bool(kinds & _normalize_kinds(image.kinds))


def _narrow(images: list[ImageFile], mask: ImageFile) -> list[ImageFile]:
    """Prefer images of the mask's kind, then its folder, then images that no folder calls normal."""
    for prefers in (
        lambda image: _normalize_kinds(mask.others[image.root_length :]) == _normalize_kinds(image.kinds),
        lambda image: mask.path.parent == image.path.parent,
        lambda image: image.normal_at is None,
    ):
        if len(images) > 1:
            images = [image for image in images if prefers(image)] or images
    return images


def _narrow_masks(masks: list[ImageFile], image: ImageFile) -> list[ImageFile]:
    """Prefer masks of the image's kind, then its split, then its folder."""
    for prefers in (
        lambda mask: _normalize_kinds(mask.others[image.root_length :]) == _normalize_kinds(image.kinds),
        lambda mask: mask.split == image.split,
        lambda mask: mask.path.parent == image.path.parent,
    ):
        if len(masks) > 1:
            masks = [mask for mask in masks if prefers(mask)] or masks
    return masks


@dataclass(frozen=True)
class Key:
    """A key that a mask and its image have in common: a phrase that explains the match, or '' for the name itself.

    A normal image gets a mask only if their folders say so, or (`takes_normal`) if no other image fits.
    """

    find: Callable[[ImageFile], list[str]]
    how: str = ""
    takes_normal: bool = False


KEYS = (
    Key(_list_names),
    Key(_list_folded_names, "names without separators"),
    Key(_list_numbers, "the numbers in their names"),
    Key(_list_names, takes_normal=True),
)


def _make_ambiguity_error(mask: ImageFile, images: Sequence[ImageFile]) -> DataError:
    return DataError(
        f"{mask.path} fits {len(images)} images, such as {images[0].path} and {images[1].path}. Put the masks of each "
        "split and category into folders of their own, or describe the pairs in a CSV."
    )
