"""LabelMe (https://github.com/wkentaro/labelme): a JSON an image, with polygons, boxes, circles and masks."""

import base64
import io
import math
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

from viad.errors import DataError
from viad.importing.annotation_files import Annotation, make_box, make_polygon, pair_numbers, parse_number
from viad.importing.regions import Region

WITHOUT_AREA = {"point", "points", "line", "linestrip"}
CIRCLE_CORNERS = 72
LARGEST_IMAGE = 1 << 30  # of an image


def is_labelme(content: Any) -> bool:
    """Tell whether the content of a JSON file is LabelMe's."""
    return isinstance(content, dict) and isinstance(content.get("shapes"), list) and "imagePath" in content


def read_labelme(content: dict[str, Any], file: PurePosixPath) -> Annotation:
    """Read the annotation of one image.

    Raises:
        DataError: a shape has no label, is of an unknown type, or has invalid points.
    """
    annotation = Annotation(file, str(content["imagePath"] or file.stem))
    if content.get("imageWidth") and content.get("imageHeight"):
        sides = [int(parse_number(content[key], f"{file}, {key}")) for key in ("imageWidth", "imageHeight")]
        annotation.size = sides[0], sides[1]
    for number, shape in enumerate(content["shapes"]):
        place = f"{file}, shapes[{number}]"
        if not isinstance(shape, dict) or not isinstance(shape.get("label"), str) or not shape["label"].strip():
            raise DataError(f"{place}: no label. Add it.")
        annotation.regions.append((shape["label"].strip(), _read_region(shape, annotation.size, place)))
    return annotation


def _read_region(shape: dict[str, Any], size: tuple[int, int] | None, place: str) -> Region | None:
    kind = str(shape.get("shape_type") or "polygon")
    if kind in WITHOUT_AREA:
        return None
    corners = shape.get("points")
    if not isinstance(corners, list) or not all(isinstance(corner, list) and len(corner) == 2 for corner in corners):
        raise DataError(f"{place}: the points are not a list of x and y. Correct them.")
    points = pair_numbers([value for corner in corners for value in corner], place)
    if kind in ("polygon", "oriented_rectangle"):
        return make_polygon(points, place)
    if len(points) != 2:
        raise DataError(f"{place}: a {kind} has {len(points)} points; it needs 2. Correct it.")
    if kind == "rectangle":
        return make_box(*points[0], *points[1])
    if kind == "circle":
        (x, y), edge = points
        radius = math.dist((x, y), edge)
        angles = [2 * math.pi * i / CIRCLE_CORNERS for i in range(CIRCLE_CORNERS)]
        return make_polygon(tuple((x + radius * math.cos(a), y + radius * math.sin(a)) for a in angles), place)
    if kind == "mask":
        return _read_mask(shape.get("mask"), points, size, place)
    raise DataError(f"{place}: the shape '{kind}' is unknown. Use a polygon, rectangle, circle or mask.")


def _read_mask(text: Any, points: tuple[tuple[float, float], ...], size: tuple[int, int] | None, place: str) -> Region:
    """Read a mask of the part of the image between two corners, as a PNG in base64."""
    try:
        with Image.open(io.BytesIO(base64.b64decode(text, validate=True))) as image:
            part = np.asarray(image.convert("L")) > 0
    except (TypeError, ValueError, OSError, Image.DecompressionBombError) as error:
        raise DataError(f"{place}: the mask is damaged ({error}). Draw it again.") from error
    if size is None or not 0 < size[0] * size[1] <= LARGEST_IMAGE:
        raise DataError(f"{place}: a mask needs the imageWidth and imageHeight of its image. Correct them.")
    left, top = (round(value) for value in points[0])
    if left < 0 or top < 0 or top + part.shape[0] > size[1] or left + part.shape[1] > size[0]:
        raise DataError(f"{place}: the mask reaches beyond its image. Draw it again.")
    whole = np.zeros((size[1], size[0]), bool)
    whole[top : top + part.shape[0], left : left + part.shape[1]] = part
    flat = np.concatenate([[False], whole.T.ravel(), [False]])
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts = np.diff([0, *changes, whole.size])
    return Region("runs", counts=tuple(int(count) for count in counts), size=whole.shape)
