"""The generated part of docs/shifts.md: the strengths of each shift."""

from viad.artifacts.markdown import format_table
from viad.protocol.shifts import SEVERITIES


def severity_table() -> str:
    """What the number of each shift means, and the number of each severity, as Markdown."""
    head = ["shift", "the number is", "1", "2", "3", "4", "5"]
    return format_table(head, [[name, meaning, *numbers] for name, (meaning, numbers) in SEVERITIES.items()])
