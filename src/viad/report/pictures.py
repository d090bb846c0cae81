"""Galleries of experiments whose predictions and images are still in DVC's cache."""

from collections.abc import Sequence
from pathlib import Path
from shutil import copyfile
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd

from viad.artifacts.dvc_adapter import Repository
from viad.artifacts.images import read_image, read_mask
from viad.comparison.condition_axes import BASELINE
from viad.config.conf_files import FACTS
from viad.experiments.experiment_tables import Experiments
from viad.experiments.revisions import Revision

MOST_GALLERIES = 6  # galleries of a report: each has some two dozen pictures


def choose_experiments(table: pd.DataFrame, experiments: Experiments) -> list[str]:
    """Choose the experiments to show by default: the best of each dataset under the baseline."""
    cached = table[table["experiment"].isin(experiments.revisions) & (table["condition"] == BASELINE)]
    order = cached.groupby(["dataset.name", "experiment"])["image_auroc"].mean().reset_index()
    best = order.sort_values("image_auroc", ascending=False).drop_duplicates("dataset.name")
    return sorted(best["experiment"])[:MOST_GALLERIES]


def write_galleries(experiments: Experiments, names: Sequence[str], out: Path) -> list[dict[str, Any]]:
    """Write pictures to `out` and return the gallery of each category of the named experiments.

    An experiment whose predictions or images are no longer in DVC's cache has none.
    """
    found = []
    with Repository() as repo:
        for name in names:
            if name not in experiments.revisions:
                continue
            files = Revision(repo, experiments.revisions[name])
            for category in experiments.table[experiments.table["experiment"] == name]["category"]:
                if (made := _write_cached_gallery(files, name, category, out)) is not None:
                    found.append(made)
    return found


def _write_cached_gallery(files: Revision, name: str, category: str, out: Path) -> dict[str, Any] | None:
    from viad.artifacts.anomaly_maps import StoredMaps  # imports torch, which a report without pictures does not need
    from viad.report.gallery import write_gallery

    dataset = files.read_yaml("params.yaml")["dataset"]
    facts = (files.read_yaml(f"conf/dataset/{dataset['name']}.yaml") or {}).get(FACTS, dataset)  # earlier: a parameter
    attribution = facts.get("attribution", "")
    metrics, predictions = f"metrics/{dataset['name']}", f"predictions/{dataset['name']}/{category}"

    def cached(path: str) -> Path:
        if (found := files.find_output(path)) is None:
            raise FileNotFoundError(path)
        return found

    def table(path: str) -> pd.DataFrame:
        if (found := files.read_table(path)) is None:
            raise FileNotFoundError(path)
        return found

    with TemporaryDirectory() as folder:
        try:
            for file in ("maps.npy", "recipe.json"):  # which belong together, and have other names in the cache
                copyfile(cached(f"{predictions}/{file}"), Path(folder) / file)
            maps = StoredMaps(Path(folder), len(table(f"{predictions}/scores.csv")))
            scores = table(f"{metrics}/scores/{category}.csv")
            threshold = (files.read_json(f"{metrics}/{category}.json") or {}).get("threshold")
            return write_gallery(
                scores, maps, threshold, attribution, name, category, out,
                open_image=lambda path: read_image(cached(path)), open_mask=lambda path: read_mask(cached(path)),
            )  # fmt: skip
        except FileNotFoundError:
            return None
