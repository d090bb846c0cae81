"""The results of one run for people: the table that `make run` prints and the README shows."""

from pathlib import Path
from typing import Any

from viad.artifacts import markdown
from viad.metrics.catalogue import Metric, metrics_shown

TABLE = Path("metrics/results.md")


def results_table(title: str, results: dict[str, dict[str, Any]]) -> str:
    """A Markdown table with a row a category; 95 % intervals in brackets where there are some.

    Args:
        title: the line above the table.
        results: what evaluate wrote, by category. A metric that no category has is left out.
    """
    shown = [m for m in metrics_shown("results") if any(m.key in measured for measured in results.values())]
    rows = [[category, *(_cell(measured, m) for m in shown)] for category, measured in results.items()]
    return f"{title}\n\n{markdown.format_table(['category', *(m.label for m in shown)], rows)}"


def _cell(measured: dict[str, Any], metric: Metric) -> str:
    if metric.key not in measured:
        return ""
    interval = measured["intervals"].get(metric.key)
    value = metric.format(measured[metric.key])
    return value if interval is None else f"{value} [{', '.join(map(metric.format, interval))}]"
