"""VisA (Zou et al., "SPot-the-Difference Self-Supervised Pre-training for Anomaly Detection and Segmentation", ECCV
2022). `split_csv/1cls.csv` is the one-class split; `<category>/image_anno.csv` names the defects of each image. Masks
hold class numbers, so they look black. Option `split`: 2cls_highshot or 2cls_fewshot, whose training anomalies are the
reserve."""

import csv
from collections.abc import Iterator
from pathlib import Path

from viad.config.params import one_of
from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_images, refuse_other_folders, refuse_unlisted
from viad.errors import DataError

PUBLISHED_SPLITS = ("1cls", "2cls_highshot", "2cls_fewshot")


def rows(raw: Path, category: str, *, split: str = "1cls") -> Iterator[Row]:
    """The category's images in the order of the split's table.

    Raises:
        ConfigError: an unknown split.
        DataError: a file that a table names is missing, or a table omits an image.
    """
    one_of("dataset.options.split", split, PUBLISHED_SPLITS)
    root = find_root(raw, "split_csv")
    refuse_other_folders(root / category, "Data")
    refuse_other_folders(root / category / "Data/Images", "Normal", "Anomaly")
    defects = {one["image"]: one["label"] for one in _read_csv(root / category / "image_anno.csv")}
    table = [one for one in _read_csv(root / f"split_csv/{split}.csv") if one["object"] == category]
    images = [file for kind in ("Normal", "Anomaly") for file in list_images(root / category / "Data/Images" / kind)]
    refuse_unlisted(images, {root / one["image"] for one in table}, f"split_csv/{split}.csv")
    anomalous = [root / one["image"] for one in table if one["label"] != "normal"]
    refuse_unlisted(anomalous, {root / image for image in defects}, f"{category}/image_anno.csv")
    for one in table:
        image, label = root / one["image"], int(one["label"] != "normal")
        masks = (root / one["mask"],) if one["mask"] else ()
        for file in (image, *masks):
            if not file.is_file():
                raise DataError(
                    f"{file} does not exist, but split_csv/{split}.csv lists it. Download the dataset again."
                )
        yield Row(
            sample=f"{image.parent.name}/{image.stem}",
            image=image,
            label=label,
            masks=masks,
            # Several defects of one image are joined by commas; in any order they are the same kind.
            defect="+".join(sorted(defects[one["image"]].split(","))) if label else "",
            split="reserve" if label and one["split"] == "train" else one["split"],
        )


def _read_csv(path: Path) -> list[dict[str, str]]:
    if not path.is_file():
        raise DataError(f"{path} is missing. Download the dataset again.")
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))
