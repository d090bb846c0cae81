"""MVTec AD (Bergmann et al., "MVTec AD: A Comprehensive Real-World Dataset for Unsupervised Anomaly Detection", CVPR
2019): `<category>/{train,test}/<kind>/000.png`, `<category>/ground_truth/<kind>/000_mask.png`."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import mvtec_rows, root_of


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split, kind and number."""
    return mvtec_rows(root_of(raw, f"{category}/train") / category)
