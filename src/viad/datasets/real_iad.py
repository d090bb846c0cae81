"""Real-IAD (Wang et al., "Real-IAD: A Real-World Multi-View Dataset for Benchmarking Versatile Industrial Anomaly
Detection", CVPR 2024). The json of a category gives the labels: images in an NG folder whose defect is not visible in
their view are labelled OK. Options: `views` is single (the camera from above) or all (five cameras; the views of one
part stay together), `resolution` that of the archive, `noise` the share of defective parts among the training images of
the fully unsupervised lists (fuiad), which hold all views."""

import json
from collections.abc import Iterator
from pathlib import Path

from viad.config.params import one_of
from viad.datasets import Row
from viad.datasets.folder_trees import find_optional_root, find_root, refuse_other_folders, refuse_unlisted
from viad.errors import ConfigError, DataError

LIST_FOLDERS = {"single": "realiad_jsons_sv", "all": "realiad_jsons"}
PUBLISHED_NOISE = (0.0, 0.1, 0.2, 0.4)
NORMAL_CLASS = "OK"
RESOLUTIONS = ("256", "512", "1024", "raw")
IMAGE_SUFFIX = ".jpg"  # masks are png files beside the images


def rows(
    raw: Path, category: str, *, views: str = "single", resolution: str | int = 1024, noise: float | None = None
) -> Iterator[Row]:
    """The category's images in the order of its json.

    Raises:
        ConfigError: an unknown option.
        DataError: a file that the json names is missing, an entry of the json is incomplete, or the json of all views
            omits an image.
    """
    one_of("dataset.options.views", views, LIST_FOLDERS)
    if noise is not None and noise not in PUBLISHED_NOISE:
        raise ConfigError(f"dataset.options.noise: {noise} was not published. Choose one of {PUBLISHED_NOISE} or null.")
    lists = LIST_FOLDERS[views] if noise is None else f"realiad_jsons_fuiad_{noise}"
    table = find_root(raw, f"{lists}/{category}.json") / f"{lists}/{category}.json"
    root = _find_images(raw, category, resolution)
    refuse_other_folders(root, "OK", "NG")
    published = _read_lists(table)
    if views == "all" and noise is None:  # the other lists are selections
        images = [file for file in root.rglob("*") if file.suffix.lower() == IMAGE_SUFFIX]
        listed = {root / one["image_path"] for entries in published.values() for one in entries}
        refuse_unlisted(images, listed, f"{lists}/{category}.json")
    for split, entries in published.items():
        for one in entries:
            image, defect = root / one["image_path"], one["anomaly_class"]
            anomalous = defect != NORMAL_CLASS
            masks = (root / one["mask_path"],) if anomalous and one["mask_path"] else ()
            for file in (image, *masks):
                if not file.is_file():
                    raise DataError(f"{file} does not exist, but {table} lists it. Download the dataset again.")
            yield Row(
                sample=Path(one["image_path"]).with_suffix("").as_posix(),
                image=image,
                label=int(anomalous),
                masks=masks,
                defect=defect if anomalous else "",
                # Defective training parts are contamination; only their label identifies them.
                split="reserve" if anomalous and split == "train" else split,
                group=_part(image) if views == "all" or noise is not None else "",
            )


def _find_images(raw: Path, category: str, resolution: str | int) -> Path:
    """Find the folder of a category: in `realiad_<resolution>/`, or in any folder if none names a resolution.

    Raises:
        DataError: it is missing, or the files have another resolution.
    """
    found = {one: find_optional_root(raw, f"realiad_{one}") for one in {*RESOLUTIONS, str(resolution)}}
    parents = {one: parent / f"realiad_{one}" for one, parent in found.items() if parent is not None}
    if parents and str(resolution) not in parents:
        raise DataError(
            f"{raw} has realiad_{' and realiad_'.join(sorted(parents))}, not realiad_{resolution}. "
            "Set dataset.options.resolution to the resolution of your files."
        )
    return find_root(parents.get(str(resolution), raw), f"{category}/{NORMAL_CLASS}") / category


def _read_lists(table: Path) -> dict[str, list[dict[str, str]]]:
    """Read the lists `train` and `test` of a json."""
    published = json.loads(table.read_text(encoding="utf-8"))
    for key in ("train", "test"):
        if key not in published:
            raise DataError(f"{table} has no list '{key}'. Download the dataset again.")
        for one in published[key]:
            missing = {"image_path", "mask_path", "anomaly_class"} - one.keys()
            if missing:
                raise DataError(f"{table}: an entry of '{key}' has no {min(missing)} ({one}). Download it again.")
    return {key: published[key] for key in ("train", "test")}


def _part(image: Path) -> str:
    """The folders down to the part's number: the same for all its views."""
    return f"{image.parent.parent.name}/{image.parent.name}"
