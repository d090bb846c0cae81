"""`viad import`: importing a user's images as a dataset, from a folder tree or a CSV."""

import csv
import filecmp
import re
import shutil
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import Any

import yaml

from viad.artifacts.atomic import replacing
from viad.artifacts.dvc_adapter import DvcError, Repository
from viad.datasets.imported import MASK_SEPARATOR, TABLE_CSV
from viad.errors import ConfigError, DataError
from viad.importing.annotated_folder import REGION_MASK_FOLDER, read_annotated_folder
from viad.importing.contact_sheet import draw_contact_sheet
from viad.importing.file_checks import check_files, describe_thin_data
from viad.importing.folder_contents import LeftOut, describe_left_out
from viad.importing.import_options import ImportOptions
from viad.importing.layouts import FolderLayout, Picture, read_folder
from viad.importing.safe_names import describe_names, use_safe_names
from viad.importing.tables import read_table

IMPORT_FOLDER, DATASET_CONF, DATASET_MODULE = (
    Path("data/imported"),
    Path("conf/dataset"),
    "src/viad/datasets/imported.py",
)
LEFT_OUT_CSV = "left_out.csv"  # in the imported folder: the files that are not part of the dataset
DEFAULT_SPLIT = "half_reserve"  # of conf/dataset/split
NAME_PATTERN = re.compile(r"[a-z][a-z0-9_]*")
TABLE_COLUMNS = ["sample", "image", "mask", "label", "defect", "split", "group", "domain", "category"]
ANNOTATION_SUFFIXES = {".json", ".xml", ".yaml", ".yml"}
YAML_COMMENT = "# Imported by `viad import`; the images are versioned in {folder}.dvc.\n"


def import_images(path: Path, name: str, options: ImportOptions | None = None, *, dry_run: bool = False) -> str:
    """Import a folder tree, annotated or not, or a CSV as the dataset `name`, and describe the images.

    Writes data/imported/<name>/ (the files and their table), its .dvc file, a contact sheet and
    conf/dataset/<name>.yaml, each whole or not at all; with `dry_run` only the contact sheet.

    Args:
        path: a folder, or a CSV whose paths are relative to its members folder.
        name: of the dataset: lower-case letters, digits and underscores.
        options: what the user says about folders, masks and faulty files.
        dry_run: only describe the images.

    Returns:
        a text for the user.

    Raises:
        ConfigError: the name is invalid or belongs to another dataset.
        DataError: the layout is not recognised, or files are missing, unreadable or contradictory.
    """
    _check_name(name)
    if not path.exists():
        raise DataError(f"{path} does not exist. Name a folder of images, or a CSV.")
    if path.suffix.lower() in ANNOTATION_SUFFIXES and path.is_file():
        raise DataError(f"{path} is not a CSV. To import annotated images, name the folder above them and this file.")
    options = options or ImportOptions()
    folder = path if path.is_dir() else path.parent
    out = IMPORT_FOLDER / name
    with TemporaryDirectory() as masks:
        layout, mask_kind = _read_layout(path, Path(masks), options)
        checked = check_files(folder, layout.pictures, options)
        left_out = [*layout.left_out, *checked.left_out]
        pictures, display_names = use_safe_names(checked.pictures)
        sheet = out.with_name(f"{name}.jpg")
        draw_contact_sheet(folder, pictures, sheet, options.mask_from, checked.bits)
        notes = [*layout.notes, *checked.warnings, *describe_thin_data(pictures)]
        text = "\n".join([_summarize(pictures, checked.sizes), *(f"Note: {note}" for note in notes)])
        text += f"\nLeft out:\n{describe_left_out(left_out)}" if left_out else ""
        text += f"\n{describe_names(display_names)}Contact sheet: {sheet}\n"
        if dry_run:
            return text + "Nothing was imported (--dry-run).\n"
        with replacing(out) as aside:
            _copy_files(folder, pictures, aside)
            _write_left_out(left_out, aside)
    facts = {"masks": mask_kind} | ({"display_names": display_names} if display_names else {})
    _version_dataset(out, name, pictures, {"mask_from": options.mask_from, "bits": checked.bits}, facts)
    files = f"conf/dataset/{name}.yaml {out.as_posix()}.dvc {IMPORT_FOLDER.as_posix()}/.gitignore"
    return text + (
        f"Dataset {name}: conf/dataset/{name}.yaml and {out}.dvc. After the commit below, try it:\n"
        f"  dvc exp run -S dataset={name}\n"
        "Commit it first, since `dvc exp apply` removes files that are not committed:\n"
        f"  git add {files} && git commit -m 'Import {name}'\n"
    )


def _read_layout(path: Path, masks: Path, options: ImportOptions) -> tuple[FolderLayout, str]:
    """Read a folder, annotated or not, or a CSV; also return the kind of its masks: yes, boxes or no.

    Args:
        path: the folder or the CSV.
        masks: a folder for masks that are made of annotated regions.
        options: what the user says about folders.
    """
    if not path.is_dir():
        pictures, notes = read_table(path, options.normal, options.defects)
        layout = FolderLayout(pictures, [], notes)
    elif annotated := read_annotated_folder(
        path, masks, options.normal, unannotated="normal" if options.unannotated_normal else None,
        exclude=options.exclude, splits=options.splits,
    ):  # fmt: skip
        left_out = [LeftOut(PurePosixPath(file), "neither an image nor an annotation") for file in annotated.left_out]
        return FolderLayout(annotated.pictures, left_out, annotated.notes), annotated.mask_kind
    else:
        layout = read_folder(path, options)
    return layout, "yes" if any(picture.mask for picture in layout.pictures) else "no"


