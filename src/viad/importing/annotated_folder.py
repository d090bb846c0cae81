"""Reading a folder whose images have annotation files: labels and masks from regions, splits from folder names."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from viad.artifacts.images import EXIF_ORIENTATION, write_image
from viad.errors import DataError
from viad.importing.annotation_files import Annotation
from viad.importing.annotations import AnnotationSet, find_annotations, shorten
from viad.importing.folder_words import NEUTRAL_WORDS, NORMAL_WORDS, SPLIT_WORDS, normalize_name
from viad.importing.layouts import Picture
from viad.importing.regions import Region, draw_regions

REGION_MASK_FOLDER = "masks_of_regions"  # of the masks made here; the importer copies them under this name


@dataclass(frozen=True)
class AnnotatedFolder:
    """The images of an annotated folder.

    Attributes:
        pictures: in the order of their paths; the masks made of regions have absolute paths.
        left_out: files that are neither images nor annotations.
        notes: sentences for the user.
        mask_kind: yes, boxes (some masks are made of boxes) or no: the dataset's `facts: masks`.
    """

    pictures: list[Picture]
    left_out: list[str]
    notes: list[str]
    mask_kind: str


def read_annotated_folder(
    folder: Path,
    masks: Path,
    normal: Sequence[str] = (),
    *,
    unannotated: str | None = None,
    exclude: Sequence[str] = (),
    splits: Mapping[str, str] | None = None,
) -> AnnotatedFolder | None:
    """Read the images of a folder with annotation files; None if it has none.

    An image with a region is anomalous, of the defect type that is the region's class, unless the class is a word for
    normal. An image whose own annotation file holds no region is normal, and so is one in a folder of normal images.

    Args:
        folder: the tree.
        masks: a folder for the masks made of regions.
        normal: further names of classes and folders that are normal.
        unannotated: normal if images without an annotation are normal; None if it is not known what they are.
        exclude: folders and files to leave out.
        splits: further names of folders that are splits.

    Raises:
        DataError: annotations are unreadable, contradict images or folders, or leave an image without a label.
    """
    annotated = find_annotations(folder, exclude)
    if annotated is None:
        return None
    reader = _Reader(folder, masks / REGION_MASK_FOLDER, annotated, normal, splits or {})
    return reader.read(unannotated)


class _Reader:
    """Makes the pictures of an annotated folder, and collects faults and notes meanwhile."""

    def __init__(
        self, folder: Path, masks: Path, annotated: AnnotationSet, normal: Sequence[str], splits: Mapping[str, str]
    ) -> None:
        self.folder, self.masks, self.annotated = folder, masks, annotated
        self.splits = SPLIT_WORDS | {normalize_name(name): split for name, split in splits.items()}
        self.folder_words = NORMAL_WORDS | {normalize_name(name) for name in normal}
        self.class_words = (NORMAL_WORDS - {"0"}) | {normalize_name(name) for name in normal}
        self.clipped: list[str] = []
        self.without_area: list[str] = []
        self.regions = self.boxes = 0
        self.roots = {root for image in annotated.images if (root := self._find_root(image)) is not None}
        # Folders that hold a folder of normal images: what lies beside that is a defect type.
        self.labelled = {
            "/".join(image.parts[:i]) or "."
            for image in annotated.images
            for i, part in enumerate(image.parts[:-1])
            if normalize_name(part) in self.folder_words
        }

    def read(self, unannotated: str | None) -> AnnotatedFolder:
        pictures, unknown, contradictions = [], [], []
        for image in self.annotated.images:
            annotations = self.annotated.by_image.get(image, [])
            classes = [(name, region) for own in annotations for name, region in own.regions]
            defects = [(name, region) for name, region in classes if normalize_name(name) not in self.class_words]
            kind = self._find_kind(image)
            if defects and kind == "normal":
                contradictions.append(image.as_posix())
            elif defects:
                pictures.append(self._make_anomalous(image, annotations, defects))
            elif kind and kind != "normal":
                pictures.append(self._make(image, 1, annotations, defect=kind))
            elif kind or classes or any(own.checked for own in annotations) or unannotated == "normal":
                pictures.append(self._make(image, 0, annotations))
            else:
                unknown.append(image.as_posix())
        if contradictions:
            raise DataError(
                f"{self.folder}: {len(contradictions)} images lie in a folder of normal images, but have annotated "
                f"defects: {shorten(contradictions)}. Move them or correct their annotations."
            )
        if unknown:
            raise DataError(
                f"{self.folder}: {len(unknown)} of {len(self.annotated.images)} images have no annotation "
                f"({self.annotated.format_name}): {shorten(unknown)}. If they are normal, say so with "
                "--unannotated normal; otherwise leave them out with --exclude."
            )
        if all(picture.label for picture in pictures):
            raise DataError(f"{self.folder}: no normal image among {len(pictures)}. Add images without a defect.")
        masked = any(picture.mask for picture in pictures)
        mask_kind = "boxes" if self.boxes and masked else "yes" if masked else "no"
        left_out = [file.as_posix() for file in self.annotated.others]
        return AnnotatedFolder(pictures, left_out, self._describe(pictures), mask_kind)

    def _describe(self, pictures: Sequence[Picture]) -> list[str]:
        annotated = sum(image in self.annotated.by_image for image in self.annotated.images)
        notes = [
            f"Annotations in the format {self.annotated.format_name} for {annotated} of {len(pictures)} images, with "
            f"{self.regions} regions of defects."
        ]
        if self.boxes:
            notes.append(
                f"{self.boxes} of these regions are boxes, which contain normal pixels too: pixel-level metrics are "
                "only rough."
            )
        if self.clipped:
            notes.append(
                f"Regions beyond the border were clipped in {len(self.clipped)} images: {shorten(self.clipped)}."
            )
        if self.without_area:
            notes.append(
                f"{len(self.without_area)} images have no mask, since their annotations hold points or lines: "
                f"{shorten(self.without_area)}."
            )
        return notes

    def _make_anomalous(
        self, image: PurePosixPath, annotations: Sequence[Annotation], defects: Sequence[tuple[str, Region | None]]
    ) -> Picture:
        regions = [region for _, region in defects if region is not None]
        self.regions += len(defects)
        self.boxes += sum(region.kind == "box" for region in regions)
        mask = None
        if len(regions) < len(defects):
            self.without_area.append(image.as_posix())
        else:
            mask = self._write_mask(image, annotations, regions)
        return self._make(image, 1, annotations, defect="-".join(sorted({name for name, _ in defects})), mask=mask)

    def _write_mask(
        self, image: PurePosixPath, annotations: Sequence[Annotation], regions: Sequence[Region]
    ) -> PurePosixPath | None:
        size = _read_size(self.folder / image)
        if size is None:
            return None  # unreadable: reported when all files are checked
        for annotation in annotations:
            if annotation.size not in (None, size):
                raise DataError(
                    f"{annotation.file}: annotated image size {annotation.size[0]}x{annotation.size[1]} does not match "
                    f"image size {size[0]}x{size[1]} ({image}). Use the images that were annotated."
                )
        try:
            mask, clipped = draw_regions(regions, size[1], size[0])
        except DataError as error:
            raise DataError(f"{annotations[0].file}, {image}: {error}.") from error
        if clipped:
            self.clipped.append(image.as_posix())
        path = self.masks / f"{image}.png"
        write_image(mask, path)
        return PurePosixPath(path.resolve().as_posix())

    def _make(
        self,
        image: PurePosixPath,
        label: int,
        annotations: Sequence[Annotation],
        *,
        defect: str = "",
        mask: PurePosixPath | None = None,
    ) -> Picture:
        root = self._find_root(image)
        split = self._find_split(image, annotations)
        return Picture(
            image=image,
            label=label,
            category="-".join(root) if root and len(self.roots) > 1 else "all",
            mask=mask,
            defect=defect,
            split="reserve" if label and split == "train" else split,
        )

    def _find_split(self, image: PurePosixPath, annotations: Sequence[Annotation]) -> str:
        """Find the split by the folders, or else by the name of an annotation file of many images."""
        for part in image.parts[:-1]:
            if split := self.splits.get(_strip_year(part)):
                return split
        words = [
            word
            for annotation in annotations
            if not annotation.checked
            for word in map(_strip_year, re.split(r"[._-]", annotation.file.stem))
        ]
        splits = {self.splits[word] for word in words if word in self.splits}
        if len(splits) > 1:
            raise DataError(f"{self.folder}: {image} is annotated in several splits: {', '.join(sorted(splits))}.")
        return splits.pop() if splits else ""

    def _find_root(self, image: PurePosixPath) -> tuple[str, ...] | None:
        """Find the folders above the split or the folder of normal images: the category."""
        for i, part in enumerate(image.parts[:-1]):
            word = _strip_year(part)
            if word in self.splits or normalize_name(part) in self.folder_words:
                return tuple(part for part in image.parts[:i] if normalize_name(part) not in NEUTRAL_WORDS)
        return None

    def _find_kind(self, image: PurePosixPath) -> str:
        """Find what the folders say: normal, the name of a defect folder beside normal ones, or nothing."""
        if any(normalize_name(part) in self.folder_words for part in image.parts[:-1]):
            return "normal"
        for i, part in enumerate(image.parts[:-1]):
            above = "/".join(image.parts[:i]) or "."
            neutral = normalize_name(part) in NEUTRAL_WORDS or _strip_year(part) in self.splits
            if above in self.labelled and not neutral:
                return part
        return ""


def _strip_year(part: str) -> str:
    """Write `train2017` as `train`."""
    return re.sub(r"_?\d+$", "", normalize_name(part))


def _read_size(path: Path) -> tuple[int, int] | None:
    """Read width and height as displayed; None if the image is unreadable."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(EXIF_ORIENTATION, 1) >= 5
            return (image.height, image.width) if turned else (image.width, image.height)
    except (OSError, ValueError, Image.DecompressionBombError):
        return None
