"""ELPV: electroluminescence images of solar cells, from the PyPI package elpv-dataset.

Buerhop-Lutz et al., EU PVSEC 2018; Deitsch et al., Solar Energy 185, 2019. Images
CC BY-NC-SA 4.0. `labels.csv` gives a path, a defect probability (0, 1/3, 2/3 or 1, the
experts' opinion) and the cell type. 0 is normal, 1 anomalous; cells that the experts
marked as doubtful serve as natural contamination and never reach the test set.

Categories `mono` and `poly` publish no split. `cells` pools both and has the split of
the open-set supervised literature: a quarter of the normals for test.
"""

import shutil
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pandas as pd
from sklearn.model_selection import train_test_split

from viad.datasets import Row
from viad.errors import DataError

DEFECT_BY_THIRDS = {0: "", 1: "doubtful_33", 2: "doubtful_67", 3: "defective"}
IMAGE_COUNT = 2624
CERTAIN_THIRDS = 3  # thirds of defect probability


def publish(out: Path, source: dict[str, Any]) -> None:
    """Copy labels.csv and images/ from the package.

    Raises:
        DataError: the package is not installed or incomplete.
    """
    try:
        package = files("elpv_dataset")
    except ModuleNotFoundError as error:
        raise DataError(f"the package {source['package']} is not installed. Install it with `make install`.") from error
    data = Path(str(package)) / "data"
    found = len(list((data / "images").glob("*.png")))
    if found != IMAGE_COUNT:
        raise DataError(f"{data}: {found} images, expected {IMAGE_COUNT}. Install {source['package']} again.")
    shutil.copytree(data, out)


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's cells in the order of labels.csv."""
    labels = pd.read_csv(raw / "labels.csv", sep=r"\s+", header=None, names=["path", "probability", "type"])
    labels["thirds"] = (labels["probability"] * 3).round().astype(int)
    labels["split"] = ""
    if category == "cells":
        labels["split"] = _pooled_split(labels)
    else:
        labels = labels[labels["type"] == category]
        labels.loc[labels["thirds"].isin([1, 2]), "split"] = "reserve"
    for path, thirds, split, kind in labels[["path", "thirds", "split", "type"]].itertuples(index=False, name=None):
        yield Row(
            sample=Path(path).stem,
            image=raw / path,
            label=int(thirds != 0),
            # The literature on pooled cells uses the cell type as the defect type.
            defect=kind if category == "cells" and thirds == CERTAIN_THIRDS else DEFECT_BY_THIRDS[thirds],
            split=split or None,
            domain=kind,
        )


def _pooled_split(labels: pd.DataFrame) -> pd.Series:
    split = labels["thirds"].map({0: "train", 1: "reserve", 2: "reserve", 3: "test"})
    _, test = train_test_split(labels.index[labels["thirds"] == 0], test_size=0.25, random_state=42)
    split[test] = "test"
    return split
