"""MVTec AD 2 (Heckler-Kram et al., "The MVTec AD 2 Dataset", arXiv 2503.21622). Objects are seen under several lights,
training and validation under the regular one alone. `domain` is the light, `group` the scene, which stays together
under all its lights. The public test set is the test set; the private ones have no labels and are left out."""

from collections.abc import Iterator
from pathlib import Path

from viad.datasets import Row
from viad.datasets.folder_trees import find_mask, find_root, list_images, refuse_other_folders, refuse_surplus
from viad.errors import DataError

PRIVATE = ("test_private", "test_private_mixed")


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split (train, val, public test), kind, scene and light."""
    root = find_root(raw, f"{category}/test_public") / category
    refuse_other_folders(root, "train", "validation", "test_public", *PRIVATE)
    truth = root / "test_public/ground_truth"
    used: set[Path] = set()
    for folder, split in (("train", "train"), ("validation", "val"), ("test_public", "test")):
        for kind in ("good", "bad"):
            for image in list_images(root / folder / kind):
                scene, _, light = image.stem.partition("_")
                if not light:
                    raise DataError(
                        f"{image}: its name has no light, such as 000_regular.png. Download the dataset again."
                    )
                masks = (find_mask(truth / kind, f"{image.stem}_mask", image),) if kind == "bad" else ()
                used.update(masks)
                yield Row(
                    sample=f"{folder}/{kind}/{image.stem}",
                    image=image,
                    label=int(kind == "bad"),
                    masks=masks,
                    defect="bad" if kind == "bad" else "",
                    split=split,
                    group=f"{folder}/{kind}/{scene}",
                    domain=light,
                )
    refuse_surplus(truth, used)
