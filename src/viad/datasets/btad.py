"""BTAD (Mishra et al., "VT-ADL: A Vision Transformer Network for Image Anomaly Detection and Localization", ISIE
2021): three products, `<product>/{train,test}/{ok,ko}/0000.*`, masks of the same name, bmp and png mixed."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, read_mvtec_rows


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The product's images by split, kind and number."""
    return read_mvtec_rows(find_root(raw, f"{category}/train/ok") / category, normal="ok", suffix="")
