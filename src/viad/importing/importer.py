"""`viad import`: importing a user's images as a dataset, from a folder tree or a CSV."""

import csv
import filecmp
import re
import shutil
from collections import Counter
from collections.abc import Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from viad.artifacts.atomic import replacing
from viad.artifacts.dvc_adapter import DvcError, Repository
from viad.artifacts.images import read_image, read_mask
from viad.datasets.imported import TABLE_CSV
from viad.errors import ConfigError, DataError
from viad.importing.annotated_folder import MASK_FOLDER, read_annotated_folder
from viad.importing.contact_sheet import draw_contact_sheet
from viad.importing.layouts import Picture, read_folder
from viad.importing.tables import read_table

IMPORT_FOLDER, DATASET_CONF, DATASET_MODULE = (
    Path("data/imported"),
    Path("conf/dataset"),
    "src/viad/datasets/imported.py",
)
DEFAULT_SPLIT = "half_reserve"  # of conf/dataset/split
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
TABLE_COLUMNS = ["sample", "image", "mask", "label", "defect", "split", "group", "domain", "category"]
ANNOTATION_SUFFIXES = {".json", ".xml", ".yaml", ".yml"}
YAML_COMMENT = "# Imported by `viad import`; the images are versioned in {folder}.dvc.\n"


def import_images(
    path: Path,
    name: str,
    normal: Sequence[str] = (),
    *,
    defects: Sequence[str] = (),
    unannotated: str | None = None,
    dry_run: bool = False,
) -> str:
    """Import a folder tree, annotated or not, or a CSV as the dataset `name`, and describe the images.

    Writes data/imported/<name>/ (the files and their table), its .dvc file, a contact sheet and
    conf/dataset/<name>.yaml, each whole or not at all; with `dry_run` only the contact sheet.

    Args:
        path: a folder, or a CSV whose paths are relative to its members folder.
        name: of the dataset: lower-case letters, digits and underscores.
        normal: further names of folders, or labels of a CSV, of normal images.
        defects: labels of a CSV that are defect types.
        unannotated: normal if images without an annotation are normal, in a folder where others have one.
        dry_run: only describe the images.

    Returns:
        a text for the user.

    Raises:
        ConfigError: the name is invalid or belongs to another dataset.
        DataError: the the layout is not recognised, or files are missing, unreadable or contradictory.
    """
    _check_name(name)
    if not path.exists():
        raise DataError(f"{path} does not exist. Name a folder of images, or a CSV.")
    if path.suffix.lower() in ANNOTATION_SUFFIXES and path.is_file():
        raise DataError(f"{path} is not a CSV. To import annotated images, name the folder above them and this file.")
    with TemporaryDirectory() as masks:
        mask_kind = None
        notes: list[str] = []
        if not path.is_dir():
            left_out = []
            pictures, notes = read_table(path, normal, defects)
        elif annotated := read_annotated_folder(path, Path(masks), normal, unannotated=unannotated):
            pictures, left_out, notes = annotated.pictures, annotated.left_out, annotated.notes
            mask_kind = annotated.mask_kind
        else:
            pictures, left_out = read_folder(path, normal)
        folder = path if path.is_dir() else path.parent
        sizes = _check_files(folder, pictures)
        out = IMPORT_FOLDER / name
        sheet = out.with_name(f"{name}.jpg")
        draw_contact_sheet(folder, pictures, sheet)
        text = _summarize(pictures, sizes) + (f"\nIgnored: {', '.join(left_out)}" if left_out else "")
        text += "".join(f"\n{note}" for note in notes)
        text += f"\nContact sheet: {sheet}\n"
        if dry_run:
            return text + "Nothing was imported (--dry-run).\n"
        with replacing(out) as aside:
            _copy_files(folder, pictures, aside)
    _version_dataset(out, name, pictures, mask_kind)
    return text + (
        f"Dataset {name}: conf/dataset/{name}.yaml and {out}.dvc, staged for the next commit. Try it:\n"
        f"  dvc exp run -S dataset={name}\n"
    )


