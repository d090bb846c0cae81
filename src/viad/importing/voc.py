"""Pascal VOC: an XML an image, with boxes and, as some tools write it, polygons.

Its first pixel has the number 1, and its boxes include their last pixel. Tools that count from 0 shift boxes by one.
"""

from pathlib import PurePosixPath
from xml.etree.ElementTree import Element

from viad.errors import DataError
from viad.importing.annotation_files import Annotation, make_box, make_polygon, parse_number
from viad.importing.regions import Region


def is_voc(root: Element) -> bool:
    """Tell whether an XML file is Pascal VOC."""
    return root.tag == "annotation"


def read_voc(root: Element, file: PurePosixPath) -> Annotation:
    """Read the annotation of one image, which has the name of its XML file.

    Raises:
        DataError: an object has no name or no valid box.
    """
    sides = [parse_number(root.findtext(f"size/{side}") or 0, f"{file}, {side}") for side in ("width", "height")]
    annotation = Annotation(file, file.stem, by_stem=True)
    if all(sides):  # some tools write 0
        annotation.size = int(sides[0]), int(sides[1])
    for number, entry in enumerate(root.iter("object"), 1):
        place = f"{file}, object {number}"
        name = (entry.findtext("name") or "").strip()
        if not name:
            raise DataError(f"{place}: no name. Add it.")
        annotation.regions.append((name, _read_region(entry, place)))
    return annotation


def _read_region(entry: Element, place: str) -> Region:
    polygon = entry.find("polygon")
    if polygon is not None and polygon.find("x1") is not None:
        count = sum(child.tag.startswith("x") for child in polygon)
        points = [
            (
                parse_number(polygon.findtext(f"x{i}"), f"{place}, x{i}") - 1,
                parse_number(polygon.findtext(f"y{i}"), f"{place}, y{i}") - 1,
            )
            for i in range(1, count + 1)
        ]
        return make_polygon(tuple(points), place)
    box = [parse_number(entry.findtext(f"bndbox/{key}"), f"{place}, {key}") for key in ("xmin", "ymin", "xmax", "ymax")]
    if box[0] > box[2] or box[1] > box[3]:
        raise DataError(f"{place}: the box ends before it begins. Correct it.")
    return make_box(box[0] - 1, box[1] - 1, box[2], box[3])
