"""What annotation files of all formats have in common: their content, and safe reading of JSON, XML and numbers."""

import json
import math
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from xml.etree import ElementTree

from viad.errors import DataError
from viad.importing.regions import Region


@dataclass
class Annotation:
    """What an annotation file says of one image.

    Attributes:
        file: the annotation file, relative to the folder of the images.
        image: the name or path of the image as the file gives it; without a suffix if `by_stem`.
        regions: class name and region of each annotated object; None for a point or line, which has no area.
        size: width and height of the image that was annotated, if the file says so.
        checked: whether the file belongs to this image alone, so that no region means a normal image.
    """

    file: PurePosixPath
    image: str
    regions: list[tuple[str, Region | None]] = field(default_factory=list)
    size: tuple[int, int] | None = None
    checked: bool = True
    by_stem: bool = False


def read_text(root: Path, file: PurePosixPath) -> str:
    """Read a file in UTF-8.

    Raises:
        DataError: it is in another encoding.
    """
    try:
        return (root / file).read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not in UTF-8 ({error}). Save it as UTF-8.") from error


def load_json(root: Path, file: PurePosixPath) -> Any:
    """Load a JSON file.

    Raises:
        DataError: it is not valid.
    """
    try:
        return json.loads(read_text(root, file))
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not valid JSON ({error}). Correct, remove or exclude it.") from error


def load_xml(root: Path, file: PurePosixPath) -> ElementTree.Element:
    """Load an XML file, without entities of its own, which can expand to any size.

    Raises:
        DataError: it is not valid, or defines entities.
    """
    text = read_text(root, file)
    if "<!ENTITY" in text:
        raise DataError(f"{file} defines XML entities, which are not read. Remove them.")
    try:
        return ElementTree.fromstring(text)  # noqa: S314  entities are refused above
    except (ElementTree.ParseError, ValueError) as error:
        raise DataError(f"{file} is not valid XML ({error}). Correct, remove or exclude it.") from error


def parse_number(value: Any, place: str) -> float:
    """Parse a finite number.

    Args:
        value: a number or a text.
        place: where it stands, for the message.

    Raises:
        DataError: it is none.
    """
    try:
        number = math.nan if isinstance(value, bool) else float(value)
    except (TypeError, ValueError, OverflowError):
        number = math.nan
    if not math.isfinite(number):
        raise DataError(f"{place}: {str(value)[:40]!r} is not a number. Correct it.")
    return number


def pair_numbers(values: Any, place: str) -> tuple[tuple[float, float], ...]:
    """Parse a flat list of x and y into points.

    Raises:
        DataError: it has an odd length, or a value is not a number.
    """
    if not isinstance(values, list) or len(values) % 2:
        raise DataError(f"{place}: x and y do not pair up. Correct the points.")
    numbers = [parse_number(value, place) for value in values]
    return tuple(zip(numbers[::2], numbers[1::2], strict=True))


def make_polygon(points: tuple[tuple[float, float], ...], place: str, *, relative: bool = False) -> Region:
    """Make a polygon of at least three points.

    Raises:
        DataError: there are fewer.
    """
    if len(points) < 3:
        raise DataError(f"{place}: a polygon has {len(points)} points; it needs 3. Correct it.")
    return Region("polygon", points, relative)


def make_box(x0: float, y0: float, x1: float, y1: float, *, relative: bool = False) -> Region:
    """Make a box of two opposite corners."""
    return Region("box", ((x0, y0), (x1, y1)), relative)
