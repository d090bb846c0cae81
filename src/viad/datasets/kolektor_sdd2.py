"""KolektorSDD2 (Božič et al., "Mixed supervision for surface-defect detection: from weakly to fully supervised
learning", Computers in Industry 2021): `{train,test}/10000.png` and a mask `10000_GT.png` for every image; only the
mask shows whether the image is anomalous. The anomalous training images are the reserve. Stray
copies in the archive are left out."""

from collections.abc import Iterator
from pathlib import Path

from viad.artifacts.images import read_mask
from viad.datasets import Row
from viad.datasets.folder_trees import find_mask, find_root, list_images, refuse_other_folders
from viad.errors import DataError

MASK_SUFFIX = "_GT"


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The images by split and number.

    Raises:
        DataError: a mask is missing, or belongs to no image.
    """
    del category
    root = find_root(raw, "train")
    refuse_other_folders(root, "train", "test")
    for split in ("train", "test"):
        files = [file for file in list_images(root / split) if "(copy)" not in file.stem]
        surfaces = [file for file in files if not file.stem.endswith(MASK_SUFFIX)]
        surplus = {file.stem.removesuffix(MASK_SUFFIX) for file in files} - {file.stem for file in surfaces}
        if surplus:
            raise DataError(
                f"{root / split}: {len(surplus)} masks belong to no image, such as {min(surplus)}. "
                "Download the dataset again."
            )
        for image in surfaces:
            mask = find_mask(image.parent, f"{image.stem}{MASK_SUFFIX}", image)
            anomalous = bool(read_mask(mask).any())
            yield Row(
                sample=f"{split}/{image.stem}",
                image=image,
                label=int(anomalous),
                masks=(mask,) if anomalous else (),
                defect="defect" if anomalous else "",
                split="reserve" if anomalous and split == "train" else split,
            )
