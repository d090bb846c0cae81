"""Counts of the paired differences that support or contradict a claim, and the verdict that follows."""

from dataclasses import dataclass

import pandas as pd

from viad.artifacts import markdown
from viad.comparison.comparison_files import format_readable

CONFIRMED, PARTLY_CONFIRMED, NOT_CONFIRMED = "confirmed here", "confirmed in part", "not confirmed here"
NOT_TESTED = "not tested yet"


@dataclass(frozen=True)
class Count:
    """How many differences are significantly above 0, significantly below 0, and not significant."""

    above: int
    below: int
    neither: int

    @property
    def total(self) -> int:
        """The number of differences."""
        return self.above + self.below + self.neither

    def describe(self, above: str, below: str) -> str:
        """Such as 'in 8 comparisons, AUROC rose in 3, fell in 1, and 4 showed no significant difference'.

        Args:
            above: what stands before the number of differences above 0, such as 'AUROC rose in'.
            below: what stands before the number below 0, such as 'fell in'.
        """
        if not self.total:
            return "no comparison has been run yet"
        rose, fell = f"{above} {self.above or 'none'}", f"{below} {self.below or 'none'}"
        if not self.neither:
            return f"in {self.total} comparisons, {rose} and {fell}"
        return f"in {self.total} comparisons, {rose}, {fell}, and {self.neither} showed no significant difference"


def count_differences(differences: pd.DataFrame) -> Count:
    """Count the rows of a table of differences by whether their interval is above 0, below 0, or contains it."""
    above, below = int((differences["low"] > 0).sum()), int((differences["high"] < 0).sum())
    return Count(above, below, len(differences) - above - below)


def judge_claim(supporting: int, contradicting: int, total: int) -> str:
    """One of the four verdicts: a claim is confirmed if at least half of the differences support it and none
    contradicts it.
    """
    if total == 0:
        return NOT_TESTED
    if supporting == 0:
        return NOT_CONFIRMED
    return CONFIRMED if 2 * supporting >= total and contradicting == 0 else PARTLY_CONFIRMED


def combine_verdicts(first: str, second: str) -> str:
    """The verdict on a claim with two halves: in part if at least one half is confirmed at least in part."""
    if first == second:
        return first
    return PARTLY_CONFIRMED if {first, second} & {CONFIRMED, PARTLY_CONFIRMED} else NOT_CONFIRMED


def select_rows(table: pd.DataFrame, **equal: str) -> pd.DataFrame:
    """The rows of a table whose columns (with __ for a dot) have these values."""
    for column, value in equal.items():
        table = table[table[column.replace("__", ".")] == value]
    return table


def format_comparison(name: str, table: pd.DataFrame) -> str:
    """A table of a comparison as Markdown, or a line that says that it is empty."""
    if table.empty:
        return "*No results yet.*\n"
    text = format_readable(name, table)
    return markdown.format_table(list(text.columns), text.to_numpy().tolist())


def list_means(differences: pd.DataFrame, by: str = "detector") -> str:
    """Mean differences by a column, such as 'padim -0.012, patchcore +0.003'."""
    means = differences.groupby(by)["difference"].mean().to_dict()
    return ", ".join(f"{name} {value:+.3f}" for name, value in means.items()) or "none"
