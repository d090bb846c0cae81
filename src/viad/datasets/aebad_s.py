"""AeBAD-S, aero-engine blades (Zhang et al., "Industrial Anomaly Detection with Domain Shift: A Real-world Dataset and
Masked Multi-scale Reconstruction", Computers in Industry 2023): `AeBAD_S/{train,test}/<kind>/<domain>/IMG_*.png`, masks
alike. Test images of the domain `same` look like training, those of background, illumination and view do not."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import (
    find_mask,
    find_root,
    list_folders,
    list_images,
    refuse_other_folders,
    refuse_surplus,
)

DOMAINS = ("same", "background", "illumination", "view")
NORMAL_FOLDER = "good"


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The blades by split, kind, domain and number."""
    del category
    root = find_root(raw, "AeBAD_S/train") / "AeBAD_S"
    refuse_other_folders(root, "train", "test", "ground_truth")
    used: set[Path] = set()
    for split in ("train", "test"):
        for kind in list_folders(root / split):
            refuse_other_folders(kind, *DOMAINS)
            for domain in list_folders(kind):
                for image in list_images(domain):
                    anomalous = kind.name != NORMAL_FOLDER
                    truth = root / "ground_truth" / kind.name / domain.name
                    masks = (find_mask(truth, image.stem, image),) if anomalous else ()
                    used.update(masks)
                    yield Row(
                        sample=f"{split}/{kind.name}/{domain.name}/{image.stem}",
                        image=image,
                        label=int(anomalous),
                        masks=masks,
                        defect=kind.name if anomalous else "",
                        split=split,
                        domain=domain.name,
                    )
    refuse_surplus(root / "ground_truth", used)
