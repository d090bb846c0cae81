"""Rendered products and defects, with exact masks and any number of images.

Categories: `texture`, a cloth; `object`, a turned flange; `assembly`, a tray of loose
parts. Defects: `small` (below 0.2 % of the image's area), `large` (above 3 %), `logical`
(each part looks right, but one is missing, doubled, swapped or misplaced; object and
assembly only) and `foreign` bodies, which are in the reserve alone.

The published layout is MVTec's, with a reserve beside test:

    <category>/train/good/000.png
    <category>/test/{good,<defect>}/000.png
    <category>/reserve/<defect>/000.png
    <category>/ground_truth/{test,reserve}/<defect>/000.png
"""

import multiprocessing
import os
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
from tqdm import tqdm

from viad.artifacts.images import write_image
from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.config.numbers import check_whole_number
from viad.datasets import Row
from viad.datasets.synthetic.specimen import GOOD, PRODUCTS, Order, list_defect_kinds, render_picture
from viad.errors import ConfigError, DataError
from viad.processes.parent import end_with

FOREIGN = "foreign"
SYNTHETIC_SPLITS = ("train", "test", "reserve")
# Keys of dataset.source: the smallest and the largest useful value. Below 96 pixels the smallest defects vanish.
SOURCE_RANGES = {
    "seed": (0, 2**63),
    "size": (96, 4096),
    "train_normals": (1, 10**6),
    "test_normals": (1, 10**6),
    "anomalies": (1, 10**6),
}


def publish(out: Path, source: dict[str, Any]) -> None:
    """Render all images and masks, on every core.

    Raises:
        ConfigError: a value of dataset.source is missing, unknown or out of its range.
    """
    orders = list(_list_orders(_check_source(source)))
    # Spawned, not forked: a copy of a process whose libraries run threads may hang.
    workers = ProcessPoolExecutor(
        max_workers=min(os.cpu_count() or 1, len(orders)),
        mp_context=multiprocessing.get_context("spawn"),
        initializer=_prepare_worker,
        initargs=(os.getpid(),),
    )
    with workers as pool:
        done = pool.map(partial(_write_picture, out), orders, chunksize=4)
        for _ in tqdm(done, total=len(orders), desc="render synthetic", unit="image", mininterval=1):
            pass


def rows(raw: Path, category: str) -> Iterator[Row]:
    """The category's images by split (train, test, reserve), defect and number.

    Raises:
        DataError: an anomaly has no mask.
    """
    for split in SYNTHETIC_SPLITS:
        for image in sorted((raw / category / split).glob("*/*.png")):
            kind = image.parent.name
            mask = raw / category / "ground_truth" / split / kind / image.name
            if kind != GOOD and not mask.is_file():
                raise DataError(f"{mask}, the mask of {image}, does not exist. Remove {raw} and run `dvc repro raw`.")
            yield Row(
                sample=f"{split}/{kind}/{image.stem}",
                image=image,
                label=NORMAL if kind == GOOD else ANOMALOUS,
                masks=() if kind == GOOD else (mask,),
                defect="" if kind == GOOD else kind,
                split=split,
            )


def _check_source(source: dict[str, Any]) -> dict[str, int]:
    for key in source.keys() ^ SOURCE_RANGES.keys():
        problem = "missing" if key in SOURCE_RANGES else "not known"
        raise ConfigError(f"dataset.source.{key}: {problem}. The keys are {', '.join(SOURCE_RANGES)}.")
    for key, (least, greatest) in SOURCE_RANGES.items():
        check_whole_number(f"dataset.source.{key}", source[key], low=least, high=greatest)
    return source


def _list_orders(source: dict[str, int]) -> Iterator[Order]:
    for category in PRODUCTS:
        lots = [("train", GOOD, source["train_normals"]), ("test", GOOD, source["test_normals"])]
        lots += [
            (split, kind, source["anomalies"]) for split in ("test", "reserve") for kind in list_defect_kinds(category)
        ]
        lots.append(("reserve", FOREIGN, source["anomalies"]))
        for split, kind, count in lots:
            for index in range(count):
                yield Order(source["seed"], source["size"], category, split, kind, index)


def _prepare_worker(parent: int) -> None:
    end_with(parent)
    cv2.setNumThreads(1)  # one process per core is enough


def _write_picture(out: Path, order: Order) -> None:
    pixels, mask = render_picture(order)
    place = Path(order.split, order.kind, f"{order.index:03}.png")
    write_image(pixels, out / order.category / place)
    if order.kind != GOOD:
        write_image(mask, out / order.category / "ground_truth" / place)
