"""MVTec LOCO AD (Bergmann et al., "Beyond Dents and Scratches: Logical Constraints in Unsupervised Anomaly Detection
and Localization", IJCV 2022). An image has a folder of masks, one for each anomaly; the mask here is their union. Their
grey levels encode the type of defect and are seldom 255. Defects are logical_anomalies or structural_anomalies."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_images, read_tree_rows
from viad.errors import DataError


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split (train, val, test), kind and number."""
    root = find_root(raw, f"{category}/train") / category

    def masks(image: Path) -> tuple[Path, ...]:
        folder = root / "ground_truth" / image.parent.name / image.stem
        found = tuple(list_images(folder))
        if not found:
            raise DataError(f"{folder}: the masks of {image} are missing. Download the dataset again.")
        return found

    return read_tree_rows(root, {"train": "train", "validation": "val", "test": "test"}, masks=masks)
