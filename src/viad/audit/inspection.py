"""The audit of a category: every image is opened once and checked.

Findings are rows of a table: unreadable files, exact and near duplicates (and whether they
leak from training into test, or contradict each other's label), masks that are empty, misplaced or
of the wrong size, and images with an unusual size or brightness.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from tqdm import tqdm

from viad.artifacts.images import Pixels, read_image, read_mask
from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.audit import COLUMNS, EXCLUDED, KINDS
from viad.audit.duplicates import Fingerprint, duplicates, fingerprint
from viad.audit.masks import cells, marked_cells, misplaced
from viad.datasets import Row, counts
from viad.errors import DataError

FAR = 8.0  # robust standard deviations from the median: an outlier


@dataclass(frozen=True)
class Look:
    """The features of one image, or the problem found with it."""

    size: tuple[int, int] = (0, 0)  # width, height
    brightness: float = np.nan  # mean grey level
    print: Fingerprint | None = None
    cells: np.ndarray | None = None
    area: float = np.nan  # share of the image that its mask marks
    marked: np.ndarray | None = None  # which cells
    problem: tuple[str, str] | None = None  # kind of finding, and what it is about


def audit(rows: Sequence[Row], category: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Audit all images of a category.

    Args:
        rows: of the category.
        category: its name.

    Returns:
        the findings, with COLUMNS; of kind `excluded` those that `audit.exclude: duplicates` removes; and a
        summary: images by split and label, findings by kind, quantiles of the defects' area in percent of the image.
    """
    with ThreadPoolExecutor() as pool:
        jobs = pool.map(inspect_image, rows)
        looks = list(tqdm(jobs, total=len(rows), desc=f"audit {category}", unit="image", mininterval=1))
    names = [row.sample for row in rows]
    found = [
        (seen.problem[0], name, "", seen.problem[1]) for name, seen in zip(names, looks, strict=True) if seen.problem
    ]
    found += _of_pairs(rows, looks)
    found += [("mask_misplaced", names[i], "", detail) for i, detail in _misplaced(rows, looks)]
    found += _outliers(names, looks)
    table = pd.DataFrame(found, columns=COLUMNS[1:])
    table.insert(0, "category", category)
    excluded = [(EXCLUDED, name, kept, "by audit.exclude: duplicates") for name, kept in _excluded(rows, table).items()]
    table = pd.concat([table, pd.DataFrame(excluded, columns=COLUMNS[1:]).assign(category=category)])
    table = table.sort_values(["kind", "sample", "other"], kind="stable")[COLUMNS]
    return table, _summary(rows, looks, table)


def inspect_image(row: Row) -> Look:
    """Open an image and its masks."""
    try:
        pixels = read_image(row.image)
    except DataError as error:
        return Look(problem=("unreadable", str(error)))
    facts: dict[str, Any] = {
        "size": (pixels.shape[1], pixels.shape[0]),
        "brightness": float(pixels.mean()),
        "print": fingerprint(pixels),
        "cells": cells(pixels),
    }
    return Look(**facts, **_mask(row, pixels))


def _mask(row: Row, pixels: Pixels) -> dict[str, Any]:
    height, width = pixels.shape[:2]
    union = np.zeros((height, width), dtype=bool)
    for path in row.masks:
        try:
            mask = read_mask(path, row.mask_from)
        except DataError as error:
            return {"problem": ("unreadable", str(error))}
        if mask.shape != union.shape:
            detail = f"mask {mask.shape[1]}x{mask.shape[0]}, image {width}x{height}"
            return {"problem": ("mask_size", detail)}
        union |= mask
    if not row.masks:
        return {}
    if union.any() and row.label == NORMAL:
        return {"problem": ("mask_on_normal", f"{union.mean():.2%} of the image is marked")}
    if not union.any() and row.label == ANOMALOUS:
        return {"problem": ("mask_empty", "the image is labelled anomalous")}
    return {"area": float(union.mean()), "marked": marked_cells(union)}


