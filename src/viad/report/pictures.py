"""Galleries of experiments that DVC still has the predictions and images of."""

from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from viad.comparison.conditions import PLAIN
from viad.experiments import Experiments
from viad.images import read_image, read_mask
from viad.maps import StoredMaps
from viad.report.gallery import gallery

MOST = 6  # galleries of a report: each has some two dozen pictures


def chosen(table: pd.DataFrame, experiments: Experiments) -> list[str]:
    """Experiments to show where nobody named any: the best of each dataset under the plain condition."""
    there = table[table["experiment"].isin(experiments.revisions) & (table["condition"] == PLAIN)]
    order = there.groupby(["dataset.name", "experiment"])["image_auroc"].mean().reset_index()
    best = order.sort_values("image_auroc", ascending=False).drop_duplicates("dataset.name")
    return sorted(best["experiment"])[:MOST]


def galleries(experiments: Experiments, names: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Write pictures to `out` and return the gallery of each category of the named experiments.

    An experiment whose predictions or images are no longer in DVC's cache has none.
    """
    found = []
    for name in names:
        revision = experiments.revisions.get(name)
        categories = experiments.table[experiments.table["experiment"] == name]["category"]
        found += [one for category in categories if revision and (one := _gallery(revision, name, category, out))]
    return found


def _gallery(revision: str, name: str, category: str, out: Path) -> dict[str, Any] | None:
    from dvc.api import DVCFileSystem

    files = DVCFileSystem(rev=revision)
    params = yaml.safe_load(files.read_text("params.yaml"))
    dataset = params["dataset"]["name"]
    with TemporaryDirectory() as folder:

        def fetched(path: str) -> Path:
            local = Path(folder) / path
            local.parent.mkdir(parents=True, exist_ok=True)
            files.get_file(path, str(local))
            return local

        try:
            scores = pd.read_csv(fetched(f"metrics/{dataset}/scores/{category}.csv"), keep_default_na=False)
            predictions = fetched(f"predictions/{dataset}/{category}/maps.npy").parent
            fetched(f"predictions/{dataset}/{category}/recipe.json")
            rows = len(pd.read_csv(fetched(f"predictions/{dataset}/{category}/scores.csv")))
            limit = yaml.safe_load(files.read_text(f"metrics/{dataset}/{category}.json")).get("threshold")
            attribution = params["dataset"].get("attribution", "")
            return gallery(
                scores, StoredMaps(predictions, rows), limit, attribution, name, category, out,
                open_image=lambda path: read_image(fetched(path)), open_mask=lambda path: read_mask(fetched(path)),
            )  # fmt: skip
        except FileNotFoundError:
            return None
