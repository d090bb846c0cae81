"""A user's images, as `viad import` stored them: a folder under data/imported/ that DVC versions, with a
table.csv of image, mask, label, defect, split, group, domain and category."""

import csv
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from viad.datasets import Row
from viad.errors import DataError

TABLE_CSV = "table.csv"
MASK_SEPARATOR = "|"  # between several masks of one image


def publish(out: Path, source: dict[str, Any]) -> None:
    """Copy the imported folder, or fetch it from DVC's cache or remote if it is not in the workspace.

    Raises:
        DataError: DVC cannot fetch it.
    """
    folder = Path(source["folder"])
    if (folder / TABLE_CSV).is_file():
        shutil.copytree(folder, out)
        return
    # Imported here, not above: the raw stage of the other datasets must not depend on DVC's adapter.
    from viad.artifacts.dvc_adapter import DvcError, fetch_folder

    try:
        fetch_folder(folder, out)
    except DvcError as error:
        raise DataError(
            f"{folder} does not exist, and DVC cannot fetch it ({error}). Import it again with `viad import`."
        ) from error


def rows(raw: Path, category: str, *, mask_from: int = 1, bits: int = 16) -> Iterator[Row]:
    """The category's images in the order of the table.

    Args:
        raw: the folder of the imported files.
        category: its name.
        mask_from: the lowest grey level (or palette index) of an anomalous pixel.
        bits: that the 16-bit images use; the highest value becomes white.
    """
    with (raw / TABLE_CSV).open(newline="", encoding="utf-8") as file:
        table = [row for row in csv.DictReader(file) if row["category"] == category]
    for row in table:
        yield Row(
            sample=row["sample"],
            image=raw / row["image"],
            label=int(row["label"]),
            masks=tuple(raw / mask for mask in row["mask"].split(MASK_SEPARATOR)) if row["mask"] else (),
            mask_from=mask_from,
            defect=row["defect"],
            split=row["split"] or None,
            group=row["group"],
            domain=row["domain"],
            bits=bits,
        )
