"""MVTec AD (Bergmann et al., "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR
2019): `<category>/{train,test}/<kind>/000.png`, `<category>/ground_truth/<kind>/000_mask.png`."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, read_mvtec_rows


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split, kind and number."""
    return read_mvtec_rows(find_root(raw, f"{category}/train") / category)
