"""When a detector was published."""

import re
from pathlib import Path

CONF = Path("conf/model")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def first_year(model: str) -> int | None:
    """The year of a model's paper: the first that the comment at the head of its yaml names; None if there is none."""
    path = CONF / f"{model}.yaml"
    if not path.is_file():
        return None
    head = "".join(line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.startswith("#"))
    found = YEAR.search(head)
    return int(found.group()) if found else None
