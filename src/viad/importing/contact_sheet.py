"""A contact sheet: some images of each kind, with the outlines of their masks, for checking an import."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from viad.artifacts.atomic import replacing
from viad.artifacts.images import read_image, read_mask, resize_image, resize_mask
from viad.importing.layouts import Picture

IMAGES_PER_KIND, MOST_KINDS = 8, 12  # images a row, rows at most
THUMBNAIL_SIDE = 160  # pixels


def draw_contact_sheet(
    folder: Path, pictures: Sequence[Picture], path: Path, mask_from: int = 1, bits: int = 16
) -> None:
    """Draw a row of images for each category and kind, spread over all its images.

    Args:
        folder: the folder that the pictures' paths are relative to.
        pictures: of any categories.
        path: the JPEG to write.
        mask_from: the lowest grey level of an anomalous pixel.
        bits: that 16-bit images use.
    """
    kinds: dict[str, list[Picture]] = {}
    for picture in sorted(pictures, key=lambda picture: (picture.category, picture.label, picture.defect)):
        kinds.setdefault(f"{picture.category}: {picture.defect or 'normal'}", []).append(picture)
    first_kinds = dict(list(kinds.items())[:MOST_KINDS])
    figure = Figure(figsize=(IMAGES_PER_KIND * 1.5, len(first_kinds) * 1.85 + 0.5), layout="constrained", dpi=100)
    left = f"; {len(kinds) - MOST_KINDS} more kinds" if len(kinds) > MOST_KINDS else ""
    figure.suptitle(f"{len(pictures)} images, as imported{left}", fontsize=11)
    for part, (name, members) in zip(
        figure.subfigures(len(first_kinds), 1, squeeze=False)[:, 0], first_kinds.items(), strict=True
    ):
        part.suptitle(f"{name} ({len(members)})", fontsize=10, x=0.01, ha="left", weight="bold")
        axes = part.subplots(1, IMAGES_PER_KIND, squeeze=False)[0]
        for axis in axes:
            axis.set_axis_off()
        examples = np.unique(np.linspace(0, len(members) - 1, IMAGES_PER_KIND).round().astype(int))
        for axis, i in zip(axes, examples, strict=False):
            axis.imshow(resize_image(read_image(folder / members[i].image, bits), THUMBNAIL_SIDE, "rgb", "pad"))
            for mask in members[i].masks:
                outline = resize_mask(read_mask(folder / mask, mask_from), THUMBNAIL_SIDE, "pad")
                axis.contour(outline, levels=[0.5], colors="red", linewidths=1)
    with replacing(path) as aside:
        figure.savefig(aside, format="jpeg", pil_kwargs={"quality": 85})
