"""SensumSODF, capsules and softgels (Rački et al., "Detection of surface defects on pharmaceutical solid oral dosage
forms with convolutional neural networks", Neural Computing and Applications 2021): `negative/data`, `positive/data`
and `positive/annotation`, no published split. Option `fold`: null gives the split of the study, 0 to 2 a fold of the
three-fold cross-validation in the literature, whose lists are read from `sensum_splits/`: pickles of (number, whether
the image is segmented), where number 7 is the file `007.png`. A fold lists every image exactly once."""

import io
import pickle
import random
from collections.abc import Iterable, Iterator
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
        DataError: a mask or a fold's list is missing, or a fold lists an image that does not exist, omits one or has
            one in both parts.
    """
    root = find_root(raw, f"{category}/negative")
    refuse_other_folders(root / category, "negative", "positive")
    normals = list_images(root / category / "negative/data")
    anomalies = list_images(root / category / "positive/data")
    names = {_name(image) for image in (*normals, *anomalies)}
    split = _split_as_study(root, category, names) if fold is None else _read_fold(raw, category, fold, names)
    for image in normals:
        yield Row(sample=_name(image), image=image, label=0, split=split[_name(image)])
    truth = root / category / "positive/annotation"
    masks = {image: find_mask(truth, image.stem, image) for image in anomalies}
    refuse_surplus(truth, set(masks.values()))
    for image, mask in masks.items():
        part = split[_name(image)]
        yield Row(
            sample=_name(image),
            image=image,
            label=1,
            masks=(mask,),
            defect="positive",
            split="reserve" if part == "train" else part,
        )


def _name(image: Path) -> str:
    """Name an image by its kind and number: the same number occurs among the normals and among the anomalies."""
    return f"{image.parent.parent.name}/{image.stem}"


def _split_as_study(root: Path, category: str, names: Iterable[str]) -> dict[str, str]:
    """Sample the 150 normal test images: one generator shuffles capsule, then softgel.

    The study shuffled files in the order of its disk, which is unknown; this function shuffles sorted names.
    """
    rng = random.Random(STUDY_SEED)  # noqa: S311  the study's generator
    train: set[str] = set()
    for shuffled in SHUFFLED_CATEGORIES:
        normals = [_name(image) for image in list_images(root / shuffled / "negative/data")]
        rng.shuffle(normals)
        if shuffled == category:
            train = set(normals[TEST_NORMALS:])
    return {name: "train" if name in train else "test" for name in names}


def _read_fold(raw: Path, category: str, fold: int, names: set[str]) -> dict[str, str]:
    """Read the part of every image of a fold from `sensum_splits/<category>/<fold>/{train,test}/{neg,pos*}.pckl`.

    The training folder has a list of the same positives for each share of segmented images: `pos_0.pckl` to
    `pos_100.pckl`.
    """
    check_whole_number("dataset.options.fold", fold, high=FOLDS - 1, otherwise="null")
    folder = find_root(raw, f"sensum_splits/{category}/{fold}") / f"sensum_splits/{category}/{fold}"
    parts: dict[str, set[str]] = {"train": set(), "test": set()}
    for part, listed in parts.items():
        for kind, pattern in (("negative", "neg*.pckl"), ("positive", "pos*.pckl")):
            lists = sorted((folder / part).glob(pattern))
            if not lists:
                raise DataError(f"{folder / part}: no list {pattern}. Download the splits again.")
            listed |= {f"{kind}/{stem}" for path in lists for stem in _read_stems(path)}
    every = parts["train"] | parts["test"]
    for problem, wrong in (
        ("are listed for training and for test", parts["train"] & parts["test"]),
        ("are listed but do not exist", every - names),
        ("exist but are not listed", names - every),
    ):
        if wrong:
            raise DataError(
                f"{folder}: {len(wrong)} images {problem}, such as {category}/{min(wrong)}. "
                "Download the splits and the images again."
            )
    return {name: part for part, listed in parts.items() for name in listed}


class _SafeUnpickler(pickle.Unpickler):
    """Reads lists, strings and numbers; it refuses classes, since such a pickle could run any code."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it names {module}.{name}")


def _read_stems(path: Path) -> list[str]:
    """Read the file stems in a list of (number, whether it is segmented).

    Raises:
        DataError: it is not such a list.
    """
    try:
        entries = _SafeUnpickler(io.BytesIO(path.read_bytes())).load()
        return [_to_stem(number) for number, _ in entries]
    except (pickle.UnpicklingError, EOFError, ValueError, TypeError) as error:
        raise DataError(
            f"{path} is not a list of (number, whether it is segmented): {error}. Download the splits again."
        ) from error


def _to_stem(number: object) -> str:
    if isinstance(number, bool) or not isinstance(number, int | str):
        raise TypeError(f"{number!r} is not a number")
    return f"{int(Path(str(number)).stem):03}"
