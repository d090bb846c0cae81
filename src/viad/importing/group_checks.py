"""Checking before an import that groups and splits leave normal images to train on."""

from collections.abc import Sequence
from pathlib import Path

from viad.errors import DataError
from viad.importing.layouts import Picture

LISTED_GROUPS = 5  # in a message


def check_groups(path: Path, pictures: Sequence[Picture]) -> None:
    """Check for each category that normal images are left for the training set.

    A group is never divided, and one with an anomaly belongs to the test set. Test and validation normals are taken
    from the training images as whole groups, so each of the sets needs a group of its own.

    Args:
        path: the table, for messages.
        pictures: of all categories.

    Raises:
        DataError: a category has no normal image, or none that can be in its training set.
    """
    for category in sorted({picture.category for picture in pictures}):
        _check_category(path, category, [picture for picture in pictures if picture.category == category])


def _check_category(path: Path, category: str, members: Sequence[Picture]) -> None:
    place = f"{path}, category {category}" if category != "all" else str(path)
    normals = [picture for picture in members if not picture.label]
    if not normals:
        raise DataError(
            f"{place}: no normal image among {len(members)}. Add normal images, or name their label with --normal."
        )
    candidates = [picture for picture in normals if picture.split in ("", "train")]
    if not candidates:
        splits = ", ".join(sorted({picture.split for picture in normals}))
        raise DataError(
            f"{place}: all {len(normals)} normal images are in {splits}, so none can be trained on. Put some in train."
        )
    mixed = {picture.group for picture in members if picture.label and picture.group}
    usable = [picture for picture in candidates if picture.split == "train" or picture.group not in mixed]
    if not usable:
        groups = sorted({picture.group for picture in candidates})
        raise DataError(
            f"{place}: each group of normal images contains an anomalous one ({_list_groups(groups)}). A group is "
            "never divided, so all belong to the test set and none is left to train on. Use smaller groups."
        )
    units = {picture.group or picture.image.as_posix() for picture in usable}
    unsplit = any(picture.split == "" for picture in usable)
    needed = 1 + unsplit + all(picture.split != "val" for picture in members)
    if len(units) < needed <= len(usable):
        raise DataError(
            f"{place}: the {len(usable)} normal images to train on form only {len(units)} "
            f"{'group' if len(units) == 1 else 'groups'} ({_list_groups(sorted(units))}). Groups are never divided, "
            f"and training, validation and test need {needed} of them. Use smaller groups."
        )


def _list_groups(names: Sequence[str]) -> str:
    more = f" and {len(names) - LISTED_GROUPS} more" if len(names) > LISTED_GROUPS else ""
    return ", ".join(names[:LISTED_GROUPS]) + more
