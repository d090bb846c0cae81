"""The results of one run as a Markdown table, which `make run` prints and the README shows."""

from pathlib import Path
from typing import Any

from viad.artifacts import markdown
from viad.metrics.catalogue import Metric, metrics_shown

RESULTS_PAGE = Path("metrics/results.md")


def format_results(title: str, results: dict[str, dict[str, Any]]) -> str:
    """Format the results as a Markdown table: one row per category, 95 % intervals in brackets.

    Args:
        title: the line above the table.
        results: the metrics that evaluate wrote, by category. Metrics that no category has are left out.
    """
    shown = [m for m in metrics_shown("results") if any(m.key in measured for measured in results.values())]
    rows = [[category, *(_format_measurement(measured, m) for m in shown)] for category, measured in results.items()]
    return f"{title}\n\n{markdown.format_table(['category', *(m.label for m in shown)], rows)}"


def _format_measurement(measured: dict[str, Any], metric: Metric) -> str:
    if metric.key not in measured:
        return ""
    interval = measured["intervals"].get(metric.key)
    value = metric.format(measured[metric.key])
    return value if interval is None else f"{value} [{', '.join(map(metric.format, interval))}]"
