"""Words in names of folders and files: normal images, splits, masks, and folders that hold something else."""

import re
import unicodedata

NORMAL_WORDS = {
    "good", "ok", "normal", "normals", "negative", "neg", "free", "clean", "pass", "passed", "healthy", "intact",
    "defect_free", "defectfree", "no_defect", "nodefect", "non_defective", "nondefective", "0",
}  # fmt: skip
SPLIT_WORDS = {
    "train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "test": "test",
    "testing": "test", "eval": "test",
}  # fmt: skip
SPLITS = ("train", "val", "test", "reserve")
# A folder with one of these names holds masks; one with a doubtful name does if its images look like masks.
MASK_WORDS = {"mask", "masks", "ground_truth", "groundtruth", "defect_mask"}
DOUBTFUL_MASK_WORDS = {
    "gt", "label", "labels", "annotation", "annotations", "annot", "segmentation", "segmentations", "seg", "truth",
    "map", "maps",
}  # fmt: skip
NEUTRAL_WORDS = {"image", "images", "img", "imgs", "data", "anomalies", "defects", "pictures", "photos"}
# A folder named by these words alone may hold anything: the user decides.
UNCLEAR_WORDS = {
    "backup", "backups", "bak", "calib", "calibration", "copy", "demo", "doc", "docs", "documentation", "example",
    "examples", "extra", "extras", "figure", "figures", "heatmap", "heatmaps", "map", "maps", "misc", "new", "old",
    "other", "others", "output", "outputs", "overlay", "overlays", "prediction", "predictions", "preview", "previews",
    "raw", "reference", "references", "report", "reports", "result", "results", "sample", "samples", "screenshot",
    "screenshots", "temp", "thumb", "thumbnail", "thumbnails", "thumbs", "tmp", "todo", "trash", "unknown",
    "unlabeled", "unlabelled", "unsorted", "unused", "visualization", "visualizations",
}  # fmt: skip
UNNAMED_DEFECT = "anomalous"  # the defect type of an anomaly whose type has no name
MASK_ENDING = re.compile(r"[ _.-]*(masks?|gt|labels?|seg|annotations?|truth)$", re.IGNORECASE)
MASK_BEGINNING = re.compile(r"^(masks?|gt|labels?|seg|annotations?|truth)(?=[ _.-]|\d)[ _.-]*", re.IGNORECASE)


def normalize_name(name: str) -> str:
    """Write a name in lower case, with composed characters, and underscores for blanks and hyphens."""
    return re.sub(r"[ -]+", "_", unicodedata.normalize("NFC", name).lower())


def strip_mask_words(stem: str) -> str:
    """Remove the word for a mask at the end of a name, or else at its beginning; a name of that word alone stays."""
    return MASK_ENDING.sub("", stem) if MASK_ENDING.sub("", stem) not in ("", stem) else MASK_BEGINNING.sub("", stem)


def has_doubtful_mask_name(folder: str) -> bool:
    """Tell whether a folder may hold masks by its name, so that its images must decide."""
    return normalize_name(folder) in DOUBTFUL_MASK_WORDS or bool(MASK_ENDING.search(folder))


def is_unclear(folder: str) -> bool:
    """Tell whether a folder's name, such as `extra_images` or `old`, says nothing about the labels of its images."""
    tokens = set(re.split(r"[_.]+", normalize_name(folder))) - {""}
    return bool(tokens & UNCLEAR_WORDS) and tokens <= UNCLEAR_WORDS | NEUTRAL_WORDS


def split_prefix(folder: str) -> tuple[str, str]:
    """Split `test_maps` into the split and the word behind it; two empty strings if the name does not begin so."""
    first, _, rest = normalize_name(folder).partition("_")
    meaningful = rest in MASK_WORDS | DOUBTFUL_MASK_WORDS | NEUTRAL_WORDS
    return (SPLIT_WORDS[first], rest) if first in SPLIT_WORDS and meaningful else ("", "")
