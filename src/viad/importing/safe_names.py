"""Names of categories and defect types that are safe everywhere, in place of those that folders and tables have."""

from collections.abc import Sequence
from dataclasses import replace

from viad.config.names import make_safe_names
from viad.importing.layouts import Picture

DisplayNames = dict[str, dict[str, str]]  # "categories" and "defects": the original name by the new one


def use_safe_names(pictures: Sequence[Picture]) -> tuple[list[Picture], DisplayNames]:
    """Replace names that break the rule (`viad.config.names`), and return the original names of those replaced."""
    categories = make_safe_names(picture.category for picture in pictures)
    defects = make_safe_names(picture.defect for picture in pictures if picture.defect) | {"": ""}
    renamed = [
        replace(picture, category=categories[picture.category], defect=defects[picture.defect]) for picture in pictures
    ]
    changed = {"categories": categories, "defects": defects}
    return renamed, {
        kind: {name: original for original, name in names.items() if name != original}
        for kind, names in changed.items()
        if any(name != original for original, name in names.items())
    }


def describe_names(display_names: DisplayNames) -> str:
    """Say which names were replaced, a line each; '' if none was."""
    words = {"categories": "Category", "defects": "Defect type"}
    return "".join(
        f"{words[kind]} {original!r} is called {name} here: a name may reach a shell, a path and a URL.\n"
        for kind, names in display_names.items()
        for name, original in names.items()
    )
