"""The generated part of docs/shifts.md: the strengths of each shift."""

from viad.artifacts.markdown import format_table
from viad.protocol.shifts import SHIFTS


def format_severities() -> str:
    """Format one row per shift: the meaning of its number, its effect on masks, and the number of each severity."""
    head = ["shift", "the number is", "sampled for each image", "masks", "1", "2", "3", "4", "5"]
    rows = [
        [kind.name, kind.meaning, "yes" if kind.sampled else "no", "move" if kind.moves_masks else "stay"]
        + [str(strength) for strength in kind.severities]
        for kind in SHIFTS.values()
    ]
    return format_table(head, rows)
