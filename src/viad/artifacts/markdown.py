"""Tables as Markdown: the one writer of them."""

from collections.abc import Iterable, Sequence
from typing import Any


def format_table(head: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    """A Markdown table with a line feed at its end.

    Args:
        head: the headings, one a column.
        rows: of cells, which are written as `str` gives them.
    """
    lines = [head, ["---"] * len(head), *rows]
    return "".join(f"| {' | '.join(map(str, line))} |\n" for line in lines)
