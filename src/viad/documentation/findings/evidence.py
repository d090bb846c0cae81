"""Counting what a table of paired differences says for and against a claim."""

from dataclasses import dataclass

import pandas as pd

from viad.artifacts import markdown
from viad.comparison.writing import readable

HOLDS, PARTLY, NOT_SEEN = "holds here", "holds in part", "is not seen here"
NOT_RUN = "has no paired results yet"


@dataclass(frozen=True)
class Count:
    """How many differences are clearly above 0, clearly below 0, and not told from 0."""

    above: int
    below: int
    neither: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.above + self.below + self.neither

    def words(self, above: str, below: str) -> str:
        """Such as '3 of 8 gain, 1 loses, 4 are not told from no change'."""
        if not self.total:
            return "there is no difference to count yet"
        return (
            f"of {self.total} differences {self.above} {above}, {self.below} {below} and {self.neither} are not told "
            "from no change"
        )


def count(found: pd.DataFrame) -> Count:
    """Count the rows of a table of differences by where their interval lies."""
    above, below = int((found["low"] > 0).sum()), int((found["high"] < 0).sum())
    return Count(above, below, len(found) - above - below)


def verdict(for_it: int, against_it: int, total: int) -> str:
    """One of the four verdicts: half of the differences or more, and none against it, make it hold."""
    if total == 0:
        return NOT_RUN
    if for_it == 0:
        return NOT_SEEN
    return HOLDS if 2 * for_it >= total and against_it == 0 else PARTLY


def both(one: str, other: str) -> str:
    """The verdict on a claim with two halves: it holds where both do, and in part where one does at least in part."""
    if one == other:
        return one
    return PARTLY if {one, other} & {HOLDS, PARTLY} else NOT_SEEN


def of(table: pd.DataFrame, **equal: str) -> pd.DataFrame:
    """The rows of a table where columns (with __ for a dot) have these values."""
    for column, value in equal.items():
        table = table[table[column.replace("__", ".")] == value]
    return table


def shown(name: str, found: pd.DataFrame) -> str:
    """A table of a comparison as Markdown, or a line that it is empty."""
    if found.empty:
        return "*No paired results yet.*\n"
    text = readable(name, found)
    return markdown.format_table(list(text.columns), text.to_numpy().tolist())


def mean_words(found: pd.DataFrame, by: str = "detector") -> str:
    """Mean differences by a column, such as 'padim -0.012, patchcore +0.003'."""
    means = found.groupby(by)["difference"].mean().to_dict()
    return ", ".join(f"{name} {value:+.3f}" for name, value in means.items()) or "none"
