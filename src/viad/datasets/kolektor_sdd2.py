"""KolektorSDD2 (Božič et al., "Mixed supervision for surface-defect detection: from weakly to fully supervised
learning", Computers in Industry 2021): `{train,test}/10000.png` and a mask `10000_GT.png` for every image, which alone
says whether it is anomalous. The anomalous training images are the reserve. Stray
copies in the archive are left out."""

from collections.abc import Iterator
from pathlib import Path

from viad.artifacts.images import read_mask
from viad.datasets import Row
from viad.datasets.folder_trees import images, mask_named, only, root_of
from viad.errors import DataError

MASK = "_GT"


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The images by split and number.

    Raises:
        DataError: a mask is missing, or belongs to no image.
    """
    del category
    root = root_of(raw, "train")
    only(root, "train", "test")
    for split in ("train", "test"):
        files = [file for file in images(root / split) if "(copy)" not in file.stem]
        surfaces = [file for file in files if not file.stem.endswith(MASK)]
        surplus = {file.stem.removesuffix(MASK) for file in files} - {file.stem for file in surfaces}
        if surplus:
            raise DataError(
                f"{root / split}: {len(surplus)} masks belong to no image, such as {min(surplus)}. "
                "Download the dataset again."
            )
        for image in surfaces:
            mask = mask_named(image.parent, f"{image.stem}{MASK}", image)
            anomalous = bool(read_mask(mask).any())
            yield Row(
                sample=f"{split}/{image.stem}",
                image=image,
                label=int(anomalous),
                masks=(mask,) if anomalous else (),
                defect="defect" if anomalous else "",
                split="reserve" if anomalous and split == "train" else split,
            )
