"""KolektorSDD (Tabernik et al., "Segmentation-based deep-learning approach for surface-defect detection", Journal of
Intelligent Manufacturing 2020): `kosNN/Part0.jpg`, and for every image a mask `Part0_label.bmp`; only the mask shows
whether the image is anomalous. A folder holds the surfaces of one commutator, its group. No published split: the
authors' three folds are by commutator, but the archive does not contain them."""

from collections.abc import Iterator
from pathlib import Path

from viad.artifacts.images import read_mask
from viad.datasets import Row
from viad.datasets.folder_trees import (
    find_mask,
    find_root,
    list_folders,
    list_images,
    refuse_other_folders,
    refuse_surplus,
)

ITEM_COUNT = 50
LABEL_SUFFIX = "_label"


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The surfaces by commutator and number.

    Raises:
        DataError: a mask is missing, or belongs to no image.
    """
    del category
    items = [f"kos{number:02}" for number in range(1, ITEM_COUNT + 1)]
    root = find_root(raw, items[0])
    refuse_other_folders(root, *items)
    for item in list_folders(root):
        surfaces = [file for file in list_images(item) if not file.stem.endswith(LABEL_SUFFIX)]
        masks = {image: find_mask(item, f"{image.stem}{LABEL_SUFFIX}", image) for image in surfaces}
        refuse_surplus(item, {*surfaces, *masks.values()})
        for image, mask in masks.items():
            anomalous = bool(read_mask(mask).any())
            yield Row(
                sample=f"{item.name}/{image.stem}",
                image=image,
                label=int(anomalous),
                masks=(mask,) if anomalous else (),
                defect="defect" if anomalous else "",
                group=item.name,
            )
