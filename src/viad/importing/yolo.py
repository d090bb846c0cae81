"""YOLO: a text file an image, a line an object, as a box or a polygon in shares of the image's sides."""

from collections.abc import Sequence
from pathlib import Path, PurePosixPath

import yaml

from viad.errors import DataError
from viad.importing.annotation_files import Annotation, make_box, make_polygon, pair_numbers, parse_number, read_text
from viad.importing.regions import Region

CLASS_LISTS = {"classes.txt", "obj.names", "_darknet.labels"}


def looks_like_yolo(root: Path, file: PurePosixPath) -> bool:
    """Tell whether the first line of a text file holds an object: at least five numbers."""
    try:
        values = read_text(root, file).split("\n", 1)[0].split()
        return len(values) >= 5 and all(parse_number(value, "") is not None for value in values)
    except DataError:
        return False


def read_class_names(root: Path, files: Sequence[PurePosixPath]) -> dict[PurePosixPath, dict[int, str]]:
    """Read the class names of each folder that has `names` in a yaml, or a list of classes.

    Raises:
        DataError: a list of names cannot be read.
    """
    found: dict[PurePosixPath, dict[int, str]] = {}
    for file in files:
        if file.name.lower() in CLASS_LISTS:
            found[file.parent] = dict(enumerate(line.strip() for line in read_text(root, file).splitlines()))
        elif file.suffix.lower() in (".yaml", ".yml"):
            try:
                content = yaml.safe_load(read_text(root, file))
            except yaml.YAMLError as error:
                raise DataError(f"{file} is not valid YAML ({error}). Correct, remove or exclude it.") from error
            names = content.get("names") if isinstance(content, dict) else None
            if isinstance(names, list):
                names = dict(enumerate(names))
            if isinstance(names, dict):
                if "kpt_shape" in content:
                    raise DataError(f"{file} describes key points, which are not regions. Export boxes or segments.")
                found[file.parent] = {int(parse_number(key, f"{file}, names")): str(n) for key, n in names.items()}
    return found


def read_yolo(root: Path, file: PurePosixPath, names: dict[PurePosixPath, dict[int, str]]) -> Annotation:
    """Read the annotation of one image, which has the name of its text file.

    Raises:
        DataError: a line is not a box or a polygon, or its class has no name though others have.
    """
    own = next((names[folder] for folder in file.parents if folder in names), {})
    if not own and len(names) == 1:
        own = next(iter(names.values()))
    annotation = Annotation(file, file.stem, by_stem=True)
    for number, line in enumerate(read_text(root, file).splitlines(), 1):
        if not line.strip():
            continue
        place = f"{file}, line {number}"
        index, *values = (parse_number(value, place) for value in line.split())
        if index != int(index) or index < 0 or (own and int(index) not in own):
            raise DataError(f"{place}: no class has the number {index:g}. Correct it, or the names of the classes.")
        name = own.get(int(index)) or f"class_{int(index)}"
        annotation.regions.append((name, _make_region(values, place)))
    return annotation


def _make_region(values: list[float], place: str) -> Region:
    if len(values) == 4:
        x, y, width, height = values
        if width < 0 or height < 0:
            raise DataError(f"{place}: the box has a negative side. Correct it.")
        return make_box(x - width / 2, y - height / 2, x + width / 2, y + height / 2, relative=True)
    if len(values) == 5:
        raise DataError(f"{place}: a sixth value, such as the confidence of a prediction. Remove it.")
    if len(values) < 6 or len(values) % 2:
        raise DataError(f"{place}: {len(values) + 1} values are neither a box (5) nor a polygon. Correct the line.")
    return make_polygon(pair_numbers(values, place), place, relative=True)
