"""Folder trees as datasets publish them, MVTec's above all: finding, listing and pairing their files."""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

from viad.datasets import Row
from viad.errors import DataError

IMAGE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".tif", ".tiff", ".webp"}
MOST_ENCLOSING_FOLDERS = 3  # around the content of an archive


def find_root(raw: Path, child: str) -> Path:
    """Find the folder at or below `raw` that contains `child`: archives differ in the folders around their content.

    Args:
        raw: the folder to search.
        child: a path below the folder to find.

    Raises:
        DataError: no folder contains it, or more than one does.
    """
    found = find_optional_root(raw, child)
    if found is None:
        raise DataError(f"{raw}: {child} does not exist. Check that this is the dataset's complete published archive.")
    return found


def find_optional_root(raw: Path, child: str) -> Path | None:
    """Find the folder as `find_root`; None if no folder contains `child`.

    Raises:
        DataError: more than one folder contains it.
    """
    level = [raw]
    for _ in range(MOST_ENCLOSING_FOLDERS + 1):
        found = [folder for folder in level if (folder / child).exists()]
        if len(found) == 1:
            return found[0]
        if found:
            raise DataError(f"{raw}: {child} exists twice, in {found[0]} and in {found[1]}. Remove one of them.")
        level = [sub for folder in level for sub in list_folders(folder)]
    return None


def list_folders(folder: Path) -> list[Path]:
    """List the sub-folders in order, without hidden folders of operating systems."""
    return sorted(sub for sub in folder.iterdir() if sub.is_dir() and not is_junk(sub)) if folder.is_dir() else []


def list_images(folder: Path) -> list[Path]:
    """List the image files in order, whatever the case of their suffix, without hidden files of operating systems."""
    if not folder.is_dir():
        return []
    return sorted(file for file in folder.iterdir() if file.suffix.lower() in IMAGE_SUFFIXES and not is_junk(file))


def is_junk(path: Path) -> bool:
    """Whether a file or folder is hidden, or left by an operating system."""
    return path.name.startswith((".", "__MACOSX"))


def refuse_other_folders(folder: Path, *published: str) -> None:
    """Refuse sub-folders that are not part of the published dataset.

    Raises:
        DataError: there is such a folder.
    """
    for sub in list_folders(folder):
        if sub.name not in published:
            raise DataError(
                f"{sub}: the published dataset has no such folder, only {', '.join(published) or 'files'}. "
                "Remove it, or download the dataset again."
            )


def refuse_unlisted(images: Iterable[Path], listed: Collection[Path], table: str) -> None:
    """Refuse images that a published list omits, since their label or their side of the split is unknown.

    Args:
        images: the images that the list must contain.
        listed: the images that it contains.
        table: its name, for the message.

    Raises:
        DataError: it omits an image.
    """
    unlisted = sorted(set(images).difference(listed))
    if unlisted:
        raise DataError(
            f"{table} does not list {len(unlisted)} images, such as {unlisted[0]}. "
            "Remove them, or download the dataset again."
        )


def find_mask(folder: Path, stem: str, image: Path) -> Path:
    """Find the mask `stem` in `folder`, whatever its suffix, in small or capital letters.

    Raises:
        DataError: the mask is missing, or there are several; the message names the image.
    """
    small = [folder / f"{stem}{suffix}" for suffix in sorted(IMAGE_SUFFIXES)]
    capital = [folder / f"{stem}{suffix.upper()}" for suffix in sorted(IMAGE_SUFFIXES)]
    # Capital letters only if needed: on some disks both spellings name one file.
    found = [file for file in small if file.is_file()] or [file for file in capital if file.is_file()]
    if len(found) != 1:
        problem = "is missing" if not found else f"exists {len(found)} times"
        raise DataError(f"{folder / stem}: the mask of {image} {problem}. Download the dataset again.")
    return found[0]


def read_tree_rows(
    root: Path, splits: Mapping[str, str], *, normal: str = "good", masks: Callable[[Path], tuple[Path, ...]],
    truth: str = "ground_truth",
) -> Iterator[Row]:  # fmt: skip
    """Read the rows of `root/<folder>/<kind>/<image>`.

    Args:
        root: a category's folder.
        splits: the split of each folder.
        normal: the normal kind; every other kind is a defect type.
        masks: returns the masks of an anomalous image.
        truth: the folder of masks below `root`.

    Raises:
        DataError: a folder or a mask is unexpected, or a mask is missing.
    """
    refuse_other_folders(root, *(folder.split("/")[0] for folder in splits), truth)
    used: set[Path] = set()
    for folder, split in splits.items():
        for kind in list_folders(root / folder):
            for image in list_images(kind):
                anomalous = kind.name != normal
                found = masks(image) if anomalous else ()
                used.update(found)
                yield Row(
                    sample=f"{folder}/{kind.name}/{image.stem}",
                    image=image,
                    label=int(anomalous),
                    masks=found,
                    defect=kind.name if anomalous else "",
                    split=split,
                )
    refuse_surplus(root / truth, used)


def refuse_surplus(truth: Path, used: set[Path]) -> None:
    """Refuse masks that belong to no image.

    Raises:
        DataError: there is such a mask.
    """
    surplus = sorted(file for file in truth.rglob("*") if file.suffix.lower() in IMAGE_SUFFIXES and not is_junk(file))
    surplus = [file for file in surplus if file not in used]
    if surplus:
        raise DataError(f"{len(surplus)} masks belong to no image, such as {surplus[0]}. Download the dataset again.")


def read_mvtec_rows(
    root: Path, *, normal: str = "good", suffix: str = "_mask", truth: str = "ground_truth"
) -> Iterator[Row]:
    """Read the rows of a category in MVTec AD's layout: train and test folders by kind, masks in `truth/<kind>`.

    Args:
        root: the category's folder.
        normal: the normal kind.
        suffix: the part of a mask's name after the name of its image.
        truth: the folder of masks.

    Raises:
        DataError: a folder or a mask is missing or does not belong there.
    """

    def masks(image: Path) -> tuple[Path, ...]:
        return (find_mask(root / truth / image.parent.name, image.stem + suffix, image),)

    return read_tree_rows(root, {"train": "train", "test": "test"}, normal=normal, masks=masks, truth=truth)
