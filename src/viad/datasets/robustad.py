"""RobustAD (AmazonScience/RobustAD on the Hugging Face hub): parts and boards photographed under one condition for
training and under shifts of light, position, scale, rotation or background for test. Each folder
`<category>/<prefix>_{train,test0,test1,...}` has a list `metadata.jsonl` of file_name, label and mask. `domain` is
source (train and test0) or the shift. Anomalous training images are the reserve. Piled bags have no masks."""

import json
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import Any

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_images, refuse_other_folders, refuse_unlisted
from viad.errors import DataError

UNSHIFTED = "source"
LAYOUTS = {  # category: prefix of its folders, shifts of its test folders from test1 on
    "MetalParts": (
        "metal_parts_data_dir", ("lighting", "position", "rotation", "scale", "background_1", "background_2"),
    ),
    "PCB": ("pcb_data_dir", ("lighting", "white_balancing", "rotation", "position", "shadow")),
    "PiledBags": (
        "piled_bags_data_dir", ("lighting", "background_box_color", "position_rotation", "scale", "shadow"),
    ),
}  # fmt: skip
LABEL_BY_FOLDER = {"normal": 0, "anomaly": 1}
MASKED_CATEGORIES = {"MetalParts", "PCB"}
MASK_FOLDER, LIST_NAME = "masks", "metadata.jsonl"
LOSSY_SUFFIXES, LOSSY_MASK_FROM = {".jpg", ".jpeg"}, 128  # such a mask is grey around its edges


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by folder, in the order of their list.

    Raises:
        DataError: a list is missing, incomplete, or contradicts its folder.
    """
    prefix, shifts = LAYOUTS[category]
    root = find_root(raw, f"{category}/{prefix}_train") / category
    domains = {"train": UNSHIFTED, "test0": UNSHIFTED} | {f"test{i}": name for i, name in enumerate(shifts, start=1)}
    refuse_other_folders(root, *(f"{prefix}_{part}" for part in domains))
    for part, domain in domains.items():
        for image, label, mask in _read_list(root / f"{prefix}_{part}", masked=category in MASKED_CATEGORIES):
            split = "test" if part != "train" else "reserve" if label else "train"
            yield Row(
                sample=f"{part}/{image.parent.name}/{image.stem}",
                image=image,
                label=label,
                masks=(mask,) if mask else (),
                mask_from=LOSSY_MASK_FROM if mask and mask.suffix.lower() in LOSSY_SUFFIXES else 1,
                defect="anomaly" if label else "",
                split=split,
                domain=domain,
            )


def _read_list(folder: Path, *, masked: bool) -> list[tuple[Path, int, Path | None]]:
    """Read image, label and mask of every image of a folder."""
    refuse_other_folders(folder, *LABEL_BY_FOLDER, *([MASK_FOLDER] if masked else []))
    table = folder / LIST_NAME
    if not table.is_file():
        raise DataError(f"{table} is missing. Download the dataset again.")
    lines = [line for line in table.read_text(encoding="utf-8").splitlines() if line.strip()]
    entries = [_read_entry(line, folder, masked=masked) for line in lines]
    images = [file for kind in LABEL_BY_FOLDER for file in list_images(folder / kind)]
    refuse_unlisted(images, {image for image, _, _ in entries}, f"{folder.name}/{LIST_NAME}")
    return entries


def _read_entry(line: str, folder: Path, *, masked: bool) -> tuple[Path, int, Path | None]:
    entry: dict[str, Any] = json.loads(line)
    missing = {"file_name", "label", "mask"} - entry.keys()
    if missing:
        raise DataError(f"{folder / LIST_NAME}: an entry has no {min(missing)} ({line}). Download the dataset again.")
    image = folder / entry["file_name"]
    # A mask's path is that on its author's disk; a category without masks may name them all the same.
    has_mask = masked and entry["label"] and entry["mask"]
    mask = folder / MASK_FOLDER / PurePosixPath(entry["mask"]).name if has_mask else None
    for file in filter(None, (image, mask)):
        if not file.is_file():
            raise DataError(f"{file} does not exist, but {LIST_NAME} lists it. Download the dataset again.")
    if LABEL_BY_FOLDER.get(image.parent.name) != entry["label"]:
        raise DataError(f"{image} is labelled {entry['label']} by {LIST_NAME}, which contradicts its folder.")
    return image, entry["label"], mask
