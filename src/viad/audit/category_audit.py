"""The audit of a category: it opens every image once and checks it.

The findings are rows of a table: unreadable files; exact and near duplicates, leaks from training into test and
contradictory labels among them; masks that are empty, misplaced or of the wrong size; images of an unusual size or
brightness.
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
from viad.audit import EXCLUDED_KIND, FINDING_COLUMNS, FINDING_KINDS
from viad.audit.duplicates import Fingerprint, compute_fingerprint, find_duplicates
from viad.audit.misplaced_masks import describe_cells, find_marked_cells, find_misplaced_masks
from viad.datasets import Row, count_images
from viad.errors import DataError

OUTLIER_DISTANCE = 8.0  # from the median, in robust standard deviations


@dataclass(frozen=True)
class InspectedImage:
    """The features of an image, or its problem."""

    size: tuple[int, int] = (0, 0)  # width, height
    brightness: float = np.nan  # mean grey level
    fingerprint: Fingerprint | None = None
    cells: np.ndarray | None = None
    area: float = np.nan  # of the mask, as a share of the image
    marked: np.ndarray | None = None  # the cells that the mask marks
    problem: tuple[str, str] | None = None  # kind of finding and detail


def audit_category(rows: Sequence[Row], category: str) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Audit all images of a category.

    Args:
        rows: all images of the category.
        category: its name.

    Returns:
        the findings, with FINDING_COLUMNS, including a row of kind `excluded` for each sample that
        `audit.exclude: duplicates` leaves out; and a summary: images by split and label, findings by kind, and
        quantiles of the defects' area in percent of the image.
    """
    with ThreadPoolExecutor() as pool:
        jobs = pool.map(inspect_image, rows)
        images = list(tqdm(jobs, total=len(rows), desc=f"audit {category}", unit="image", mininterval=1))
    names = [row.sample for row in rows]
    findings = [
        (image.problem[0], name, "", image.problem[1])
        for name, image in zip(names, images, strict=True)
        if image.problem
    ]
    findings += _find_duplicate_pairs(rows, images)
    findings += [("mask_misplaced", names[i], "", detail) for i, detail in _find_misplaced(rows, images)]
    findings += _find_outliers(names, images)
    table = pd.DataFrame(findings, columns=FINDING_COLUMNS[1:])
    table.insert(0, "category", category)
    excluded = [
        (EXCLUDED_KIND, name, duplicate, "by audit.exclude: duplicates")
        for name, duplicate in _find_excluded(rows, table).items()
    ]
    table = pd.concat([table, pd.DataFrame(excluded, columns=FINDING_COLUMNS[1:]).assign(category=category)])
    table = table.sort_values(["kind", "sample", "other"], kind="stable")[FINDING_COLUMNS]
    return table, _summarize(rows, images, table)


def inspect_image(row: Row) -> InspectedImage:
    """Open an image and its masks, and compute the features that the audit compares."""
    try:
        pixels = read_image(row.image, row.bits)
    except DataError as error:
        return InspectedImage(problem=("unreadable", str(error)))
    features: dict[str, Any] = {
        "size": (pixels.shape[1], pixels.shape[0]),
        "brightness": float(pixels.mean()),
        "fingerprint": compute_fingerprint(pixels),
        "cells": describe_cells(pixels),
    }
    return InspectedImage(**features, **_inspect_masks(row, pixels))


def _inspect_masks(row: Row, pixels: Pixels) -> dict[str, Any]:
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
    return {"area": float(union.mean()), "marked": find_marked_cells(union)}


def _find_misplaced(rows: Sequence[Row], images: Sequence[InspectedImage]) -> Iterator[tuple[int, str]]:
    normal = [
        image.cells for row, image in zip(rows, images, strict=True) if row.label == NORMAL and image.cells is not None
    ]
    masked = {
        i: (image.cells, image.marked)
        for i, image in enumerate(images)
        if image.cells is not None and image.marked is not None
    }
    return find_misplaced_masks(normal, masked)


