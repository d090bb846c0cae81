"""The audit of a whole dataset: the table, the picture and the counts of its findings."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from viad.artifacts.provenance import write_json
from viad.audit import AUDIT_FOLDER, FINDING_KINDS, write_findings
from viad.audit.category_audit import audit_category
from viad.audit.finding_pictures import draw_findings
from viad.datasets import Row


def audit_dataset(dataset: str, by_category: Mapping[str, Sequence[Row]]) -> dict[str, int]:
    """Audit every image of a dataset, and write the findings.

    Writes data/audit/<dataset>/findings.csv, metrics/<dataset>/audit.json and plots/<dataset>/audit.jpg.

    Args:
        dataset: its name.
        by_category: all rows of the dataset.

    Returns:
        the number of findings of each kind.
    """
    tables, summaries = [], {}
    for category, rows in by_category.items():
        table, summaries[category] = audit_category(rows, category)
        tables.append(table)
    findings = pd.concat(tables, ignore_index=True)
    write_findings(findings, AUDIT_FOLDER / dataset)
    write_json(summaries, Path("metrics") / dataset / "audit.json")
    path = Path("plots") / dataset / "audit.jpg"
    path.parent.mkdir(parents=True, exist_ok=True)
    draw_findings(findings, by_category, dataset, path)
    counts = Counter(findings["kind"])
    return {kind: counts[kind] for kind in FINDING_KINDS if counts[kind]}


def describe_findings(dataset: str, counts: Mapping[str, int]) -> str:
    """Describe the number of findings of each kind, and their files, in one line."""
    text = ", ".join(f"{count} {kind.replace('_', ' ')}" for kind, count in counts.items()) or "nothing"
    return f"audit of {dataset}: {text} ({AUDIT_FOLDER / dataset}/findings.csv, plots/{dataset}/audit.jpg)"
