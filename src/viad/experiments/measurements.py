"""Metrics of earlier experiments, measured again by this version: files in results/measured/.

An experiment's commit stays as it is. A file there belongs to what evaluate read and wrote then (predictions, rows,
metrics, by their hashes in dvc.lock), not to a name, so another run of the same experiment does not get it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from viad.artifacts.provenance import write_json
from viad.experiments.earlier_versions import rename_keys
from viad.experiments.revisions import Revision
from viad.metrics.catalogue import measured_metrics, metrics_at

FOLDER = Path("results/measured")
EVIDENCE = ("predictions/{}/{}", "data/contaminated/{}/{}", "data/shifted/{}/{}", "metrics/{}/{}.json")


def read_quality(files: Revision, dataset: str, category: str) -> dict[str, Any] | None:
    """The metrics of a category: as measured again, or else as the experiment stored them; None if DVC lost them."""
    if (again := _read(files, dataset, category)) is not None:
        return dict(again["metrics"])
    stored = files.json(f"metrics/{dataset}/{category}.json")
    return None if stored is None else dict(rename_keys(stored))


def write_quality(files: Revision, dataset: str, category: str, experiment: str, quality: dict[str, Any]) -> None:
    """Keep metrics that were measured again; the names are for who reads the file."""
    keys = [metric.key for metric in measured_metrics()]
    content = {"experiment": experiment, "category": category, "tried": keys, "metrics": quality}
    write_json(content, _path(files, dataset, category))


def missing_metrics(files: Revision, dataset: str, category: str) -> list[str]:
    """Keys of the catalogue that were never measured for a category.

    A level of which no metric is stored is undefined there: no mask, no validation normals, no shift.
    """
    quality, again = read_quality(files, dataset, category), _read(files, dataset, category)
    if quality is None:
        return []
    tried = {*quality, *(again["tried"] if again else [])}
    return [
        metric.key
        for metric in measured_metrics()
        if metric.key not in tried and any(other.key in quality for other in metrics_at(metric.level))
    ]


def _read(files: Revision, dataset: str, category: str) -> dict[str, Any] | None:
    path = _path(files, dataset, category)
    return json.loads(path.read_text(encoding="utf-8")) if path.is_file() else None


def _path(files: Revision, dataset: str, category: str) -> Path:
    hashes = [files.output_hash(path.format(dataset, category)) for path in EVIDENCE]
    return FOLDER / f"{hashlib.sha256(' '.join(map(str, hashes)).encode()).hexdigest()[:24]}.json"
