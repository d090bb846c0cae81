"""The generated part of docs/shifts.md: the strengths of each shift."""

from viad.artifacts.markdown import format_table
from viad.protocol.shifts import SHIFTS


def format_severities() -> str:
    """What the number of each shift means, what it does to masks, and the number of each severity, as Markdown."""
    head = ["shift", "the number is", "sampled for each image", "masks", "1", "2", "3", "4", "5"]
    rows = [
        [kind.name, kind.meaning, "yes" if kind.sampled else "no", "move" if kind.moves_masks else "stay"]
        + [str(strength) for strength in kind.severities]
        for kind in SHIFTS.values()
    ]
    return format_table(head, rows)
