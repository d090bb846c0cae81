"""Reading a CSV that describes images: their labels, masks, splits, groups, domains and categories."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath

from viad.artifacts.images import read_mask
from viad.errors import DataError
from viad.importing.folder_words import NORMAL_WORDS, SPLIT_WORDS, UNNAMED_DEFECT, normalize_name
from viad.importing.group_checks import check_groups
from viad.importing.layouts import Picture
from viad.importing.table_lines import TableLine, file_exists, read_lines

NORMAL_LABELS = NORMAL_WORDS | {"0.0", "false"}
UNNAMED_LABELS = {"1", "1.0", "true"}  # anomalous, of no named type
ANOMALOUS_LABELS = UNNAMED_LABELS | {
    "anomalous", "anomaly", "abnormal", "bad", "defect", "defective", "fail", "failed", "faulty", "ko", "ng", "nok",
    "not_ok", "positive", "reject", "rejected",
}  # fmt: skip
NO_DEFECT_WORDS = {"", "-", "none", "nan", "n/a", "na", "null"}
LISTED_LINES = 5  # of each kind of fault, in a message


def read_table(path: Path, normal: Sequence[str] = (), defects: Sequence[str] = ()) -> tuple[list[Picture], list[str]]:
    """Read the images of a CSV, with paths relative to its folder.

    The columns are `image` and `label` (0, 1, a word for normal or anomalous, or a defect type) and, optionally,
    `mask`, `defect`, `split`, `group`, `domain` and `category`; other common names are accepted. A label is a defect
    type only if the table shows it: by a mask, or in the column `defect`; or if `defects` names it.

    Args:
        path: the CSV, in UTF-8, UTF-16 or Windows-1252, separated by commas, semicolons, tabs or bars.
        normal: further labels of normal images.
        defects: further labels that are defect types.

    Returns:
        the images in the order of the table, and sentences about what was skipped or assumed.

    Raises:
        DataError: the table cannot be read, a column is missing, a value is invalid, a file is missing or listed twice,
            or no normal image is left to train on.
    """
    lines, notes = read_lines(path)
    faults: dict[str, list[str]] = defaultdict(list)
    _check_paths(path, lines, faults)
    _check_values(lines, faults)
    _raise_faults(path, faults)
    meanings = _interpret_labels(path, lines, normal, defects)
    _check_agreement(path, lines, meanings)
    pictures = [_make_picture(path, line, meanings[line.get("label")]) for line in lines]
    masked = sum(picture.mask is not None and picture.label == 0 for picture in pictures)
    if masked:
        notes.append(f"{masked} normal images have a mask that is not empty; the audit lists them.")
    moved = sum(picture.label and picture.split == "reserve" for picture in pictures)
    if moved:
        notes.append(f"{moved} anomalous images belong to the anomaly reserve, which takes those of the training set.")
    check_groups(path, pictures)
    return pictures, notes


def _check_paths(path: Path, lines: Sequence[TableLine], faults: dict[str, list[str]]) -> None:
    """Make the paths of all lines POSIX paths in place, and check that each file exists and is listed once."""
    first: dict[Path, TableLine] = {}
    for line in lines:
        for key in ("image", "mask"):
            value = line.get(key)
            if "\0" in value:
                faults["Remove it."].append(f"line {line.number}: a path contains a NUL character")
                line.row[key] = ""
                continue
            if "\\" in value and not file_exists(path, value):
                line.row[key] = value = value.replace("\\", "/")
            if value and not file_exists(path, value):
                faults["Correct the path; it is relative to the folder of the table."].append(
                    f"line {line.number}: {value} does not exist"
                )
        if not line.get("image") or not line.get("label"):
            faults["Fill in both."].append(f"line {line.number}: image or label is empty")
            continue
        other = first.setdefault((path.parent / line.get("image")).resolve(), line)
        if other is not line:
            same = other.get("label") == line.get("label")
            labels = "" if same else f" with the labels '{other.get('label')}' and '{line.get('label')}'"
            faults["List each image once."].append(
                f"line {line.number}: {line.get('image')} is listed twice{labels}, first in line {other.number}"
            )
        if (
            line.get("mask")
            and (path.parent / line.get("mask")).resolve() == (path.parent / line.get("image")).resolve()
        ):
            faults["Name the file of the mask."].append(f"line {line.number}: the mask is the image itself")


def _raise_faults(path: Path, faults: Mapping[str, Sequence[str]]) -> None:
    """Raise one error for all faults: each kind with its first lines and what to do."""
    if not faults:
        return
    parts = []
    for advice, places in faults.items():
        more = f" and {len(places) - LISTED_LINES} more" if len(places) > LISTED_LINES else ""
        parts.append(f"{path}, {'; '.join(places[:LISTED_LINES])}{more}. {advice}")
    raise DataError("\n".join(parts))


def _interpret_labels(
    path: Path, lines: Sequence[TableLine], normal: Sequence[str], defects: Sequence[str]
) -> dict[str, int]:
    """Give each label of the table its meaning: 0 normal, 1 anomalous."""
    normal_labels = NORMAL_LABELS | {normalize_name(name) for name in normal}
    defect_labels = ANOMALOUS_LABELS - {normalize_name(name) for name in normal}
    defect_labels |= {normalize_name(name) for name in defects} | {
        normalize_name(line.get("defect")) for line in lines if not _names_no_type(line.get("defect"))
    }
    defect_labels |= {normalize_name(line.get("label")) for line in lines if line.get("mask")}
    meanings: dict[str, int] = {}
    unknown: dict[str, list[int]] = defaultdict(list)
    for line in lines:
        label = normalize_name(line.get("label"))
        if label in normal_labels:
            meanings[line.get("label")] = 0
        elif label in defect_labels:
            meanings[line.get("label")] = 1
        else:
            unknown[line.get("label")].append(line.number)
    if unknown:
        names = [f"'{label}' ({len(numbers)}, first in line {numbers[0]})" for label, numbers in unknown.items()]
        more = f" and {len(names) - LISTED_LINES} other labels" if len(names) > LISTED_LINES else ""
        raise DataError(
            f"{path}: it is not clear whether these labels mean normal or anomalous: "
            f"{', '.join(names[:LISTED_LINES])}{more}. Name normal ones with --normal and defect types with --defect, "
            "or write 0 or 1 as the label and the defect type in a column 'defect'."
        )
    return meanings


def _check_values(lines: Sequence[TableLine], faults: dict[str, list[str]]) -> None:
    """Check that splits are known and categories complete."""
    with_category = any(line.get("category") for line in lines)
    for line in lines:
        split = line.get("split")
        if split and normalize_name(split) not in {*SPLIT_WORDS, "reserve"}:
            faults["Use train, val, test or reserve."].append(f"line {line.number}: the split '{split}' is unknown")
        if with_category and not line.get("category"):
            faults["Name the category of each image."].append(f"line {line.number}: the category is empty")


def _check_agreement(path: Path, lines: Sequence[TableLine], meanings: Mapping[str, int]) -> None:
    """Check that no image labelled normal has a defect type, and none labelled anomalous has a normal one."""
    faults: dict[str, list[str]] = defaultdict(list)
    for line in lines:
        if _names_no_type(line.get("defect")):
            continue
        anomalous = meanings[line.get("label")]
        if anomalous == (normalize_name(line.get("defect")) in NORMAL_LABELS):
            faults["Correct one of the two."].append(
                f"line {line.number}: the label '{line.get('label')}' is {'anomalous' if anomalous else 'normal'}, but "
                f"the defect type is '{line.get('defect')}'"
            )
    _raise_faults(path, faults)


def _names_no_type(defect: str) -> bool:
    return defect.lower() in NO_DEFECT_WORDS


def _make_picture(path: Path, line: TableLine, label: int) -> Picture:
    mask = PurePosixPath(line.get("mask")) if line.get("mask") else None
    if mask is not None and not label and not read_mask(path.parent / mask).any():
        mask = None  # an empty mask of a normal image says nothing new
    type_name = "" if normalize_name(line.get("label")) in UNNAMED_LABELS else line.get("label")
    if not _names_no_type(line.get("defect")):
        type_name = line.get("defect")
    split = normalize_name(line.get("split"))
    split = SPLIT_WORDS.get(split, split)
    return Picture(
        image=PurePosixPath(line.get("image")),
        label=label,
        category=line.get("category") or "all",
        mask=mask,
        defect=(type_name or UNNAMED_DEFECT) if label else "",
        split="reserve" if label and split == "train" else split,
        group=line.get("group"),
        domain=line.get("domain"),
    )
