"""Markdown tables have one writer."""

import re
from pathlib import Path

from viad.artifacts.markdown import format_table

SOURCE = Path(__file__).parents[1] / "src"


def test_a_table_is_written_cell_by_cell():
    assert format_table(["model", "AUROC"], [["padim", 0.5], ("", None)]) == (
        "| model | AUROC |\n| --- | --- |\n| padim | 0.5 |\n|  | None |\n"
    )


def test_no_other_module_writes_tables_by_hand():
    writers = {path.name for path in SOURCE.rglob("*.py") if re.search(r"\| ?:?---|\"---\"", path.read_text())}
    assert writers == {"markdown.py"}
