"""SensumSODF, capsules and softgels (Rački et al., "Detection of surface defects on pharmaceutical solid oral dosage
forms with convolutional neural networks", Neural Computing and Applications 2021): `negative/data`, `positive/data`
and `positive/annotation`, no published split. Option `fold`: null gives the split of the study, 0 to 2 a fold of the
three-fold cross-validation in the literature, whose lists are read from `sensum_splits/`."""

import io
import pickle
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from viad.config.numbers import check_whole_number
from viad.datasets import Row
from viad.datasets.folder_trees import find_mask, find_root, list_images, refuse_other_folders, refuse_surplus
from viad.errors import DataError

STUDY_SEED, TEST_NORMALS = 143, 150
SHUFFLED_CATEGORIES = ("capsule", "softgel")  # in the order in which the study shuffles them
FOLDS = 3


def rows(raw: Path, category: str, *, fold: int | None = None) -> Iterator[Row]:
    """The category's images, normal ones first, by number.

    Raises:
        ConfigError: an unknown fold.
        DataError: a mask or a fold's list is missing.
    """
    root = find_root(raw, f"{category}/negative")
    refuse_other_folders(root / category, "negative", "positive")
    normals = list_images(root / category / "negative/data")
    anomalies = list_images(root / category / "positive/data")
    split = _split_as_study(root, category) if fold is None else _read_fold(raw, category, fold)
    for image in normals:
        name = f"negative/{image.stem}"
        yield Row(sample=name, image=image, label=0, split=split.get(name, "train"))
    truth = root / category / "positive/annotation"
    masks = {image: find_mask(truth, image.stem, image) for image in anomalies}
    refuse_surplus(truth, set(masks.values()))
    for image, mask in masks.items():
        name = f"positive/{image.stem}"
        part = split.get(name, "test")
        yield Row(
            sample=name,
            image=image,
            label=1,
            masks=(mask,),
            defect="positive",
            split="reserve" if part == "train" else part,
        )


def _split_as_study(root: Path, category: str) -> dict[str, str]:
    """Sample the 150 normal test images: one generator shuffles capsule, then softgel.

    The study shuffled files in the order of its disk, which is unknown; this function shuffles sorted names.
    """
    rng = random.Random(STUDY_SEED)  # noqa: S311  the study's generator
    split: dict[str, str] = {}
    for shuffled in SHUFFLED_CATEGORIES:
        names = [image.stem for image in list_images(root / shuffled / "negative/data")]
        rng.shuffle(names)
        if shuffled == category:
            split = {f"negative/{name}": "test" for name in names[:TEST_NORMALS]}
    return split


def _read_fold(raw: Path, category: str, fold: int) -> dict[str, str]:
    """Read the split of every image in a fold from `sensum_splits/<category>/<fold>/{train,test}/{neg,pos}*.pckl`."""
    check_whole_number("dataset.options.fold", fold, high=FOLDS - 1, otherwise="null")
    folder = find_root(raw, f"sensum_splits/{category}/{fold}") / f"sensum_splits/{category}/{fold}"
    split: dict[str, str] = {}
    for part in ("train", "test"):
        for kind, names in (("negative", "neg*.pckl"), ("positive", "pos*.pckl")):
            lists = sorted((folder / part).glob(names))
            if not lists:
                raise DataError(f"{folder / part}: no list {names}. Download the splits again.")
            split |= {f"{kind}/{Path(str(entry)).stem}": part for entry in _read_names(lists[0])}
    return split


class _SafeUnpickler(pickle.Unpickler):
    """Reads lists, strings and numbers; it refuses classes, since such a pickle could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _read_names(path: Path) -> list[Any]:
    try:
        entries = _SafeUnpickler(io.BytesIO(path.read_bytes())).load()
    except (pickle.UnpicklingError, EOFError, ValueError) as error:
        raise DataError(f"{path} is not a list of names ({error}). Download the splits again.") from error
    return [entry[0] if isinstance(entry, list | tuple) else entry for entry in entries]
