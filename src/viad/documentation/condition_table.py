"""Tables of docs/conditions.md, from the table of conditions."""

from viad.artifacts import markdown
from viad.experiments.conditions import CONDITIONS, EXCLUDED_PARAMETERS, Condition, format_baselines

CONDITION_HEADINGS = ["parameter", "meaning", "baseline", "in a name", "axis"]


def format_conditions() -> str:
    """Format one row per condition: its meaning, baseline, format in a name, and the axis that shows its effect."""
    baselines = format_baselines()
    rows = [
        [f"`{one.key}`", one.meaning, baselines[one.key] or "–", _format_name(one), one.axis.name if one.axis else ""]
        for one in CONDITIONS
    ]
    return markdown.format_table(CONDITION_HEADINGS, rows)


def format_excluded_parameters() -> str:
    """Format one row per parameter that does not distinguish experiments, with the reason."""
    rows = [
        [f"`{key.removesuffix('.')}`", reason]
        for key, reason in EXCLUDED_PARAMETERS.items()
        if f"{key}." not in EXCLUDED_PARAMETERS
    ]
    return markdown.format_table(["parameter", "reason"], rows)


def _format_name(condition: Condition) -> str:
    if condition.in_name is None:
        return ""
    value = "NAME" if condition.key.endswith(".name") else "VALUE"
    follows = "" if condition.followed_by is None else condition.followed_by.rpartition(".")[2].upper()
    form = condition.in_name.format(value) + follows
    return f"`{form}`" + (", always" if condition.always_named else "")
