"""When a detector was published."""

import re
from pathlib import Path

from viad.config.composition import head_comment

CONF = Path("conf/model")
YEAR = re.compile(r"\b(?:19|20)\d\d\b")


def first_year(model: str) -> int | None:
    """The year of a model's paper: the first that the comment at the head of its yaml names; None if there is none."""
    path = CONF / f"{model}.yaml"
    if not path.is_file():
        return None
    found = YEAR.search(head_comment(path))
    return int(found.group()) if found else None
