"""Pictures for the report: chosen test images of one experiment and category, small, with and without their map.

The choice is that of the heat maps in `viad.plots`, the worst and the typical, and also the images nearest to
the threshold, since they change when a reader moves it.
"""

import hashlib
import re
from collections.abc import Callable
from itertools import zip_longest
from pathlib import Path
from typing import Any

import cv2
import matplotlib as mpl
import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from viad.artifacts.anomaly_maps import Maps, StoredMaps
from viad.artifacts.images import Pixels
from viad.artifacts.samples import ANOMALOUS

PICTURE_SIDE = 192  # pixels, of the longer side
QUALITY = 82  # of JPEG: 8 kB a picture
OPAQUE = 0.85  # where the map is highest
OUTLINE = (0, 229, 255)  # cyan: inferno has none
Open = Callable[[str], NDArray[Any]]


def write_gallery(
    scores: pd.DataFrame,
    maps: StoredMaps,
    threshold: float | None,
    attribution: str,
    experiment: str,
    category: str,
    out: Path,
    most: int = 24,
    *,
    open_image: Open,
    open_mask: Open,
) -> dict[str, Any]:
    """Write the pictures, and return the entry of the gallery in the report.

    Args:
        scores: test rows with `sample`, `image`, `mask`, `label`, `defect`, `score` (higher is more anomalous) and
            `row` of maps.
        maps: their anomaly maps.
        threshold: images that score above it are called anomalous; None without validation normals.
        attribution: of the images; may be empty.
        experiment, category: of the scores.
        out: the folder that the report calls pictures/.
        most: images to show.
        open_image: gives (H, W) or (H, W, 3) uint8 for what `image` names.
        open_mask: gives (H, W), above 0 where anomalous, for what `mask` names.

    Returns:
        the scores and labels of all rows, and of the chosen ones their pictures' paths.
    """
    chosen = choose_rows(scores, threshold, most)
    out.mkdir(parents=True, exist_ok=True)
    span = _find_color_range(maps.read_full(chosen["row"].to_numpy(dtype=np.int64))) if len(chosen) else (0.0, 1.0)
    stem = make_file_stem(f"{experiment}/{category}")
    images = []
    for place, row in enumerate(chosen.to_dict("records")):
        picture = shrink_image(open_image(str(row["image"])))
        mask = open_mask(str(row["mask"])) if row["mask"] else None
        full = maps.read_full(np.array([row["row"]], dtype=np.int64))[0]
        names = f"{stem}-{place:02d}.jpg", f"{stem}-{place:02d}-map.jpg"
        for name, pixels in zip(names, (picture, overlay_map(picture, full, span, mask)), strict=True):
            Image.fromarray(pixels).save(out / name, format="JPEG", quality=QUALITY)
        images.append(
            {
                "sample": str(row["sample"]),
                "label": int(row["label"]),
                "defect": str(row["defect"]),
                "score": float(row["score"]),
                "image": f"pictures/{names[0]}",
                "map": f"pictures/{names[1]}",
            }
        )
    return {
        "experiment": experiment,
        "category": category,
        "threshold": threshold,
        "attribution": attribution,
        "scores": [[float(s), int(y)] for s, y in zip(scores["score"], scores["label"], strict=True)],
        "images": images,
    }


def choose_rows(scores: pd.DataFrame, threshold: float | None, most: int) -> pd.DataFrame:
    """Choose at most `most` rows, each once: worst misses and false alarms, nearest to the threshold, typical ones.

    Each kind has an equal share; what one lacks goes to rows spread over all scores.
    """
    order = scores.sort_values(["score", "sample"]).reset_index(drop=True)
    anomalous = order.index[order["label"] == ANOMALOUS]
    normal = order.index[order["label"] != ANOMALOUS]
    typical = [
        i
        for pair in zip_longest(_order_from_middle(anomalous), _order_from_middle(normal))
        for i in pair
        if i is not None
    ]
    kinds = [list(anomalous), list(normal[::-1]), typical]
    if threshold is not None:
        kinds.append(list((order["score"] - threshold).abs().sort_values(kind="stable").index))
    taken: dict[int, None] = {}
    for kind in kinds:
        free = [i for i in kind if i not in taken]
        taken |= dict.fromkeys(free[: most // len(kinds)])
    rest = [i for i in order.index if i not in taken]
    spread = np.unique(np.linspace(0, len(rest) - 1, min(len(rest), most - len(taken))).round().astype(int))
    return order.loc[[*taken, *(rest[i] for i in spread)]]


def shrink_image(pixels: Pixels) -> Pixels:
    """Shrink the image to (h, w, 3) with its longer side of `PICTURE_SIDE`."""
    image = Image.fromarray(pixels).convert("RGB")
    scale = PICTURE_SIDE / max(image.size)
    size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BILINEAR))


def overlay_map(
    picture: Pixels, full: NDArray[np.float32], span: tuple[float, float], mask: NDArray[Any] | None
) -> Pixels:
    """The grey picture (h, w, 3) under its map (H, W), clear where low, and the mask's outline."""
    height, width = picture.shape[:2]
    low, high = span
    level = np.clip((cv2.resize(full, (width, height)) - low) / max(high - low, np.finfo(np.float32).tiny), 0, 1)
    grey = np.repeat(picture.mean(axis=2, keepdims=True), 3, axis=2)
    alpha = OPAQUE * level[:, :, None]
    colours = mpl.colormaps["inferno"](level)[:, :, :3] * 255
    mixed = np.rint(grey * (1 - alpha) + colours * alpha).astype(np.uint8)
    if mask is not None:
        marked = cv2.resize((mask > 0).astype(np.float32), (width, height), interpolation=cv2.INTER_AREA) > 0
        outlines, _ = cv2.findContours(marked.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        cv2.drawContours(mixed, outlines, -1, OUTLINE, 1)
    return mixed


def make_file_stem(name: str) -> str:
    """Make a file name that needs no escaping in an address; different names give different file names."""
    plain = re.sub(r"[^A-Za-z0-9._-]", "_", name)
    return plain if plain == name else f"{plain}-{hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _order_from_middle(index: pd.Index) -> list[int]:
    """Order an index from the middle outwards."""
    places = np.arange(len(index))
    return list(index[np.argsort(np.abs(places - (len(index) - 1) / 2), kind="stable")])


def _find_color_range(values: Maps) -> tuple[float, float]:
    """One colour scale for the whole gallery, as in the heat maps: from the median to near the top."""
    return float(np.quantile(values, 0.5)), float(np.quantile(values, 0.999))
