"""Writing the report's folder: the page, its data as a script, and what it needs to work without a network."""

import json
import math
import shutil
from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np

from viad.artifacts.atomic import replacing
from viad.artifacts.folders import check_replaceable
from viad.errors import DataError

STATIC = Path(__file__).parent / "static"
PAGE_KEYS = (
    "made",
    "answers",
    "columns",
    "experiments",
    "caveats",
    "models",
    "ranks",
    "pareto",
    "differences",
    "studies",
    "galleries",
    "cards",
    "published",
)


def write_page(contents: Mapping[str, Any], out: Path, pictures: Path | None = None) -> None:
    """Write the report's folder, whole or not at all.

    Args:
        contents: all that the page shows, with every one of `PAGE_KEYS`; a number that is None or NaN shows as nothing.
        out: the folder; an earlier report there is replaced.
        pictures: the folder that `contents["galleries"]` calls pictures/; it is copied.

    Raises:
        DataError: a key or a picture is missing, or `out` holds something that is no report.
    """
    _check(contents, out, pictures)
    with replacing(out) as aside:
        shutil.copytree(STATIC, aside)
        (aside / "page.html").rename(aside / "index.html")
        (aside / "data.js").write_text(format_script(contents), encoding="utf-8")
        # From the package rather than from here: 5 MB that every installation has.
        shutil.copyfile(str(files("plotly") / "package_data" / "plotly.min.js"), aside / "plotly.min.js")
        if pictures is not None:
            shutil.copytree(pictures, aside / "pictures")


def format_script(contents: Mapping[str, Any]) -> str:
    """The contents as a script, as pages opened from disk may not read JSON files.

    No `<` stays in it, so no text can end a script or open a comment.
    """
    text = json.dumps(convert_to_json(contents), allow_nan=False, separators=(",", ":"))
    return f"window.VIAD = {text.replace('<', chr(92) + 'u003c')};\n"


def convert_to_json(value: Any) -> Any:
    """The value as JSON knows it: NumPy's numbers as Python's, and None for what is no finite number."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): convert_to_json(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [convert_to_json(one) for one in value]
    return value


def _check(contents: Mapping[str, Any], out: Path, pictures: Path | None) -> None:
    absent = [key for key in PAGE_KEYS if key not in contents]
    if absent:
        raise DataError(f"the report's contents lack {', '.join(absent)}. Give each; an empty list is enough.")
    check_replaceable(out, "data.js", "report")
    named = [one[kind] for gallery in contents["galleries"] for one in gallery["images"] for kind in ("image", "map")]
    for name in named:
        if not name.startswith("pictures/") or pictures is None or not (pictures / name[len("pictures/") :]).is_file():
            raise DataError(f"a gallery names {name}, which is not in {pictures}. Write the pictures first.")