def _misplaced(rows: Sequence[Row], looks: Sequence[Look]) -> Iterator[tuple[int, str]]:
    normal = [one.cells for row, one in zip(rows, looks, strict=True) if row.label == NORMAL and one.cells is not None]
    masked = {
        i: (one.cells, one.marked) for i, one in enumerate(looks) if one.cells is not None and one.marked is not None
    }
    return misplaced(normal, masked)


Found = tuple[str, str, str, str]  # kind, sample, other sample, detail


def _of_pairs(rows: Sequence[Row], looks: Sequence[Look]) -> list[Found]:
    """Findings about pairs of duplicates: the pair, leaks and contradictory labels."""
    found: list[Found] = []
    for i, j, exact, detail in duplicates([one.print for one in looks]):
        first, second = rows[i], rows[j]
        found.append(("duplicate" if exact else "near_duplicate", first.sample, second.sample, detail))
        splits = {first.split, second.split}
        if "test" in splits and splits & {"train", "val"}:
            found.append(("leak", first.sample, second.sample, f"in {first.split} and in {second.split}"))
        if first.label != second.label:
            found.append(("label_conflict", first.sample, second.sample, "one is normal, the other anomalous"))
    return found


def _excluded(rows: Sequence[Row], table: pd.DataFrame) -> dict[str, str]:
    """All but one of each set of duplicates, with the image that stays: a test image, otherwise the first."""
    order = {row.sample: (row.split != "test", i) for i, row in enumerate(rows)}
    kept = {sample: sample for sample in order}

    def root(sample: str) -> str:
        while kept[sample] != sample:
            sample = kept[sample]
        return sample

    pairs = table[table["kind"].isin(["duplicate", "near_duplicate"])]
    for first, second in pairs[["sample", "other"]].itertuples(index=False):
        best, other = sorted((root(first), root(second)), key=order.__getitem__)
        kept[other] = best
    return {sample: root(sample) for sample in order if root(sample) != sample}


def _outliers(names: Sequence[str], looks: Sequence[Look]) -> list[Found]:
    """Images whose area or brightness is far from the others'."""
    seen = [i for i, one in enumerate(looks) if one.problem is None or one.problem[0] != "unreadable"]
    sizes = np.log([float(looks[i].size[0] * looks[i].size[1]) for i in seen])
    levels = np.array([looks[i].brightness for i in seen])
    found = [("size_outlier", names[seen[k]], "", _pixels(looks[seen[k]])) for k in _far(sizes, 0.05)]
    return found + [
        ("brightness_outlier", names[seen[k]], "", f"mean grey level {levels[k]:.0f}") for k in _far(levels, 2.0)
    ]


def _pixels(one: Look) -> str:
    return f"{one.size[0]}x{one.size[1]} pixels"


def _far(values: np.ndarray, least: float) -> np.ndarray:
    """Indices of values that are far from the median, in robust standard deviations of at least `least`."""
    if len(values) == 0:
        return np.empty(0, dtype=int)
    away = np.abs(values - np.median(values))
    return np.flatnonzero(away > FAR * max(1.4826 * float(np.median(away)), least))


def _summary(rows: Sequence[Row], looks: Sequence[Look], table: pd.DataFrame) -> dict[str, Any]:
    areas = np.array([one.area for one in looks if not np.isnan(one.area)])
    summary: dict[str, Any] = {"images": counts(rows), "defects": _defects(rows)}
    summary["findings"] = {kind: int((table["kind"] == kind).sum()) for kind in KINDS}
    summary["excluded_by_duplicates"] = int((table["kind"] == EXCLUDED).sum())
    if len(areas):
        quantiles = {f"p{q:02}": round(float(np.percentile(areas, q)) * 100, 4) for q in (5, 25, 50, 75, 95)}
        summary["defect_area_percent"] = quantiles
    return summary


def _defects(rows: Sequence[Row]) -> dict[str, int]:
    return dict(sorted(Counter(row.defect for row in rows if row.label == ANOMALOUS).items()))
