"""Reading the layout of a user's folder: normal images, masks, splits and categories."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from viad.errors import DataError
from viad.importing.folder_contents import LeftOut, describe_contents, list_contents, shorten_list
from viad.importing.folder_files import ImageFile, classify_files
from viad.importing.folder_questions import (
    Questions,
    ask_about_folders,
    ask_for_labels,
    ask_for_normal_images,
    find_roots,
    is_overview,
)
from viad.importing.folder_words import UNNAMED_DEFECT
from viad.importing.import_options import ImportOptions
from viad.importing.mask_files import measure_mask
from viad.importing.mask_pairing import MOST_NAMES, MaskPairs, pair_masks, refuse_unpaired


@dataclass(frozen=True)
class Picture:
    """An image of a layout, with files relative to the folder of the layout.

    `mask` and `more_masks` are united.
    """

    image: PurePosixPath
    label: int
    category: str
    mask: PurePosixPath | None = None
    defect: str = ""
    split: str = ""
    group: str = ""
    domain: str = ""
    more_masks: tuple[PurePosixPath, ...] = ()

    @property
    def masks(self) -> tuple[PurePosixPath, ...]:
        """All masks of the image."""
        return () if self.mask is None else (self.mask, *self.more_masks)


@dataclass(frozen=True)
class FolderLayout:
    """The images of a folder in order, the files that are left out, and notes for the user."""

    pictures: list[Picture]
    left_out: list[LeftOut]
    notes: list[str]


def read_folder(folder: Path, options: ImportOptions | None = None) -> FolderLayout:
    """Read the images of a folder tree.

    Folders whose names mean a split, normal images or masks are recognised; any other folder beside or below them is a
    defect type. The folder above the normal images names the category. Without such folders, an image with a mask that
    is not empty is anomalous. Anomalies in a training folder go to the reserve.

    Args:
        folder: the tree.
        options: what the user says about folders whose names do not say it.

    Raises:
        ConfigError: an option names a folder that does not exist.
        DataError: the folder has no normal image, or an image or folder without a clear meaning.
    """
    options = options or ImportOptions()
    contents = list_contents(folder, options.exclude)
    options.check_names([*contents.images, *(other.path for other in contents.others)])
    if not contents.images:
        raise DataError(f"{folder}: no image found. Name a folder of images.\n{describe_contents(folder, contents)}")
    files = classify_files(folder, contents.images, options)
    images, masks = [file for file in files if not file.is_mask], [file for file in files if file.is_mask]
    roots = find_roots(images)
    for file in images:
        found = [len(root) for root in roots if tuple(file.others[: len(root)]) == root]
        file.root_length = max(found, default=0)
    questions = Questions(contents.images)
    if not roots:
        ask_for_normal_images(images, questions)
        questions.raise_error(folder, "no folder of normal images found.", contents, files)
    ask_about_folders(images, roots, options, questions)
    problem = "the names of folders do not say what their images are. Choose an option for each."
    questions.raise_error(folder, problem, contents, files)

    pairs, mask_paths = pair_masks(images, masks), [mask.path for mask in masks]
    labelled_by_folder = any(file.kinds for file in images)
    unlabelled = [file for file in images if not file.kinds and file.path not in pairs.masks]
    overviews = [file for file in unlabelled if labelled_by_folder and is_overview(file)]
    skipped = {file.path for file in overviews}
    unlabelled = [file for file in unlabelled if file.path not in skipped]
    unmasked = [file for file in images if file.normal_at is None and file.path not in pairs.masks]
    refuse_unpaired(pairs, [file for file in unmasked if file.path not in skipped])
    if unlabelled and not (options.unannotated_normal and pairs.masks):
        if pairs.masks and not labelled_by_folder:
            raise _make_missing_mask_error(
                unlabelled, len(pairs.masks), describe_contents(folder, contents, mask_paths)
            )
        ask_for_labels(unlabelled, questions)
        questions.raise_error(folder, "no folder and no mask says whether images are normal.", contents, files)
    left_out = [*contents.others, *(LeftOut(file.path, "outside the folders for labels") for file in overviews)]
    left_out += [LeftOut(mask.path, "mask of no image") for mask in pairs.unpaired]
    pictures = [
        _make_picture(folder, file, pairs, options, left_out, several=len(roots) > 1)
        for file in images
        if file.path not in skipped
    ]
    if all(picture.label for picture in pictures):
        found_text = describe_contents(folder, contents, mask_paths)
        raise DataError(f"{folder}: no normal image found. Name their folder with --normal.\n{found_text}")
    return FolderLayout(pictures, sorted(left_out, key=lambda one: one.path), pairs.notes)


def _make_missing_mask_error(images: Sequence[ImageFile], masked: int, found: str) -> DataError:
    names = shorten_list([f"  {file.path}" for file in images], "images", MOST_NAMES)
    return DataError(
        f"{found}\n{len(images)} images have no mask, while {masked} others have one:\n{names}\n"
        "Add their masks, leave them out with --exclude, or import them as normal images with --unannotated normal."
    )


def _make_picture(
    folder: Path, file: ImageFile, pairs: MaskPairs, options: ImportOptions, left_out: list[LeftOut], *, several: bool
) -> Picture:
    """Make a picture; its masks decide if no folder labels it. Empty masks of normal images are left out."""
    own = pairs.masks.get(file.path, [])
    marked = [mask for mask in own if _marks_pixels(folder / mask, options.mask_from)]
    normal = file.normal_at is not None or (not file.kinds and not marked)
    masks = marked if normal else own
    reason = "empty mask, which says that its image is normal"
    left_out += [LeftOut(mask, reason) for mask in own if mask not in masks]
    return Picture(
        image=file.path,
        label=int(not normal),
        category=("-".join(file.root) or "all") if several else "all",
        mask=masks[0] if masks else None,
        defect="" if normal else "-".join(file.kinds) or UNNAMED_DEFECT,
        split="reserve" if not normal and file.split == "train" else file.split,
        more_masks=tuple(masks[1:]),
    )


def _marks_pixels(path: Path, mask_from: int) -> bool:
    """Tell whether a mask marks a pixel; an unreadable one is taken to, and reported when the files are checked."""
    try:
        return measure_mask(path, mask_from).marked > 0
    except DataError:
        return True
