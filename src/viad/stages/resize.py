"""Stage resize: all images at the same size and in the same colours, and the split of each image.

Images that training may open are in learn/, test images in test/. The train stage depends on learn/ alone, so no test
image can influence it.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from viad.artifacts.atomic import replacing
from viad.artifacts.images import (
    ASPECT_OPTIONS,
    COLOR_OPTIONS,
    Mask,
    crop_center,
    read_image,
    read_mask,
    resize_image,
    resize_mask,
    write_image,
)
from viad.artifacts.samples import ANOMALOUS, NORMAL, write_samples
from viad.audit import EXCLUDE_OPTIONS, read_excluded_samples
from viad.config.numbers import check_positive_share, check_whole_number
from viad.config.params import one_of, read_params
from viad.datasets import Row, read_rows
from viad.errors import DataError
from viad.protocol.splits import SPLIT_PROTOCOLS, assign_splits


def main(category: str) -> None:
    """Assign the splits, then write resized images and masks to data/resized/<dataset>/<category>."""
    params = read_params(
        "dataset.name",
        "dataset.code",
        "dataset.options",
        "dataset.split.seed",
        "dataset.split.test_normals",
        "dataset.split.val_normals",
        "dataset.split.reserve_anomalies",
        "dataset.split.reserve_defects",
        "image_size",
        "color",
        "aspect",
        "center_crop",
        "protocol",
        "audit.exclude",
    )
    one_of("color", params["color"], COLOR_OPTIONS)
    one_of("aspect", params["aspect"], ASPECT_OPTIONS)
    one_of("protocol", params["protocol"], SPLIT_PROTOCOLS)
    one_of("audit.exclude", params["audit.exclude"], EXCLUDE_OPTIONS)
    size = check_whole_number("image_size", params["image_size"], low=32, high=4096)
    crop = check_positive_share("center_crop", params["center_crop"])
    out = Path("data/resized") / params["dataset.name"] / category

    raw = Path("data/raw") / params["dataset.name"]
    rows = read_rows(params["dataset.code"], raw, category, params["dataset.options"])
    excluded = read_excluded_samples(params["dataset.name"], category, params["audit.exclude"])
    rows = [row for row in rows if row.sample not in excluded]
    samples = _make_table(rows)
    samples["split"] = assign_splits(samples, params["protocol"], _select_split_params(params), category)
    _set_paths(samples, out)
    with replacing(out) as aside:
        options = {"color": params["color"], "aspect": params["aspect"], "crop": crop}
        resize = partial(_resize_row, size=size, **options, root=out, aside=aside)
        with ThreadPoolExecutor() as pool:
            jobs: Iterable[None] = pool.map(resize, rows, samples.to_dict("records"))
            for _ in tqdm(jobs, total=len(rows), desc=f"resize {category}", unit="image", mininterval=1):
                pass
        write_samples(samples, aside)


def _select_split_params(params: dict[str, Any]) -> dict[str, Any]:
    head = "dataset.split."
    return {key.removeprefix(head): value for key, value in params.items() if key.startswith(head)}


def _make_table(rows: list[Row]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "sample": [row.sample for row in rows],
            "label": [row.label for row in rows],
            "train_label": [row.label for row in rows],
            "mask": ["mask" if row.masks else "" for row in rows],
            "defect": [row.defect for row in rows],
            "split": [row.split or "" for row in rows],
            "group": [row.group for row in rows],
            "domain": [row.domain for row in rows],
        }
    )


def _set_paths(samples: pd.DataFrame, out: Path) -> None:
    """Fill in the path of each image and mask."""
    folder = samples["split"].map(lambda split: "test" if split == "test" else "learn")
    samples["image"] = [
        f"{(out / part).as_posix()}/images/{name}.png" for part, name in zip(folder, samples["sample"], strict=True)
    ]
    masked = samples["mask"] != ""
    samples.loc[masked, "mask"] = samples.loc[masked, "image"].str.replace("/images/", "/masks/", n=1, regex=False)


def _resize_row(
    row: Row, sample: dict[str, Any], *, size: int, color: str, aspect: str, crop: float, root: Path, aside: Path
) -> None:
    pixels = read_image(row.image, row.bits)
    small = resize_image(crop_center(pixels, crop), size, color, aspect)
    write_image(small, aside / Path(sample["image"]).relative_to(root))
    if not row.masks:
        return
    mask = _unite_masks(row, pixels.shape[:2])
    if mask.any() and row.label == NORMAL:
        raise DataError(
            f"{row.masks[0]} marks a defect, but {row.image} is labelled normal. Correct the mask or the label."
        )
    if not mask.any() and row.label == ANOMALOUS:
        raise DataError(
            f"{row.masks[0]} is empty, but {row.image} is labelled anomalous. Correct the mask or the label."
        )
    write_image(resize_mask(crop_center(mask, crop), size, aspect), aside / Path(sample["mask"]).relative_to(root))


def _unite_masks(row: Row, shape: tuple[int, ...]) -> Mask:
    """Unite all masks of a row, (H, W) bool of the size of its image."""
    union = np.zeros(shape, dtype=bool)
    for path in row.masks:
        mask = read_mask(path, row.mask_from)
        if mask.shape != shape:
            raise DataError(
                f"{path}: mask size {mask.shape[1]}x{mask.shape[0]} does not match image size {shape[1]}x{shape[0]} "
                f"({row.image}). Replace the file that is wrong."
            )
        union |= mask
    return union
