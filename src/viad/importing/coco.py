"""COCO (https://cocodataset.org/#format-data): one JSON of many images, with boxes, polygons and run-length codes."""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from viad.errors import DataError
from viad.importing.annotation_files import Annotation, make_box, make_polygon, pair_numbers, parse_number
from viad.importing.regions import Region


def is_coco(content: Any) -> bool:
    """Tell whether the content of a JSON file is COCO."""
    return isinstance(content, dict) and all(isinstance(content.get(key), list) for key in ("images", "annotations"))


def read_coco(content: dict[str, Any], file: PurePosixPath) -> list[Annotation]:
    """Read the annotations of all images that the file lists.

    An image without a region is listed, not declared normal: it may not have been annotated yet.

    Raises:
        DataError: a value is missing or invalid.
    """
    categories = content.get("categories") or []
    if not isinstance(categories, list):
        raise DataError(f"{file}: `categories` is not a list. Export it again.")
    names = {_get(c, "id", f"{file}, categories"): str(c.get("name") or "") for c in categories}
    images: dict[Any, Annotation] = {}
    for number, image in enumerate(content["images"]):
        place = f"{file}, images[{number}]"
        key = _get(image, "id", place)
        if key in images:
            raise DataError(f"{place}: two images have the id {key}. Correct the ids.")
        size = None
        if image.get("width") and image.get("height"):
            size = int(parse_number(image["width"], place)), int(parse_number(image["height"], place))
        images[key] = Annotation(file, str(_get(image, "file_name", place)), size=size, checked=False)
    for number, annotation in enumerate(content["annotations"]):
        place = f"{file}, annotations[{number}]"
        image_id, category = _get(annotation, "image_id", place), _get(annotation, "category_id", place)
        if image_id not in images:
            raise DataError(f"{place}: no image has the id {image_id}. Correct it or remove the annotation.")
        if category not in names:
            raise DataError(f"{place}: no category has the id {category}. Add it to `categories`.")
        regions: list[Region | None] = [*_read_regions(annotation, place)]
        images[image_id].regions += [(names[category] or f"class_{category}", region) for region in regions or [None]]
    return list(images.values())


def _get(entry: Any, key: str, place: str) -> Any:
    if not isinstance(entry, dict) or not isinstance(entry.get(key), str | int):
        raise DataError(f"{place}: no '{key}'. Add it.")
    return entry[key]


def _read_regions(annotation: dict[str, Any], place: str) -> Iterable[Region]:
    shape, box = annotation.get("segmentation"), annotation.get("bbox")
    if isinstance(shape, dict):
        size = shape.get("size")
        if not isinstance(size, list) or len(size) != 2:
            raise DataError(f"{place}: a run-length code has no size. Export it again.")
        sides = int(parse_number(size[0], place)), int(parse_number(size[1], place))
        yield Region("runs", counts=_decode_counts(shape.get("counts"), place), size=sides)
    elif isinstance(shape, list) and shape:
        parts = shape if isinstance(shape[0], list) else [shape]
        yield from (make_polygon(pair_numbers(part, place), place) for part in parts)
    elif shape:
        raise DataError(f"{place}: the segmentation is neither a list nor a run-length code. Export it again.")
    elif box:
        if not isinstance(box, list) or len(box) != 4:
            raise DataError(f"{place}: the box has not x, y, width and height. Correct it.")
        x, y, width, height = (parse_number(value, place) for value in box)
        if width < 0 or height < 0:
            raise DataError(f"{place}: the box has a negative side. Correct it.")
        yield make_box(x, y, x + width, y + height)


def _decode_counts(counts: Any, place: str) -> tuple[int, ...]:
    """Decode the lengths of runs: a list, or COCO's text of 5 bits a character, differences to the last but one.

    pycocotools reads beyond its memory where the text is too short, so it is decoded and checked here.
    """
    if isinstance(counts, list):
        return tuple(int(parse_number(count, place)) for count in counts)
    if not isinstance(counts, str) or not all(48 <= ord(character) < 112 for character in counts):
        raise DataError(f"{place}: the run-length code is damaged. Export it again.")
    found: list[int] = []
    value = shift = 0
    for character in counts:
        bits = ord(character) - 48
        value |= (bits & 0x1F) << shift
        shift += 5
        if bits & 0x20:
            continue
        if bits & 0x10:
            value -= 1 << shift
        found.append(value + (found[-2] if len(found) > 2 else 0))
        value = shift = 0
    if shift:
        raise DataError(f"{place}: the run-length code is cut off. Export it again.")
    return tuple(found)
