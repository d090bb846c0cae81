"""Metrics of earlier experiments that this version measured again: files in results/measured/.

An experiment's commit does not change. A file is named by the hashes in dvc.lock of what evaluate read and wrote
(predictions, rows, metrics), not by the experiment, so another run of the same experiment does not use it.
"""

import hashlib
import json
from pathlib import Path
from typing import Any

from viad.artifacts.provenance import write_json
from viad.experiments.earlier_versions import rename_keys
from viad.experiments.revisions import Revision
from viad.metrics.catalogue import measured_metrics, metrics_at

MEASURED_FOLDER = Path("results/measured")
EVIDENCE_PATHS = ("predictions/{}/{}", "data/contaminated/{}/{}", "data/shifted/{}/{}", "metrics/{}/{}.json")


def read_quality(files: Revision, dataset: str, category: str) -> dict[str, Any] | None:
    """Read the metrics of a category, measured again or as the experiment stored them; None if DVC has lost them."""
    if (again := _read(files, dataset, category)) is not None:
        return dict(again["metrics"])
    stored = files.read_json(f"metrics/{dataset}/{category}.json")
    return None if stored is None else dict(rename_keys(stored))


def write_quality(files: Revision, dataset: str, category: str, experiment: str, quality: dict[str, Any]) -> None:
    """Write metrics that were measured again; the names of experiment and category are for human readers."""
    keys = [metric.key for metric in measured_metrics()]
    content = {"experiment": experiment, "category": category, "tried": keys, "metrics": quality}
    write_json(content, _path(files, dataset, category))


def find_missing_metrics(files: Revision, dataset: str, category: str) -> list[str]:
    """Return the keys of the catalogue that were never measured for a category.

    A level without any stored metric is undefined for the category: it has no mask, validation normals or shift.
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
    hashes = [files.read_output_hash(path.format(dataset, category)) for path in EVIDENCE_PATHS]
    return MEASURED_FOLDER / f"{hashlib.sha256(' '.join(map(str, hashes)).encode()).hexdigest()[:24]}.json"
