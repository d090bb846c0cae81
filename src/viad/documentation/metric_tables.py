"""Tables of docs/metrics.md, from the catalogue of metrics."""

from viad.artifacts import markdown
from viad.metrics.catalogue import Level, metrics_at

METRIC_SECTIONS: tuple[tuple[Level, ...], ...] = (("image",), ("threshold", "shift"), ("pixel",), ("training", "cost"))


def format_metrics() -> list[str]:
    """Format a table for each section of docs/metrics.md, one row per metric."""
    return [_format_section(levels) for levels in METRIC_SECTIONS]


def _format_section(levels: tuple[Level, ...]) -> str:
    head = ["name", "heading", "what it is", "better", "interval"]
    rows = [
        [f"`{metric.key}`", metric.label, metric.explanation, metric.better, "yes" if metric.interval else ""]
        for metric in metrics_at(*levels)
    ]
    return markdown.format_table(head, rows)
