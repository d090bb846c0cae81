"""One module a dataset: how its files are got, and what its published layout means.

A dataset module has two functions, and its yaml in conf/dataset/ names it as `code`:

    publish(out, source)   write the files as published into the folder `out`
    rows(raw, category)    yield a `Row` for each image of the category
"""

import importlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, cast

from viad.errors import ConfigError


@dataclass(frozen=True)
class Row:
    """One image as its dataset publishes it.

    `image` and `mask` are files under the raw folder; `split` is the published one
    (train, val, test or pool) or None where the dataset publishes none.
    """

    sample: str
    image: Path
    label: int
    mask: Path | None = None
    defect: str = ""
    split: str | None = None
    group: str = ""
    domain: str = ""


class Dataset(Protocol):
    """What a module under viad.datasets offers."""

    def publish(self, out: Path, source: dict[str, Any]) -> None:
        """Write the files as published into the new folder `out`."""

    def rows(self, raw: Path, category: str) -> Iterator[Row]:
        """Yield the category's images in a fixed order."""


def load(code: str) -> Dataset:
    """The dataset module at `code` (such as src/viad/datasets/elpv.py).

    Raises:
        ConfigError: there is no such module.
    """
    name = Path(code).with_suffix("").name
    try:
        return cast("Dataset", importlib.import_module(f"viad.datasets.{name}"))
    except ModuleNotFoundError as error:
        raise ConfigError(f"dataset.code: there is no module {code} ({error}). Correct the dataset's yaml.") from error
