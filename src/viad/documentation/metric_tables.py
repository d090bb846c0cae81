"""Tables of docs/metrics.md, from the catalogue of metrics."""

from viad.artifacts import markdown
from viad.metrics.catalogue import Level, metrics_at

SECTIONS: tuple[tuple[Level, ...], ...] = (("image",), ("threshold", "shift"), ("pixel",), ("training", "cost"))


def metric_tables() -> list[str]:
    """A table for each section of docs/metrics.md: a row a metric."""
    return [_table(levels) for levels in SECTIONS]


def _table(levels: tuple[Level, ...]) -> str:
    head = ["name", "heading", "what it is", "better", "interval"]
    rows = [
        [f"`{metric.key}`", metric.label, metric.explanation, metric.better, "yes" if metric.interval else ""]
        for metric in metrics_at(*levels)
    ]
    return markdown.format_table(head, rows)
