"""VAD, the Valeo Anomaly Dataset (Baitieva et al., "Supervised Anomaly Detection for Complex Industrial Images", CVPR
2024). The full archive has a thousand anomalous training images, here the reserve, and test anomalies of kinds that
training lacks (`domain` seen or unseen), but no masks; the one-class archive has masks of the test anomalies and no
reserve. Defect types are not labelled."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_root, list_images, refuse_other_folders, refuse_surplus
from viad.errors import DataError

PUBLISHED_FOLDERS = {  # folder: split, domain
    "train/good": ("train", ""),
    "train/bad": ("reserve", "seen"),
    "test/good": ("test", ""),
    "test/bad": ("test", "seen"),
    "test/bad_unseen_defects": ("test", "unseen"),
}


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The images by split, kind and number."""
    del category
    root = find_root(raw, "train/good")
    for folder in ("train", "test"):
        refuse_other_folders(
            root / folder, *(part.split("/")[1] for part in PUBLISHED_FOLDERS if part.startswith(folder))
        )
    full, truth = (root / "train/bad").is_dir(), root / "ground_truth/bad"
    if not full and not truth.is_dir():
        raise DataError(
            f"{root} has neither masks nor anomalous training images: it is the one-class archive from before "
            "September 2025. Download the newer one."
        )
    by_stem = {mask.stem.split("_")[0]: mask for mask in list_images(truth)}
    used: set[Path] = set()
    for folder, (split, domain) in PUBLISHED_FOLDERS.items():
        for image in list_images(root / folder):
            anomalous = "bad" in folder
            masks = (by_stem[image.stem],) if folder == "test/bad" and image.stem in by_stem else ()
            if folder == "test/bad" and by_stem and not masks:
                raise DataError(
                    f"{truth / image.stem}_mask: the mask of {image} is missing. Download the dataset again."
                )
            used.update(masks)
            yield Row(
                sample=f"{folder}/{image.stem}",
                image=image,
                label=int(anomalous),
                masks=masks,
                defect="bad" if anomalous else "",
                split=split,
                domain=domain if full else "",
            )
    refuse_surplus(truth, used)
