"""The table of docs/shifts.md, from the registry of shifts."""

from viad.artifacts import markdown
from viad.protocol.shifts import SHIFTS


def severity_table() -> str:
    """A row a shift: what its number means, and its strengths."""
    head = ["shift", "the number is", "sampled for each image", "masks", "1", "2", "3", "4", "5"]
    rows = [
        [kind.name, kind.meaning, "yes" if kind.sampled else "no", "move" if kind.moves_masks else "stay"]
        + [str(strength) for strength in kind.severities]
        for kind in SHIFTS.values()
    ]
    return markdown.format_table(head, rows)
