"""The critical-difference diagram (Demsar, JMLR 2006): mean ranks, with bars that join ranks without a significant
difference."""

from io import StringIO

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

NAME_SPACING = 0.24  # inches between names
INK = "#010101"  # a placeholder for the page's text colour; matplotlib does not write black


def format_diagram_svg(ranks: pd.DataFrame) -> str | None:
    """Format the diagram as an SVG in the page's text colour, the same text for the same ranks; None without ranks.

    Args:
        ranks: with `detector`, `rank`, `critical_difference`, best first.
    """
    if ranks.empty:
        return None
    figure = draw_diagram(ranks)
    text = StringIO()
    with mpl.rc_context({"svg.hashsalt": "viad"}):  # the same picture is the same text
        figure.savefig(text, format="svg", transparent=True, bbox_inches="tight", metadata={"Date": None})
    svg = text.getvalue()
    return svg[svg.index("<svg") :].replace(INK, "currentColor")


def draw_diagram(ranks: pd.DataFrame) -> Figure:
    """Draw the diagram; bars join detectors whose mean ranks differ by less than the critical difference."""
    # Imported here because the import takes seconds; the package has no types.
    from scikit_posthocs import critical_difference_diagram as draw  # type: ignore[import-untyped]

    places = ranks.set_index("detector")["rank"].astype(float)
    difference = float(ranks["critical_difference"].iloc[0])
    distance = np.abs(places.to_numpy()[:, None] - places.to_numpy()[None, :])
    # Nemenyi's test rejects beyond the critical difference; the bars need no more of its p-values than that.
    p_values = pd.DataFrame((distance <= difference).astype(float), index=places.index, columns=places.index)
    figure = Figure(figsize=(6, 0.9 + NAME_SPACING * (len(places) / 2 + 3)))
    axis = figure.add_subplot()
    artists = draw(
        places, p_values, cd=difference, ax=axis, text_h_margin=0.02 * len(places),
        label_fmt_left="{label}  {rank:.2f} ", label_fmt_right=" {rank:.2f}  {label}", label_props={"fontsize": 9},
        elbow_props={"color": INK, "linewidth": 0.8, "clip_on": False},
        marker_props={"color": INK, "s": 12, "clip_on": False}, crossbar_props={"color": INK, "linewidth": 2.5},
    )  # fmt: skip
    for (bar,) in artists["crossbars"]:  # the package reads their points from a set, in random order
        ends = np.asarray(bar.get_xdata())
        bar.set_data([ends.min(), ends.max()], np.asarray(bar.get_ydata())[:2])
    _finish(axis, len(places), float(places.iloc[0]), difference)
    return figure


def _finish(axis: Axes, count: int, first: float, difference: float) -> None:
    """Show the ranks from 1 to `count`; draw the critical difference above them, from the `first` rank on."""
    axis.set_xlim(1, max(count, first + difference))
    axis.set_xticks(range(1, count + 1))
    axis.tick_params(labelsize=9, color=INK, labelcolor=INK)
    axis.spines["top"].set_color(INK)
    bar, text = axis.lines[-1], axis.texts[-1]  # the package draws them last, over the numbers
    bar.set_ydata([1.5, 1.5])
    text.set(y=2.0, text=f"critical difference {difference:.2f}", color=INK)
    axis.set_ylim(top=2.4)
