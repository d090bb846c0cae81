"""Pictures of the audit's findings: some images per kind of finding, pairs side by side."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from viad.artifacts.atomic import replacing
from viad.artifacts.images import read_image, read_mask, resize_image, resize_mask
from viad.datasets import Row
from viad.errors import DataError

EXAMPLES_PER_KIND = 4  # findings a kind
EXAMPLE_SIDE = 200  # pixels


def draw_findings(table: pd.DataFrame, by_category: Mapping[str, Sequence[Row]], title: str, path: Path) -> None:
    """Draw examples of each kind of finding, spread over all of them.

    Args:
        table: the findings, as `audit_category` returns them.
        by_category: the rows that were audited.
        title: the title of the sheet, such as the dataset's name.
        path: the JPEG to write.
    """
    rows = {(category, row.sample): row for category, members in by_category.items() for row in members}
    kinds = {str(kind): part for kind, part in table.groupby("kind") if kind != "excluded"}
    figure = Figure(figsize=(EXAMPLES_PER_KIND * 3.4, max(1, len(kinds)) * 2.3 + 0.5), layout="constrained", dpi=80)
    figure.suptitle(f"{title}: findings of the audit" if kinds else f"{title}: no findings", fontsize=12)
    if kinds:
        parts = figure.subfigures(len(kinds), 1, squeeze=False)[:, 0]
        for part, (kind, findings) in zip(parts, kinds.items(), strict=True):
            part.suptitle(f"{kind} ({len(findings)})", fontsize=11, x=0.01, ha="left", weight="bold")
            axes = part.subplots(1, 2 * EXAMPLES_PER_KIND, squeeze=False)[0]
            for axis in axes:
                axis.set_axis_off()
            examples = np.unique(np.linspace(0, len(findings) - 1, EXAMPLES_PER_KIND).round().astype(int))
            for place, finding in enumerate(findings.iloc[examples].to_dict("records")):
                for axis, sample in zip(axes[2 * place :], (finding["sample"], finding["other"]), strict=False):
                    if sample:
                        _draw_image(axis, rows[finding["category"], sample])
    with replacing(path) as aside:
        figure.savefig(aside, format="jpeg", pil_kwargs={"quality": 85})


def _draw_image(axis: Axes, row: Row) -> None:
    try:
        axis.imshow(resize_image(read_image(row.image, row.bits), EXAMPLE_SIDE, "rgb", "pad"))
        for path in row.masks:
            outline = resize_mask(read_mask(path, row.mask_from), EXAMPLE_SIDE, "pad")
            if outline.any():
                axis.contour(outline, levels=[0.5], colors="red", linewidths=1)
    except DataError:
        axis.text(0.5, 0.5, "unreadable", ha="center", va="center")
    axis.set_title(f"{row.sample[-26:]}\n{row.defect or 'normal'}", fontsize=7)
