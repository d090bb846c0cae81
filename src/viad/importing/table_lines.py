"""Reading the lines of a CSV whose encoding, delimiter and column names are not known beforehand."""

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from viad.errors import DataError
from viad.importing.folder_words import normalize_name

# Accepted names of each column of a CSV.
ACCEPTED_COLUMN_NAMES = {
    "image": ("image", "path", "file", "filename", "file_name", "image_path", "img"),
    "label": ("label", "class", "target", "is_anomaly", "anomalous", "anomaly", "defective"),
    "mask": ("mask", "mask_path", "ground_truth", "gt"),
    "defect": ("defect", "defect_type", "kind", "type", "anomaly_class"),
    "split": ("split", "set", "subset"),
    "group": ("group", "part", "lot", "serial"),
    "domain": ("domain", "condition", "camera"),
    "category": ("category", "object", "product"),
}
ANSWERS = {"yes": "1", "y": "1", "no": "0", "n": "0"}  # in a column that asks whether the image is anomalous
ASKING_COLUMNS = {"is_anomaly", "anomalous", "anomaly", "defective"}
DELIMITERS = (",", ";", "\t", "|")


@dataclass
class TableLine:
    """A line of the table: its number, and its values by the keys of ACCEPTED_COLUMN_NAMES."""

    number: int
    row: dict[str, str]

    def get(self, key: str) -> str:
        """Look a value up; empty if the table lacks the column."""
        return self.row.get(key, "")


def read_lines(path: Path) -> tuple[list[TableLine], list[str]]:
    """Read the lines below the header, without comments and empty lines.

    Returns:
        the lines, and sentences about what was skipped or assumed.

    Raises:
        DataError: the file is not a CSV, its encoding is unknown, or it lacks a column or all rows.
    """
    text, notes = _decode(path)
    return _parse_lines(path, text, notes), notes


def file_exists(path: Path, value: str) -> bool:
    """Tell whether a value of the table names a file, relative to the folder of the table."""
    try:
        return (path.parent / value).is_file()
    except (ValueError, OSError):  # a NUL character, or a name that is too long
        return False


def _decode(path: Path) -> tuple[str, list[str]]:
    """Decode the file by its byte order mark or by its bytes, and say so where this is a guess."""
    content = path.read_bytes()
    if content[:4] == b"PK\x03\x04":
        raise DataError(f"{path} is a workbook or an archive, not a CSV. Export the table as a CSV.")
    encodings = ["utf-8-sig", "cp1252"]
    if content[:2] in (b"\xff\xfe", b"\xfe\xff"):
        encodings = ["utf-16"]
    elif content[1:40:2].count(0) > 10 or content[:40:2].count(0) > 10:
        encodings = ["utf-16-le" if content[1:2] == b"\0" else "utf-16-be"]
    for encoding in encodings:
        try:
            text = content.decode(encoding)
        except UnicodeDecodeError:
            continue
        guessed = "The table is not in UTF-8 and was read as Windows-1252; check its umlauts."
        return text, [guessed] if encoding == "cp1252" else []
    raise DataError(f"{path} is neither in UTF-8 nor in UTF-16 nor in Windows-1252. Save it as UTF-8.")


def _parse_lines(path: Path, text: str, notes: list[str]) -> list[TableLine]:
    """Find the header, the delimiter and the columns, and read the lines below the header."""
    lines = text.splitlines(keepends=True)
    start = next((i for i, line in enumerate(lines) if _is_header(line)), None)
    filled = [line.strip() for line in lines if line.strip()]
    if start is None:
        if not filled:
            raise DataError(f"{path}: the table is empty. Add a header and a row for each image.")
        wanted = next((key for key in ("image", "label") if not _has_column(filled[0], key)), "label")
        raise DataError(
            f"{path}: no column '{wanted}' in the first line, {filled[0][:200]!r}. Add the column; its name may be "
            f"{', '.join(ACCEPTED_COLUMN_NAMES[wanted])}."
        )
    delimiter = max(DELIMITERS, key=lambda mark: len(_find_columns(_split(lines[start], mark))))
    header = _split(lines[start], delimiter)
    columns = _find_columns(header)
    _note_header(path, lines[:start], header, columns, notes)
    found: list[TableLine] = []
    comments = 0
    reader = csv.reader(io.StringIO("".join(lines[start + 1 :]), newline=""), delimiter=delimiter)
    try:
        for cells in reader:
            number = start + 1 + reader.line_num
            if not any(cell.strip() for cell in cells):
                continue
            row = {key: cells[i].strip() if i < len(cells) else "" for key, i in columns.items()}
            if normalize_name(header[columns["label"]]) in ASKING_COLUMNS:
                row["label"] = ANSWERS.get(row["label"].lower(), row["label"])
            if cells[0].lstrip().startswith("#") and not file_exists(path, row["image"]):
                comments += 1
                continue
            if any(cell.strip() for cell in cells[len(header) :]):
                raise DataError(
                    f"{path}, line {number}: {len(cells)} values, but the header has {len(header)} columns. Put "
                    f"values that contain {delimiter!r} in double quotes."
                )
            found.append(TableLine(number, row))
    except csv.Error as error:
        raise DataError(
            f"{path}, line {start + 1 + reader.line_num}: not a valid CSV ({error}). Correct it."
        ) from error
    if comments:
        notes.append(f"{comments} comment lines (#) of the table were skipped.")
    if not found:
        raise DataError(f"{path}: the table is empty. Add a row for each image.")
    return found


def _split(line: str, delimiter: str) -> list[str]:
    line = line.strip("\r\n").removeprefix("#")
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter), [])]
    except csv.Error:
        return []


def _find_columns(header: Sequence[str]) -> dict[str, int]:
    """Find the index of each column by its accepted names, of which the first counts."""
    names = [normalize_name(name) for name in header]
    found = {key: next((n for n in known if n in names), None) for key, known in ACCEPTED_COLUMN_NAMES.items()}
    return {key: names.index(name) for key, name in found.items() if name is not None}


def _has_column(line: str, key: str) -> bool:
    return any(key in _find_columns(_split(line, mark)) for mark in DELIMITERS)


def _is_header(line: str) -> bool:
    return any({"image", "label"} <= set(_find_columns(_split(line, mark))) for mark in DELIMITERS)


def _note_header(
    path: Path, above: Sequence[str], header: Sequence[str], columns: Mapping[str, int], notes: list[str]
) -> None:
    strange = [line.strip() for line in above if line.strip() and not line.lower().startswith(("#", "sep="))]
    if strange:
        raise DataError(f"{path}: {strange[0][:100]!r} stands above the header. Begin the line with # or remove it.")
    repeated = [name for name, count in Counter(map(normalize_name, header)).items() if name and count > 1]
    if repeated:
        raise DataError(f"{path}: two columns are named '{repeated[0]}'. Rename or remove one of them.")
    unused = [name for i, name in enumerate(header) if name and i not in columns.values()]
    if unused:
        notes.append(f"Columns that were not used: {', '.join(unused)}.")
