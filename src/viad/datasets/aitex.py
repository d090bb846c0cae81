"""AITEX, a database of fabric images (Silvestre-Blanes et al., "A Public Fabric Database for Defect Detection Methods
and Results", AUTEX Research Journal 2019): `Defect_images/0001_002_00.png`, masks `Mask_images/0001_002_00_mask.png`
and `NODefect_images/<roll>/0001_000_05.png`. A name holds the image's number, the code of its defect (zeros for none)
and the code of its fabric, the `domain`. Some images have several masks, `_mask1` and `_mask2`. No published split."""

import re
from collections.abc import Iterator
from pathlib import Path

from viad.artifacts.images import read_mask
from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_folders, list_images, refuse_other_folders, refuse_surplus
from viad.errors import DataError

DEFECT_BY_CODE = {
    "002": "broken_end", "006": "broken_yarn", "010": "broken_pick", "016": "weft_curling", "019": "fuzzyball",
    "022": "cut_selvage", "023": "crease", "025": "warp_ball", "027": "knots", "029": "contamination", "030": "nep",
    "036": "weft_crack",
}  # fmt: skip
FABRIC_NAME = re.compile(r"\d+_(?P<defect>\d+)_(?P<fabric>\d+)")
# The one has no mask in the published archive, that of the other is black.
UNMASKED_DEFECTS = {"0100_025_08", "0106_010_03"}


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The images without a defect by roll and number, then those with one by number.

    Raises:
        DataError: a name does not fit its folder, a mask is missing, or belongs to no image.
    """
    del category
    # Each folder is an archive of its own.
    normal, anomalous, truth = (
        find_root(raw, name) / name for name in ("NODefect_images", "Defect_images", "Mask_images")
    )
    for folder in (anomalous, truth):
        refuse_other_folders(folder)
    for roll in list_folders(normal):
        for image in list_images(roll):
            defect, fabric = _read_codes(image)
            if defect.strip("0"):
                raise DataError(f"{image} is among the images without a defect, but its name has the code {defect}.")
            yield Row(sample=f"normal/{roll.name}/{image.stem}", image=image, label=0, domain=fabric)
    used: set[Path] = set()
    for image in list_images(anomalous):
        defect, fabric = _read_codes(image)
        if defect not in DEFECT_BY_CODE:
            raise DataError(f"{image}: {defect} is not the code of a defect. Download the dataset again.")
        masks = tuple(file for file in list_images(truth) if re.fullmatch(rf"{image.stem}_mask\d*", file.stem))
        used.update(masks)
        if not masks and image.stem not in UNMASKED_DEFECTS:
            raise DataError(f"{truth / image.stem}_mask: the mask of {image} is missing. Download the dataset again.")
        if image.stem in UNMASKED_DEFECTS and not any(read_mask(mask).any() for mask in masks):
            masks = ()
        yield Row(
            sample=f"defect/{image.stem}",
            image=image,
            label=1,
            masks=masks,
            defect=DEFECT_BY_CODE[defect],
            domain=fabric,
        )
    refuse_surplus(truth, used)


def _read_codes(image: Path) -> tuple[str, str]:
    """Read the codes of defect and fabric in an image's name."""
    found = FABRIC_NAME.fullmatch(image.stem)
    if found is None:
        raise DataError(f"{image}: its name is not of the form 0001_002_00.png. Download the dataset again.")
    return found["defect"], found["fabric"]
