"""MPDD, painted metal parts (Jezek et al., "Deep learning-based defect detection of metal parts: evaluating current
methods in complex conditions", ICUMT 2021). MVTec AD's layout; the folder around it differs with the source."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, read_mvtec_rows


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split, kind and number."""
    return read_mvtec_rows(find_root(raw, f"{category}/train") / category)
