"""The results of one run as a table, which `make run` prints and the README shows."""

from pathlib import Path
from typing import Any

from viad.artifacts.markdown import format_table

COLUMNS = {  # heading: metric
    "AUROC": "image_auroc",
    "PG2": "pg2",
    "PB2": "pb2",
    "false alarms": "false_positive_rate",
    "misses": "false_negative_rate",
    "pixel AUROC": "pixel_auroc",
    "AUPRO 0.3": "aupro_30",
}
TABLE = Path("metrics/results.md")


def results_table(title: str, metrics: dict[str, dict[str, Any]]) -> str:
    """A Markdown table with one row per category; 95 % intervals in brackets, if there are any.

    Args:
        title: the line above the table.
        metrics: what evaluate wrote, by category. A column that no category has is left out.
    """
    columns = {head: name for head, name in COLUMNS.items() if any(name in table for table in metrics.values())}
    rows = ([category, *(_cell(table, name) for name in columns.values())] for category, table in metrics.items())
    return f"{title}\n\n{format_table(['category', *columns], rows)}"


def _cell(table: dict[str, Any], name: str) -> str:
    if name not in table:
        return ""
    interval = table["intervals"].get(name)
    return f"{table[name]:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")
