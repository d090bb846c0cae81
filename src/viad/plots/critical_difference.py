"""The critical-difference diagram (Demsar, JMLR 2006): mean ranks, and bars over ranks without a significant difference."""

from collections.abc import Sequence
from io import StringIO

import matplotlib as mpl
import pandas as pd
from matplotlib.figure import Figure

STEP = 0.24  # inches between names
INK = "currentColor"  # the page's text colour, light or dark


def critical_difference_diagram(ranks: pd.DataFrame) -> str | None:
    """An SVG for pages and files; None without ranks.

    Args:
        ranks: with `detector`, `rank`, `critical_difference`, best first.
    """
    if ranks.empty:
        return None
    figure = draw(ranks)
    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": "viad"}):  # the same picture is the same text
        figure.savefig(text, format="svg", transparent=True, metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace("#000000", INK)


def draw(ranks: pd.DataFrame) -> Figure:
    """The diagram as a figure."""
    names, places = list(ranks["detector"]), [float(rank) for rank in ranks["rank"]]
    apart = float(ranks["critical_difference"].iloc[0])
    count, half = len(names), (len(names) + 1) // 2
    bars = _bars(places, apart)
    height = 1.25 + STEP * (half + len(bars) * 0.6)
    figure = Figure(figsize=(8, height))
    axis = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axis.set(xlim=(-0.32 * count, 1.32 * count + 1), ylim=(-height + 0.95, 0.95))
    axis.set_axis_off()
    axis.plot([1, count], [0, 0], color="#000000", lw=1)
    for tick in range(1, count + 1):
        axis.plot([tick, tick], [0, 0.07], color="#000000", lw=1)
        axis.text(tick, 0.12, str(tick), ha="center", va="bottom", fontsize=9)
    shown = min(apart, count - 1)
    axis.plot([1, 1 + shown], [0.5, 0.5], color="#000000", lw=2)
    beyond = "" if apart <= count - 1 else ", beyond the scale"
    axis.text(1, 0.58, f"critical difference {apart:.2f}{beyond}", va="bottom", fontsize=9)
    for level, (first, last) in enumerate(bars):
        y = -0.12 - 0.6 * STEP * level
        axis.plot([places[first] - 0.05, places[last] + 0.05], [y, y], color="#000000", lw=3, solid_capstyle="butt")
    below = -0.12 - 0.6 * STEP * len(bars)
    for i, (name, place) in enumerate(zip(names, places, strict=True)):
        left = i < half
        y = below - STEP * (i if left else count - 1 - i) - 0.1
        x = 0.85 if left else count + 0.15
        axis.plot([place, place, x], [0, y, y], color="#000000", lw=0.8)
        said = f"{name}  {place:.2f}" if left else f"{place:.2f}  {name}"
        axis.text(x + (-0.08 if left else 0.08), y, said, ha="right" if left else "left", va="center", fontsize=9)
    return figure


def _bars(places: Sequence[float], apart: float) -> list[tuple[int, int]]:
    """The longest runs of detectors that lie within the critical difference, as first and last position."""
    runs: list[tuple[int, int]] = []
    for first in range(len(places)):
        last = max(i for i in range(first, len(places)) if places[i] - places[first] <= apart)
        if last > first and not any(a <= first and last <= b for a, b in runs):
            runs.append((first, last))
    return runs
