"""The heat-map gallery of a category: its worst errors and typical hits."""

from collections.abc import Hashable
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from viad.artifacts.anomaly_maps import StoredMaps
from viad.artifacts.images import read_image, read_mask

IMAGES_PER_ROW = 4  # images a row of the gallery
GALLERY_WIDTH, TITLE_HEIGHT = 15.5, 0.75  # inches: of the gallery, and of a row's titles above its pictures


def draw_gallery(
    test: pd.DataFrame, maps: StoredMaps, limit: float | None, attribution: str, category: str, path: Path
) -> None:
    """Draw the worst misses, the worst false alarms and typical hits, each with its map and mask.

    Args:
        test: test rows with `image`, `mask`, `label`, `defect`, `score` and `row`.
        maps: their anomaly maps.
        limit: the threshold; None if there is none.
        attribution: of the images, printed below them; may be empty.
        category: named in the title.
        path: the JPEG to write.
    """
    groups = {name: rows for name, rows in choose_examples(test).items() if len(rows)}
    low, high = _find_color_range(test, maps)
    has_masks = bool((test["mask"] != "").any())
    columns = IMAGES_PER_ROW * (3 if has_masks else 2)
    height = len(groups) * (GALLERY_WIDTH / columns + TITLE_HEIGHT) + 0.6
    figure = Figure(figsize=(GALLERY_WIDTH, height), layout="constrained", dpi=80)
    threshold = "no threshold: no validation normals" if limit is None else f"threshold {limit:.4g}"
    shown = "image, anomaly map and mask" if has_masks else "image and anomaly map"
    figure.suptitle(f"{category}: {shown}; {threshold}", fontsize=12)
    for part, (name, rows) in zip(figure.subfigures(len(groups), 1, squeeze=False)[:, 0], groups.items(), strict=True):
        part.suptitle(name, fontsize=11, x=0.01, ha="left", weight="bold")
        axes = part.subplots(1, columns, squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        step = len(axes) // IMAGES_PER_ROW
        for i, row in enumerate(rows.to_dict("records")):
            _draw_image(axes[i * step : (i + 1) * step], row, maps, (low, high), limit)
    if attribution:
        figure.text(0.995, 0.002, attribution, ha="right", va="bottom", fontsize=7, color="0.35")
    figure.savefig(path, format="jpeg", pil_kwargs={"quality": 85})


def choose_examples(test: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Choose the rows to show: anomalies with the lowest scores, normals with the highest, and median anomalies."""
    order = test.sort_values(["score", "sample"])
    anomalous, normal = order[order["label"] == 1], order[order["label"] == 0]
    middle = max(0, len(anomalous) // 2 - IMAGES_PER_ROW // 2)
    return {
        "Anomalies with the lowest scores: the worst misses": anomalous[:IMAGES_PER_ROW],
        "Normal images with the highest scores: the worst false alarms": normal[::-1][:IMAGES_PER_ROW],
        "Typical anomalies: scores around their median": anomalous[middle : middle + IMAGES_PER_ROW],
    }


def _draw_image(
    axes: np.ndarray, row: dict[Hashable, Any], maps: StoredMaps, span: tuple[float, float], limit: float | None
) -> None:
    picture = read_image(Path(str(row["image"])))
    axes[0].imshow(picture, cmap="gray", vmin=0, vmax=255)
    score = float(str(row["score"]))
    verdict = "" if limit is None else (", called anomalous" if score > limit else ", called normal")
    axes[0].set_title(f"{row['defect'] or 'normal'}\nscore {score:.4g}{verdict}", fontsize=7, loc="left")
    full = maps.read_full(np.array([row["row"]]))[0]
    # The map is transparent, so that the part stays visible.
    _show_grey(axes[1], picture)
    axes[1].imshow(full, cmap=mpl.colormaps["inferno"], vmin=span[0], vmax=span[1], alpha=0.75)
    if len(axes) > 2:
        mask = read_mask(Path(str(row["mask"]))) if row["mask"] else np.zeros(full.shape, bool)
        axes[2].imshow(mask, cmap="gray", vmin=0, vmax=1)


def _show_grey(axis: Axes, picture: np.ndarray) -> None:
    axis.imshow(picture if picture.ndim == 2 else picture.mean(axis=2), cmap="gray", vmin=0, vmax=255)


def _find_color_range(test: pd.DataFrame, maps: StoredMaps) -> tuple[float, float]:
    """Find the colour range of the whole gallery: from the median to near the maximum of some of the maps."""
    rows = test["row"].to_numpy()[:: max(1, len(test) // 32)]
    values = maps.read_full(np.sort(rows))
    return float(np.quantile(values, 0.5)), float(np.quantile(values, 0.999))
