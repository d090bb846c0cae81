"""The year in which a detector was published."""

import re

from viad.config.composition import head_comment
from viad.documentation.model_tables import MODEL_CONF

YEAR_PATTERN = re.compile(r"\b(?:19|20)\d\d\b")


def find_publication_year(model: str) -> int | None:
    """Find the year of a model's paper: the first in the comment at the head of its yaml; None without a year."""
    path = MODEL_CONF / f"{model}.yaml"
    if not path.is_file():
        return None
    match = YEAR_PATTERN.search(head_comment(path))
    return int(match.group()) if match else None
