"""Magnetic Tile Defects (Huang et al., "Surface defect saliency of magnetic tile", The Visual Computer 2020):
`MT_<kind>/Imgs/exp<E>_num_<N>.jpg`, and a mask of the same name, grey at the edges of a defect. Exposure E is the
`domain`. No published split. With the option `train_exposures` the tiles under all
other exposures are test images, so that training never saw their light. Four masks of uneven tiles are empty
because the defect was not annotated; these tiles get no mask."""

from collections.abc import Collection, Iterator
from pathlib import Path

from viad.artifacts.images import read_mask
from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_images, refuse_other_folders
from viad.errors import DataError

TILE_KINDS = ("Blowhole", "Break", "Crack", "Fray", "Free", "Uneven")
NORMAL_KIND = "Free"
MASK_FROM = 128


def rows(raw: Path, category: str, *, train_exposures: Collection[str] = ()) -> Iterator[Row]:
    """The tiles by kind, exposure and number."""
    del category
    root = find_root(raw, f"MT_{NORMAL_KIND}")
    refuse_other_folders(root, *(f"MT_{kind}" for kind in TILE_KINDS))
    for kind in TILE_KINDS:
        for image in list_images(root / f"MT_{kind}/Imgs"):
            if image.suffix.lower() == ".png":
                continue
            exposure, _, number = image.stem.partition("_num_")
            if not number:
                raise DataError(f"{image}: its name is not of the form exp1_num_2.jpg. Download the dataset again.")
            masks = (image.with_suffix(".png"),)
            if not masks[0].is_file():
                raise DataError(f"{masks[0]}: the mask of {image} is missing. Download the dataset again.")
            yield Row(
                sample=f"{kind}/{image.stem}",
                image=image,
                label=int(kind != NORMAL_KIND),
                masks=masks if kind != NORMAL_KIND and read_mask(masks[0], MASK_FROM).any() else (),
                mask_from=MASK_FROM,
                defect="" if kind == NORMAL_KIND else kind,
                split="test" if train_exposures and exposure not in train_exposures else None,
                domain=exposure,
            )
