"""The figures of docs/findings.md: curves of a condition, one panel per test set."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from viad.artifacts.atomic import replacing

PANELS_PER_ROW, PANEL_INCHES = 3, (3.4, 2.7)  # panels per row, and inches of a panel
CURVE_COLORS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000")  # Okabe and Ito's
CURVE_MARKERS = "osD^vPX"


def plot_curves(curves: Sequence[Mapping[str, Any]], path: Path) -> None:
    """Plot the curves of `viad.comparison.condition_curves.build_curves`, with their 95 % intervals, as SVG."""
    rows = -(-len(curves) // PANELS_PER_ROW)
    columns = min(PANELS_PER_ROW, len(curves))
    figure = Figure(figsize=(PANEL_INCHES[0] * columns, PANEL_INCHES[1] * rows + 0.5), layout="constrained")
    names = sorted({line["name"] for curve in curves for line in curve["lines"]})
    axes = figure.subplots(rows, columns, squeeze=False, sharey=True).flat
    for axis, curve in zip(axes, curves, strict=False):
        _plot_panel(axis, curve, names)
    for axis in list(axes)[len(curves) :]:
        axis.set_axis_off()
    handles = {
        name: handle for axis in figure.axes for handle, name in zip(*axis.get_legend_handles_labels(), strict=True)
    }
    shown = [name for name in names if name in handles]
    lines = [handles[name] for name in shown]
    figure.legend(lines, shown, loc="outside lower center", ncols=4, fontsize=8, frameon=False)
    # With a fixed salt and no date, the same figure is the same file.
    with replacing(path) as aside, mpl.rc_context({"svg.hashsalt": "viad"}):
        figure.savefig(aside, format="svg", metadata={"Date": None})


def _plot_panel(axis: Axes, curve: Mapping[str, Any], names: Sequence[str]) -> None:
    axis.set_title(curve["title"], fontsize=8)
    axis.set_xlabel(curve["x"], fontsize=8)
    axis.set_ylabel(curve["y"], fontsize=8)
    axis.tick_params(labelsize=7)
    axis.grid(alpha=0.25)
    values = [value for line in curve["lines"] for value in line["x"]]
    places = {value: i for i, value in enumerate(dict.fromkeys(values))}
    if curve["categorical"]:
        axis.set_xticks(range(len(places)), [str(value) for value in places], fontsize=7)
    for line in curve["lines"]:
        i = names.index(line["name"])
        x = [places[value] + 0.06 * (i - len(names) / 2) for value in line["x"]] if curve["categorical"] else line["x"]
        axis.errorbar(
            x, line["y"], yerr=_compute_error_bars(line), label=line["name"], color=CURVE_COLORS[i % len(CURVE_COLORS)],
            marker=CURVE_MARKERS[i % len(CURVE_MARKERS)], ms=4, lw=0 if curve["categorical"] else 1.2, elinewidth=0.8,
            capsize=2,
        )  # fmt: skip


def _compute_error_bars(line: Mapping[str, Any]) -> list[list[float]]:
    """Compute the distances of each interval's ends below and above its value; 0 without an interval."""
    below, above = [], []
    for value, low, high in zip(line["y"], line["low"], line["high"], strict=True):
        below.append(0.0 if low is None or value is None else max(0.0, value - low))
        above.append(0.0 if high is None or value is None else max(0.0, high - value))
    return [below, above]
