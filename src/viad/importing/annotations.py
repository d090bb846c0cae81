"""Finding the annotation files of a folder, reading them by their format, and matching them with images."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from viad.datasets.folder_trees import IMAGE_SUFFIXES
from viad.errors import DataError
from viad.importing.annotation_files import Annotation, load_json, load_xml
from viad.importing.coco import is_coco, read_coco
from viad.importing.folder_words import (
    DOUBTFUL_MASK_WORDS,
    MASK_ENDING,
    MASK_WORDS,
    NEUTRAL_WORDS,
    normalize_name,
)
from viad.importing.labelme import is_labelme, read_labelme
from viad.importing.voc import is_voc, read_voc
from viad.importing.yolo import CLASS_LISTS, looks_like_yolo, read_class_names, read_yolo

# Folders that say nothing of an image's place among the others.
PLACELESS_WORDS = (
    MASK_WORDS
    | DOUBTFUL_MASK_WORDS
    | NEUTRAL_WORDS
    | {"jpegimages", "obj_train_data", "xml", "xmls", "json", "jsons", "txt"}
)
PIXEL_CLASS_WORDS = {"segmentationclass", "segmentationobject"}  # Pascal VOC's folders of masks
LISTED_NAMES = 5  # in a message


@dataclass
class AnnotationSet:
    """The annotation files of a folder.

    Attributes:
        images: all image files, sorted.
        format_name: COCO, Pascal VOC, YOLO or LabelMe.
        by_image: the annotations of each image.
        others: files that are neither images nor part of the annotations.
    """

    images: list[PurePosixPath]
    format_name: str = ""
    by_image: dict[PurePosixPath, list[Annotation]] = field(default_factory=dict)
    others: list[PurePosixPath] = field(default_factory=list)


def find_annotations(folder: Path, exclude: Sequence[str] = ()) -> AnnotationSet | None:
    """Find and read the annotations of a folder's images; None if it has none.

    Args:
        folder: the tree.
        exclude: folders and files to leave out, by their name or path.

    Raises:
        DataError: a file cannot be read, is of a format that is not supported, or belongs to no or to several images;
            or the folder has annotations in several formats, or masks as well.
    """
    files = _list_files(folder, exclude)
    images = [file for file in files if file.suffix.lower() in IMAGE_SUFFIXES]
    found: dict[str, list[Annotation]] = {}
    for name, annotations in (
        *_read_json_files(folder, [file for file in files if file.suffix.lower() == ".json"]),
        ("Pascal VOC", _read_xml_files(folder, [file for file in files if file.suffix.lower() == ".xml"])),
        ("YOLO", _read_text_files(folder, files, images)),
    ):
        if annotations:
            found[name] = annotations
    if not found:
        return None
    if len(found) > 1:
        kinds = ", ".join(f"{name} ({len({a.file for a in annotations})} files)" for name, annotations in found.items())
        raise DataError(f"{folder}: annotations in several formats: {kinds}. Leave out all but one with --exclude.")
    _refuse_masks(folder, images)
    format_name, annotations = next(iter(found.items()))
    read = {annotation.file for annotation in annotations} | {file for file in files if _lists_classes(file)}
    others = [file for file in files if file not in read and file not in images]
    return AnnotationSet(images, format_name, _match_images(folder, annotations, images), others)


def _list_files(folder: Path, exclude: Sequence[str]) -> list[PurePosixPath]:
    unwanted = {name.strip("/") for name in exclude}
    found = []
    for path in folder.rglob("*"):
        file = PurePosixPath(path.relative_to(folder).as_posix())
        places = {*file.parts, file.as_posix(), *(parent.as_posix() for parent in file.parents)}
        hidden = any(part.startswith((".", "__MACOSX")) for part in file.parts)
        if path.is_file() and not hidden and not places & unwanted:
            found.append(file)
    return sorted(found)


def _refuse_masks(folder: Path, images: Sequence[PurePosixPath]) -> None:
    stems = {image.with_suffix("").as_posix().lower() for image in images}
    found = []
    for image in images:
        own = MASK_ENDING.sub("", image.stem)
        beside = own and own != image.stem and (image.parent / own).as_posix().lower() in stems
        if beside or any(
            normalize_name(part) in MASK_WORDS | DOUBTFUL_MASK_WORDS | PIXEL_CLASS_WORDS for part in image.parts[:-1]
        ):
            found.append(image.as_posix())
    if found:
        raise DataError(
            f"{folder}: there are annotation files and {len(found)} masks ({shorten(found)}). Leave out one of the two "
            "with --exclude."
        )


def _lists_classes(file: PurePosixPath) -> bool:
    return file.name.lower() in CLASS_LISTS or file.suffix.lower() in (".yaml", ".yml")


def _read_json_files(folder: Path, files: Sequence[PurePosixPath]) -> list[tuple[str, list[Annotation]]]:
    coco: list[Annotation] = []
    labelme: list[Annotation] = []
    for file in files:
        content = load_json(folder, file)
        if is_coco(content):
            coco += read_coco(content, file)
        elif is_labelme(content):
            labelme.append(read_labelme(content, file))
        elif tool := _name_unsupported(content):
            raise DataError(
                f"{file}: the format of {tool} is not read. Export COCO, Pascal VOC or YOLO, or exclude it."
            )
    return [("COCO", coco), ("LabelMe", labelme)]


def _name_unsupported(content: Any) -> str:
    """Name the tool of an annotation file whose format is not read; empty if it is no annotation file."""
    entries = content if isinstance(content, list) else [*content.values()] if isinstance(content, dict) else []
    first = entries[0] if entries and isinstance(entries[0], dict) else {}
    if isinstance(content, list) and "data" in first and {"annotations", "completions"} & set(first):
        return "Label Studio"
    if {"filename", "regions"} <= set(first) or (isinstance(content, dict) and "_via_img_metadata" in content):
        return "the VGG Image Annotator"
    if isinstance(content, dict) and isinstance(content.get("objects"), list) and "size" in content:
        return "Supervisely"
    return ""


def _read_xml_files(folder: Path, files: Sequence[PurePosixPath]) -> list[Annotation]:
    found = []
    for file in files:
        root = load_xml(folder, file)
        if is_voc(root):
            found.append(read_voc(root, file))
        elif root.tag == "annotations":
            raise DataError(f"{file}: CVAT's own format is not read. Export COCO, Pascal VOC or YOLO, or exclude it.")
    return found


def _read_text_files(folder: Path, files: Sequence[PurePosixPath], images: Sequence[PurePosixPath]) -> list[Annotation]:
    """Read text files as YOLO if one in a folder `labels`, or with the name of an image, holds an object."""
    stems = {image.stem.lower() for image in images}
    texts = [
        file
        for file in files
        if file.suffix.lower() == ".txt"
        and not _lists_classes(file)
        and (file.stem.lower() in stems or "labels" in map(str.lower, file.parts))
    ]
    if not any(looks_like_yolo(folder, file) for file in texts):
        return []
    names = read_class_names(folder, files)
    return [read_yolo(folder, file, names) for file in texts]


def _match_images(
    folder: Path, annotations: Sequence[Annotation], images: Sequence[PurePosixPath]
) -> dict[PurePosixPath, list[Annotation]]:
    named: dict[str, list[PurePosixPath]] = defaultdict(list)
    for image in images:
        named[image.name.lower()].append(image)
        named[image.stem.lower()].append(image)
    everything = set(images)
    matched: dict[PurePosixPath, list[Annotation]] = defaultdict(list)
    orphans: list[str] = []
    for annotation in annotations:
        found = _find_image(annotation, named, everything)
        if found is None:
            orphans.append(f"{annotation.image} ({annotation.file})")
        else:
            matched[found].append(annotation)
    if orphans:
        raise DataError(
            f"{folder}: {len(orphans)} annotated images do not exist: {shorten(orphans)}. Add the images, or remove "
            "or exclude their annotations."
        )
    doubled = [image for image, own in matched.items() if len(own) > 1 and own[0].checked]
    if doubled:
        files = ", ".join(str(annotation.file) for annotation in matched[doubled[0]])
        raise DataError(f"{folder}: {doubled[0]} has several annotation files: {files}. Leave out all but one.")
    return dict(matched)


def _find_image(
    annotation: Annotation, named: Mapping[str, Sequence[PurePosixPath]], everything: set[PurePosixPath]
) -> PurePosixPath | None:
    """Find the image by its path from the annotation or the root, or by its name where the folders correspond."""
    reference = PurePosixPath(annotation.image.replace("\\", "/"))
    if not annotation.by_stem:
        for path in (annotation.file.parent / reference, reference):
            if path in everything:
                return path
    candidates = named.get(reference.name.lower(), [])
    place = _list_place(annotation.file)
    related = [image for image in candidates if _correspond(_list_place(image), place)]
    for rule in (
        lambda image: image.as_posix().lower().endswith(reference.as_posix().lower()),
        lambda image: _list_place(image) == place,
        lambda image: image.parent == annotation.file.parent,
    ):
        if len(related) > 1:
            related = [image for image in related if rule(image)] or related
    if len(related) > 1:
        raise DataError(
            f"{annotation.file}: {annotation.image} may be {shorten(list(map(str, related)))}. Put the annotations "
            "into the folders of their images."
        )
    return related[0] if related else None


def _list_place(file: PurePosixPath) -> tuple[str, ...]:
    return tuple(word for word in map(normalize_name, file.parts[:-1]) if word not in PLACELESS_WORDS)


def _correspond(one: tuple[str, ...], other: tuple[str, ...]) -> bool:
    length = min(len(one), len(other))
    return one[:length] == other[:length]


def shorten(names: Sequence[str]) -> str:
    """List the first names, and count the others."""
    more = f" and {len(names) - LISTED_NAMES} more" if len(names) > LISTED_NAMES else ""
    return ", ".join(names[:LISTED_NAMES]) + more
