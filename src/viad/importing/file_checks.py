"""Opening every file of an import once: all faulty ones at once, and doubtful masks, sizes and bit depths."""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from viad.artifacts.images import count_frames, measure_bits, read_image
from viad.errors import DataError
from viad.importing.folder_contents import LeftOut, shorten_list
from viad.importing.import_options import ImportOptions
from viad.importing.layouts import Picture
from viad.importing.mask_files import LARGEST_GROWTH, MOST_MARKED, measure_mask

FULL_BITS = 16
FAULTY_MASK = "its mask cannot be imported"
JPEG_SUFFIXES = (".jpg", ".jpeg")
FEW_NORMALS = 20  # of a category, without a warning
LEAST_VALIDATION = 4  # training normals without published validation images, so that some can be validation images


@dataclass
class CheckedFiles:
    """The intact pictures, the others with the reason, what the masks and sizes are, and the bits that images use."""

    pictures: list[Picture] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)
    sizes: Counter[str] = field(default_factory=Counter)
    bits: int = FULL_BITS
    warnings: list[str] = field(default_factory=list)


def check_files(folder: Path, pictures: Sequence[Picture], options: ImportOptions) -> CheckedFiles:
    """Open every file.

    Args:
        folder: that the paths are relative to.
        pictures: to check.
        options: whether faulty files are left out, and the level of an anomalous pixel.

    Raises:
        DataError: files are faulty and not to be skipped, or no normal image is left.
    """
    checked = CheckedFiles()
    deepest = 0
    faulty_files: list[LeftOut] = []
    for picture in pictures:
        faults = _find_faults(folder, picture, options.mask_from, checked.sizes)
        if faults:
            faulty_files += faults
            continue
        checked.pictures.append(picture)
        deepest = max(deepest, measure_bits(folder / picture.image) or 0)
        for file in (picture.image, *picture.masks):
            if (frames := count_frames(folder / file)) > 1:
                reason = f"pages 2 to {frames} of a file, of which the first page is used"
                checked.left_out.append(LeftOut(file, reason))
    faulty = len(pictures) - len(checked.pictures)
    if faulty and not options.skip_unreadable:
        lines = [f"  {fault.path}: {fault.reason}" for fault in faulty_files if fault.reason != FAULTY_MASK]
        raise DataError(
            f"{folder}: {faulty} images cannot be imported.\n{shorten_list(lines, 'files')}\n"
            "Replace them with intact copies, or leave these images out with --skip-unreadable."
        )
    checked.left_out += faulty_files
    if not any(picture.label == 0 for picture in checked.pictures):
        raise DataError(f"{folder}: no intact normal image is left. Replace the faulty files with intact copies.")
    checked.bits = deepest or FULL_BITS
    if deepest not in (0, FULL_BITS):
        checked.warnings.append(
            f"The 16-bit images use {deepest} bits, so that {2**deepest - 1} becomes white (dataset.options.bits)."
        )
    checked.warnings += _describe_masks(folder, checked.pictures, options.mask_from)
    return checked


def _find_faults(folder: Path, picture: Picture, mask_from: int, sizes: Counter[str]) -> list[LeftOut]:
    """Find what is wrong with the files of a picture, and count its size if nothing is."""
    faults = []
    shape: tuple[int, ...] | None = None
    try:
        _refuse_empty(folder / picture.image)
        pixels = read_image(folder / picture.image)
        shape = pixels.shape[:2]
    except DataError as error:
        faults.append(LeftOut(picture.image, str(error)))
    marked = not picture.masks
    for file in picture.masks:
        try:
            _refuse_empty(folder / file)
            mask = measure_mask(folder / file, mask_from)
        except DataError as error:
            faults.append(LeftOut(file, str(error)))
            marked = True
            continue
        marked |= mask.marked > 0
        if shape is not None and mask.shape != shape:
            reason = f"mask size {_name_size(mask.shape)} does not match image size {_name_size(shape)}"
            faults.append(LeftOut(file, f"{reason} ({picture.image}). Resize the mask or remove it."))
    if not marked:
        reason = f"the mask is empty, but {picture.image} is {picture.defect}. Correct one of them."
        faults.append(LeftOut(picture.masks[0], reason))
    if faults and all(fault.path != picture.image for fault in faults):
        faults.append(LeftOut(picture.image, FAULTY_MASK))
    if shape is not None and not faults:
        sizes[f"{_name_size(shape)} {'grey' if pixels.ndim == 2 else 'colour'}"] += 1
    return faults


def _refuse_empty(path: Path) -> None:
    if path.is_file() and path.stat().st_size == 0:
        raise DataError(f"{path} is empty (0 bytes).")


def _name_size(shape: Sequence[int]) -> str:
    return f"{shape[1]}x{shape[0]}"


def _describe_masks(folder: Path, pictures: Sequence[Picture], mask_from: int) -> list[str]:
    """Describe the masks that may not mean what they seem to."""
    masks = [mask for picture in pictures for mask in picture.masks]
    measured = {mask: measure_mask(folder / mask, mask_from) for mask in masks}
    grown = [mask for mask in masks if measured[mask].growth > LARGEST_GROWTH]
    jpeg = [mask for mask in masks if mask.suffix.lower() in JPEG_SUFFIXES]
    large = [mask for mask in masks if measured[mask].marked > MOST_MARKED]
    normal = [mask for picture in pictures if picture.label == 0 for mask in picture.masks]
    warnings = []
    if jpeg:
        warnings.append(f"{_count(jpeg, 'mask')} JPEG: compression blurs the edges. Consider --mask-from 128.")
    if grown:
        areas = [measured[mask].marked * math.prod(measured[mask].shape) for mask in grown]
        factor = sum(areas) / sum(area / measured[mask].growth for area, mask in zip(areas, grown, strict=True))
        warnings.append(
            f"{_count(grown, 'mask')} grey at the edges: --mask-from {mask_from} marks {factor:.1f} times as "
            "many pixels as --mask-from 128."
        )
    if large:
        most = max(measured[mask].marked for mask in large)
        warnings.append(
            f"{_count(large, 'mask')} marking most of the image, up to {most:.0%}. Check whether black and white are "
            "exchanged, the background of a palette is not entry 0, or a transparent background is white."
        )
    if normal:
        warnings.append(
            f"{_count(normal, 'mask')} marking defects on images labelled normal. The audit lists them as "
            "mask_on_normal, and `dvc exp run` stops at them: correct the label or the mask."
        )
    return warnings


def _count(files: Sequence[PurePosixPath], noun: str) -> str:
    return f"{len(files)} {noun}{'s' if len(files) > 1 else ''} (such as {files[0]})"


def describe_thin_data(pictures: Sequence[Picture]) -> list[str]:
    """Describe categories with too few images to train, validate or measure."""
    warnings = []
    for category in sorted({picture.category for picture in pictures}):
        members = [picture for picture in pictures if picture.category == category]
        normals = [picture for picture in members if picture.label == 0]
        if len(normals) < FEW_NORMALS:
            warnings.append(f"{category}: only {len(normals)} normal images; detectors need at least {FEW_NORMALS}.")
        if len(normals) == len(members):
            warnings.append(f"{category}: no anomalies. Training and thresholds work, but nothing can be measured.")
        training = sum(picture.split in ("", "train") for picture in normals)
        if training < LEAST_VALIDATION and not any(picture.split == "val" for picture in normals):
            warnings.append(f"{category}: {training} normal images for training leave none for validation.")
    return warnings
