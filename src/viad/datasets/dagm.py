"""DAGM 2007, artificial textures with a defect (competition of the German association for pattern recognition,
Heidelberg University): `Class1/{Train,Test}/0576.PNG`, masks `Label/0576_label.PNG` of the defective ones, and
`Label/Labels.txt`, which lists every image. The masks are rough ellipses around the defects. The anomalous training
images are the reserve."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import (
    find_mask,
    find_root,
    list_images,
    refuse_other_folders,
    refuse_surplus,
    refuse_unlisted,
)
from viad.errors import DataError

PARTS = {"Train": "train", "Test": "test"}
LABEL_FOLDER = "Label"
LABEL_TABLE = f"{LABEL_FOLDER}/Labels.txt"
LEAST_FIELDS = 3
LABEL_BY_FLAG = {"0": 0, "1": 1}


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The textures by part, in the order of its list.

    Raises:
        DataError: an image or a mask is missing, or the list does not fit the images.
    """
    root = find_root(raw, f"{category}/Train") / category
    refuse_other_folders(root, *PARTS)
    for part, split in PARTS.items():
        folder = root / part
        refuse_other_folders(folder, LABEL_FOLDER)
        labels = _read_labels(folder)
        refuse_unlisted(list_images(folder), labels, f"{category}/{part}/{LABEL_TABLE}")
        masks = {
            image: find_mask(folder / LABEL_FOLDER, f"{image.stem}_label", image) for image in labels if labels[image]
        }
        refuse_surplus(folder / LABEL_FOLDER, set(masks.values()))
        for image, label in labels.items():
            yield Row(
                sample=f"{split}/{image.stem}",
                image=image,
                label=label,
                masks=(masks[image],) if label else (),
                defect="defect" if label else "",
                split="reserve" if label and split == "train" else split,
            )


def _read_labels(folder: Path) -> dict[Path, int]:
    """Read the label of each image of a part: a line of number, 0 or 1, file name and two fields about its mask."""
    table = folder / LABEL_TABLE
    if not table.is_file():
        raise DataError(f"{table} is missing. Download the dataset again.")
    labels: dict[Path, int] = {}
    lines = table.read_text(encoding="utf-8-sig").splitlines()
    for line in lines[1:]:  # the first is the number of the class
        fields = line.split("\t")
        if len(fields) < LEAST_FIELDS or fields[1] not in LABEL_BY_FLAG:
            raise DataError(
                f"{table}: the line {line!r} is not of the form number, 0 or 1, file name. Download it again."
            )
        image = folder / fields[2]
        if not image.is_file():
            raise DataError(f"{image} does not exist, but {table} lists it. Download the dataset again.")
        labels[image] = LABEL_BY_FLAG[fields[1]]
    return labels
