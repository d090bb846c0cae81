"""Tables of docs/conditions.md, from the table of conditions."""

from viad.artifacts import markdown
from viad.experiments.conditions import CONDITIONS, EXCLUDED, Condition, baseline_texts

HEAD = ["parameter", "meaning", "baseline", "in a name", "axis"]


def conditions_table() -> str:
    """A row a condition: its meaning, its baseline, how a name has it, and the axis that shows its effect."""
    baselines = baseline_texts()
    rows = [
        [f"`{one.key}`", one.meaning, baselines[one.key] or "–", _name(one), one.axis.name if one.axis else ""]
        for one in CONDITIONS
    ]
    return markdown.format_table(HEAD, rows)


def excluded_table() -> str:
    """A row a parameter that does not distinguish experiments, and why."""
    rows = [[f"`{key.removesuffix('.')}`", reason] for key, reason in EXCLUDED.items() if f"{key}." not in EXCLUDED]
    return markdown.format_table(["parameter", "reason"], rows)


def _name(condition: Condition) -> str:
    if condition.in_name is None:
        return ""
    value = "NAME" if condition.key.endswith(".name") else "VALUE"
    follows = "" if condition.followed_by is None else condition.followed_by.rpartition(".")[2].upper()
    form = condition.in_name.format(value) + follows
    return f"`{form}`" + (", always" if condition.always_named else "")