def _check_name(name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(f"--name {name}: use lower-case letters, digits and underscores, beginning with a letter.")
    existing = DATASET_CONF / f"{name}.yaml"
    if existing.is_file() and yaml.safe_load(existing.read_text(encoding="utf-8")).get("code") != DATASET_MODULE:
        raise ConfigError(f"--name {name}: {existing} is another dataset. Choose another name.")


def _check_files(folder: Path, pictures: Sequence[Picture]) -> Counter[str]:
    """Open every file once, and count the images by size and colour."""
    sizes: Counter[str] = Counter()
    for picture in pictures:
        pixels = read_image(folder / picture.image)
        sizes[f"{pixels.shape[1]}x{pixels.shape[0]} {'grey' if pixels.ndim == 2 else 'colour'}"] += 1
        if picture.mask is None:
            continue
        mask = read_mask(folder / picture.mask)
        if mask.shape != pixels.shape[:2]:
            raise DataError(
                f"{picture.mask}: mask size {mask.shape[1]}x{mask.shape[0]} does not match image size "
                f"{pixels.shape[1]}x{pixels.shape[0]} ({picture.image}). Resize the mask or remove it."
            )
        if not mask.any():
            raise DataError(f"{picture.mask} is empty, but {picture.image} is {picture.defect}. Correct one of them.")
    return sizes


def _copy_files(folder: Path, pictures: Sequence[Picture], out: Path) -> None:
    """Copy the files to their relative paths, and write the table."""
    for picture in pictures:
        for file in (picture.image, picture.mask):
            if file is not None:
                target = out / _make_inner_path(file)
                target.parent.mkdir(parents=True, exist_ok=True)
                if target.exists() and not filecmp.cmp(folder / file, target, shallow=False):
                    raise DataError(f"{folder / file}: another file has the same name. Rename one of them.")
                shutil.copyfile(folder / file, target)
    with (out / TABLE_CSV).open("w", newline="", encoding="utf-8") as opened:
        writer = csv.DictWriter(opened, TABLE_COLUMNS, lineterminator="\n")
        writer.writeheader()
        for sample, picture in zip(_make_ids(pictures), pictures, strict=True):
            row = {column: getattr(picture, column) for column in TABLE_COLUMNS[3:]}
            mask = "" if picture.mask is None else _make_inner_path(picture.mask).as_posix()
            writer.writerow(
                {"sample": sample, "image": _make_inner_path(picture.image).as_posix(), "mask": mask, **row}
            )


def _make_inner_path(file: PurePosixPath) -> PurePosixPath:
    """Make a path below the imported folder, also for files outside the folder of the CSV and masks made of regions."""
    if file.is_absolute() and MASK_FOLDER in file.parts:
        file = PurePosixPath(*file.parts[file.parts.index(MASK_FOLDER) :])
    return PurePosixPath(*(part for part in file.parts if part not in ("..", "/", ".")))


def _make_ids(pictures: Sequence[Picture]) -> list[str]:
    """Make ids: the path without its suffix, or with it where two files differ in the suffix alone."""
    stems = [_make_inner_path(picture.image).with_suffix("").as_posix() for picture in pictures]
    repeated = {name for name, count in Counter(stems).items() if count > 1}
    return [
        _make_inner_path(p.image).as_posix() if name in repeated else name
        for name, p in zip(stems, pictures, strict=True)
    ]


def _version_dataset(folder: Path, name: str, pictures: Sequence[Picture], mask_kind: str | None) -> None:
    """Let DVC version the folder, write the yaml, and stage both, since `dvc exp run` ignores files unknown to Git."""
    try:
        with Repository() as repo:
            conf = _write_yaml(name, pictures, repo.add_folder(folder), mask_kind)
            repo.stage_files([folder.with_name(f"{name}.dvc"), conf])
    except DvcError as error:
        raise DataError(f"{folder}: DVC cannot add it ({error}). Correct the cause and import it again.") from error


def _write_yaml(name: str, pictures: Sequence[Picture], md5: str, mask_kind: str | None) -> Path:
    folder = IMPORT_FOLDER / name
    dataset: dict[str, Any] = {
        "defaults": [{"split": DEFAULT_SPLIT}, "_self_"],
        "name": name,
        "code": DATASET_MODULE,
        "categories": sorted({picture.category for picture in pictures}),
        "source": {"folder": folder.as_posix(), "md5": md5},
        "options": {},
        "doubtful_defects": [],
    }
    if not _can_fill_reserve(pictures):
        dataset["split"] = {"reserve_anomalies": 0}
    dataset["facts"] = {
        "title": name, "paper": "", "licence": "yours", "shareable": False, "size": "",
        "masks": mask_kind or ("yes" if any(picture.mask for picture in pictures) else "no"),
        "serves": "your own parts", "attribution": "", "archive": None, "counts": None,
    }  # fmt: skip
    with replacing(DATASET_CONF / f"{name}.yaml") as aside:
        text = yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True)
        aside.write_text(YAML_COMMENT.format(folder=folder) + text, encoding="utf-8")
    return DATASET_CONF / f"{name}.yaml"


def _can_fill_reserve(pictures: Sequence[Picture]) -> bool:
    """Tell whether test anomalies can go to the reserve: there are at least ten, and no image is in a reserve yet."""
    return sum(picture.label for picture in pictures) >= 10 and all(picture.split != "reserve" for picture in pictures)


def _summarize(pictures: Sequence[Picture], sizes: Counter[str]) -> str:
    """Summarize the number of images by category, split and kind, in words."""
    lines = []
    for category in sorted({picture.category for picture in pictures}):
        members = [picture for picture in pictures if picture.category == category]
        lines.append(f"Category {category}: {len(members)} images")
        for split in sorted({picture.split for picture in members}):
            part = [picture for picture in members if picture.split == split]
            kinds = Counter(picture.defect or "normal" for picture in part)
            lines.append(
                f"  {split or 'no split'}: " + ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
            )
        masked = sum(picture.mask is not None for picture in members)
        lines.append(f"  masks: {masked} of {sum(picture.label for picture in members)} anomalous images")
    common = ", ".join(f"{size} ({count})" for size, count in sizes.most_common(5))
    return "\n".join([*lines, f"Sizes: {common}" + (f" and {len(sizes) - 5} others" if len(sizes) > 5 else "")])
