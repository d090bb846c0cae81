"""Markdown tables, all written here."""

from collections.abc import Iterable, Sequence
from typing import Any


def format_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """Format a Markdown table, with a line feed at its end.

    Args:
        head: the heading of each column.
        rows: of cells, which `str` formats.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
