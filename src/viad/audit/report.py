"""The audit of a whole dataset: its table, picture and counts."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from viad.artifacts.provenance import write_json
from viad.audit import FOLDER, KINDS, write_findings
from viad.audit.finding_pictures import draw_findings
from viad.audit.inspection import audit
from viad.datasets import Row


def audit_dataset(dataset: str, by_category: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """Audit every image of a dataset, and write the findings.

    Writes data/audit/<dataset>/findings.csv, metrics/<dataset>/audit.json and plots/<dataset>/audit.jpg.

    Args:
        dataset: its name.
        by_category: all rows.

    Returns:
        the number of findings of each kind.
    """
    tables, summaries = [], {}
    for category, rows in by_category.items():
        table, summaries[category] = audit(rows, category)
        tables.append(table)
    found = pd.concat(tables, ignore_index=True)
    write_findings(found, FOLDER / dataset)
    write_json(summaries, Path("metrics") / dataset / "audit.json")
    path = Path("plots") / dataset / "audit.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_findings(found, by_category, dataset, path)
    seen = Counter(found["kind"])
    return {kind: seen[kind] for kind in KINDS if seen[kind]}


def describe_findings(dataset: str, found: Mapping[str, int]) -> str:
    """The number of findings and their files, in one line."""
    counts = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in found.items()) or "nothing"
    return f"audit of {dataset}: {counts} ({FOLDER / dataset}/findings.csv, plots/{dataset}/audit.jpg)"
