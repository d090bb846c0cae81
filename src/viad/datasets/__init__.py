"""One module for each dataset, which reads its published layout.

A dataset module has a function `rows(raw, category, **options)` that yields a `Row` for each image of the category; its
yaml in conf/dataset/ names it as `code`, and its `options` are passed on. For a dataset published as an archive, the
yaml's `archive` names the download. Only a dataset published in another way has a second function, `publish(out,
source)`, which writes its files.
"""

import importlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from viad.config.names import check_image_id, check_text
from viad.errors import ConfigError, DataError


@dataclass(frozen=True)
class Row:
    """One image as its dataset publishes it.

    `image` and `masks` are files under the raw folder. The mask is the union of `masks`, a pixel being
    anomalous from the grey level (or palette index) `mask_from` on. `split` is the published one
    (train, val, test or reserve) or None where the dataset publishes none. `bits` are those that 16-bit images use.
    """

    sample: str
    image: Path
    label: int
    masks: tuple[Path, ...] = ()
    mask_from: int = 1
    defect: str = ""
    split: str | None = None
    group: str = ""
    domain: str = ""
    bits: int = 16


class Dataset(Protocol):
    """The functions of a dataset module."""

    def publish(self, out: Path, source: dict[str, Any]) -> None:
        """Write the files into the new folder `out`; only where the yaml's `archive` is null."""

    def rows(self, raw: Path, category: str, **options: Any) -> Iterator[Row]:
        """Yield the category's images in a fixed order."""


def load_dataset_module(code: str) -> Dataset:
    """Import the dataset module at `code` (such as src/viad/datasets/elpv.py).

    Raises:
        ConfigError: the module does not exist.
    """
    name = Path(code).with_suffix("").name
    try:
        return cast("Dataset", importlib.import_module(f"viad.datasets.{name}"))
    except ModuleNotFoundError as error:
        raise ConfigError(f"dataset.code: cannot import {code} ({error}). Correct the dataset's yaml.") from error


def read_rows(code: str, raw: Path, category: str, options: Mapping[str, Any]) -> list[Row]:
    """Read the rows of a category.

    Raises:
        ConfigError: the dataset has no such option.
        DataError: the category has no images, or its files are not as published.
    """
    try:
        rows = list(load_dataset_module(code).rows(raw, category, **options))
    except TypeError as error:
        if "unexpected keyword" not in str(error):
            raise
        raise ConfigError(f"dataset.options: {error}. Correct the dataset's yaml.") from error
    if not rows:
        raise DataError(f"category '{category}' has no images in {raw}. Correct its name.")
    for row in rows:
        check_image_id(row.sample)
    for defect in {row.defect for row in rows} - {""}:
        check_text(f"{category}, defect type", defect)
    return rows


def count_images(rows: Sequence[Row]) -> dict[str, list[int]]:
    """Count normal and anomalous images of each published split ("all" if none is published)."""
    found: dict[str, list[int]] = {}
    for row in rows:
        found.setdefault(row.split or "all", [0, 0])[row.label] += 1
    return dict(sorted(found.items()))


def check_counts(rows: Sequence[Row], category: str, expected: Mapping[str, Any] | None) -> None:
    """Compare `rows` with the published counts of their category.

    Args:
        rows: all rows of the category. category: its name. expected: by category, a mapping as `count_images` returns
        it, or a list of them if several were published; None,
            or a missing category, skips the comparison.

    Raises:
        DataError: they differ; the message names both.
    """
    if expected is None or category not in expected:
        return
    accepted = expected[category] if isinstance(expected[category], list) else [expected[category]]
    found = count_images(rows)
    if found not in [dict(sorted(one.items())) for one in accepted]:
        raise DataError(
            f"{category}: found {_format_counts(found)}, but {' or '.join(map(_format_counts, accepted))} were "
            "published. Files are missing or added: download the dataset again, or set audit.verify=false to accept "
            "these files."
        )


def _format_counts(found: Mapping[str, Sequence[int]]) -> str:
    return ", ".join(f"{split} {normal} normal + {anomalous} anomalous" for split, (normal, anomalous) in found.items())