def _check_name(name: str) -> None:
    if not NAME_PATTERN.fullmatch(name):
        raise ConfigError(f"--name {name}: use lower-case letters, digits and underscores, beginning with a letter.")
    existing = DATASET_CONF / f"{name}.yaml"
    if existing.is_file() and yaml.safe_load(existing.read_text(encoding="utf-8")).get("code") != DATASET_MODULE:
        raise ConfigError(f"--name {name}: {existing} is another dataset. Choose another name.")


def _copy_files(folder: Path, pictures: Sequence[Picture], out: Path) -> None:
    """Copy the files to their relative paths, and write the table."""
    for picture in pictures:
        for file in (picture.image, *picture.masks):
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
            masks = [_make_inner_path(mask).as_posix() for mask in picture.masks]
            if any(MASK_SEPARATOR in mask for mask in masks):
                raise DataError(f"{picture.masks[0]}: the name contains {MASK_SEPARATOR}. Rename the file.")
            writer.writerow(
                {
                    "sample": sample,
                    "image": _make_inner_path(picture.image).as_posix(),
                    "mask": MASK_SEPARATOR.join(masks),
                    **row,
                }
            )


def _write_left_out(left_out: Sequence[LeftOut], out: Path) -> None:
    """Record the files that are not part of the dataset, with the reason."""
    with (out / LEFT_OUT_CSV).open("w", newline="", encoding="utf-8") as opened:
        writer = csv.writer(opened, lineterminator="\n")
        writer.writerow(["file", "reason"])
        writer.writerows((one.path.as_posix(), one.reason) for one in left_out)


def _make_inner_path(file: PurePosixPath) -> PurePosixPath:
    """Make a path below the imported folder, also for files outside the folder of the CSV and masks made of regions."""
    if file.is_absolute() and REGION_MASK_FOLDER in file.parts:
        file = PurePosixPath(*file.parts[file.parts.index(REGION_MASK_FOLDER) :])
    return PurePosixPath(*(part for part in file.parts if part not in ("..", "/", ".")))


def _make_ids(pictures: Sequence[Picture]) -> list[str]:
    """Make ids: the path without its suffix, or with it where two files differ in the suffix alone."""
    stems = [_make_inner_path(picture.image).with_suffix("").as_posix() for picture in pictures]
    repeated = {name for name, count in Counter(stems).items() if count > 1}
    return [
        _make_inner_path(p.image).as_posix() if name in repeated else name
        for name, p in zip(stems, pictures, strict=True)
    ]


def _version_dataset(
    folder: Path, name: str, pictures: Sequence[Picture], options: Mapping[str, int], facts: Mapping[str, Any]
) -> None:
    """Let DVC version the folder, write the yaml, and stage both, since `dvc exp run` ignores files unknown to Git."""
    try:
        with Repository() as repo:
            conf = _write_yaml(name, pictures, repo.add_folder(folder), options, facts)
            repo.stage_files([folder.with_name(f"{name}.dvc"), conf])
    except DvcError as error:
        raise DataError(f"{folder}: DVC cannot add it ({error}). Correct the cause and import it again.") from error


def _write_yaml(
    name: str, pictures: Sequence[Picture], md5: str, options: Mapping[str, int], facts: Mapping[str, Any]
) -> Path:
    folder = IMPORT_FOLDER / name
    dataset: dict[str, Any] = {
        "defaults": [{"split": DEFAULT_SPLIT}, "_self_"],
        "name": name,
        "code": DATASET_MODULE,
        "categories": sorted({picture.category for picture in pictures}),
        "source": {"folder": folder.as_posix(), "md5": md5},
        "options": dict(options),
        "doubtful_defects": [],
    }
    if not _can_fill_reserve(pictures):
        dataset["split"] = {"reserve_anomalies": 0}
    dataset["facts"] = {
        "title": name, "paper": "", "licence": "yours", "shareable": False, "size": "",
        "serves": "your own parts", "attribution": "", "archive": None, "counts": None, **facts,
    }  # fmt: skip
    with replacing(DATASET_CONF / f"{name}.yaml") as aside:
        text = yaml.safe_dump(dataset, sort_keys=False, allow_unicode=True)
        aside.write_text(YAML_COMMENT.format(folder=folder) + text, encoding="utf-8")
    return DATASET_CONF / f"{name}.yaml"


def _can_fill_reserve(pictures: Sequence[Picture]) -> bool:
    """Tell whether test anomalies can go to the reserve: there are at least ten, and no image is in a reserve yet."""
    return sum(picture.label for picture in pictures) >= 10 and all(picture.split != "reserve" for picture in pictures)


def _summarize(pictures: Sequence[Picture], sizes: Counter[str]) -> str:
    """Summarize the number of images by category, split and kind as lines of text."""
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