Finding = tuple[str, str, str, str]  # kind, sample, other sample, detail


def _find_duplicate_pairs(rows: Sequence[Row], images: Sequence[InspectedImage]) -> list[Finding]:
    """Find duplicate pairs, leaks and contradictory labels among them."""
    findings: list[Finding] = []
    for i, j, exact, detail in find_duplicates([image.fingerprint for image in images]):
        first, second = rows[i], rows[j]
        findings.append(("duplicate" if exact else "near_duplicate", first.sample, second.sample, detail))
        splits = {first.split, second.split}
        if "test" in splits and splits & {"train", "val"}:
            findings.append(("leak", first.sample, second.sample, f"in {first.split} and in {second.split}"))
        if first.label != second.label:
            findings.append(("label_conflict", first.sample, second.sample, "one is normal, the other anomalous"))
    return findings


def _find_excluded(rows: Sequence[Row], table: pd.DataFrame) -> dict[str, str]:
    """Map all but one image of each set of duplicates to the one that stays: a test image, otherwise the first."""
    order = {row.sample: (row.split != "test", i) for i, row in enumerate(rows)}
    representative = {sample: sample for sample in order}

    def find_representative(sample: str) -> str:
        while representative[sample] != sample:
            sample = representative[sample]
        return sample

    pairs = table[table["kind"].isin(["duplicate", "near_duplicate"])]
    for first, second in pairs[["sample", "other"]].itertuples(index=False):
        best, other = sorted((find_representative(first), find_representative(second)), key=order.__getitem__)
        representative[other] = best
    return {sample: find_representative(sample) for sample in order if find_representative(sample) != sample}


def _find_outliers(names: Sequence[str], images: Sequence[InspectedImage]) -> list[Finding]:
    """Find the images whose area or brightness is far from the median."""
    readable = [i for i, image in enumerate(images) if image.problem is None or image.problem[0] != "unreadable"]
    areas = np.log([float(images[i].size[0] * images[i].size[1]) for i in readable])
    levels = np.array([images[i].brightness for i in readable])
    unusual_sizes, unusual_levels = _find_far_values(areas, 0.05), _find_far_values(levels, 2.0)
    findings = [("size_outlier", names[readable[k]], "", _format_size(images[readable[k]])) for k in unusual_sizes]
    return findings + [
        ("brightness_outlier", names[readable[k]], "", f"mean grey level {levels[k]:.0f}") for k in unusual_levels
    ]


def _format_size(image: InspectedImage) -> str:
    return f"{image.size[0]}x{image.size[1]} pixels"


def _find_far_values(values: np.ndarray, least_deviation: float) -> np.ndarray:
    """Find the indices of values far from the median, in robust standard deviations of at least `least_deviation`."""
    if len(values) == 0:
        return np.empty(0, dtype=int)
    distance = np.abs(values - np.median(values))
    return np.flatnonzero(distance > OUTLIER_DISTANCE * max(1.4826 * float(np.median(distance)), least_deviation))


def _summarize(rows: Sequence[Row], images: Sequence[InspectedImage], table: pd.DataFrame) -> dict[str, Any]:
    areas = np.array([image.area for image in images if not np.isnan(image.area)])
    summary: dict[str, Any] = {"images": count_images(rows), "defects": _count_defects(rows)}
    summary["findings"] = {kind: int((table["kind"] == kind).sum()) for kind in FINDING_KINDS}
    summary["excluded_by_duplicates"] = int((table["kind"] == EXCLUDED_KIND).sum())
    if len(areas):
        quantiles = {f"p{q:02}": round(float(np.percentile(areas, q)) * 100, 4) for q in (5, 25, 50, 75, 95)}
        summary["defect_area_percent"] = quantiles
    return summary


def _count_defects(rows: Sequence[Row]) -> dict[str, int]:
    return dict(sorted(Counter(row.defect for row in rows if row.label == ANOMALOUS).items()))
