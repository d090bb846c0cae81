"""The year in which a detector was published."""

import re
from pathlib import Path

from viad.config.composition import head_comment

MODEL_CONF = Path("conf/model")
YEAR_PATTERN = re.compile(r"\b(?:19|20)\d\d\b")


def find_publication_year(model: str) -> int | None:
    """The first year in the comment at the head of a model's yaml, that of its paper; None if there is none."""
    path = MODEL_CONF / f"{model}.yaml"
    if not path.is_file():
        return None
    found = YEAR_PATTERN.search(head_comment(path))
    return int(found.group()) if found else None
