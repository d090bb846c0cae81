"""MPDD, painted metal parts (Jezek et al., "Deep learning-based defect detection of metal parts: evaluating current
methods in complex conditions", ICUMT 2021). MVTec AD's layout; the folder around it differs with the source."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import mvtec_rows, root_of


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split, kind and number."""
    return mvtec_rows(root_of(raw, f"{category}/train") / category)
