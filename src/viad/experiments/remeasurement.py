"""Measure earlier experiments again, from their predictions in DVC's cache, so that they have newer metrics too."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from viad.artifacts.dvc_adapter import Repository
from viad.artifacts.labelled_predictions import read_labelled_predictions
from viad.artifacts.samples import read_samples
from viad.errors import ConfigError, DataError
from viad.experiments.conditions import look_up
from viad.experiments.earlier_versions import translate_params
from viad.experiments.experiment_tables import load_dvc_experiments
from viad.experiments.measurements import find_missing_metrics, read_quality, write_quality
from viad.experiments.revisions import Revision
from viad.metrics.catalogue import measured_metrics
from viad.metrics.measurement import measure_category
from viad.seeds import generator

EVALUATE_FILES = (
    "predictions/{}/{}/scores.csv", "predictions/{}/{}/maps.npy", "predictions/{}/{}/recipe.json",
    "data/contaminated/{}/{}/samples.csv", "data/shifted/{}/{}/samples.csv",
)  # fmt: skip
EVALUATE_KEYS = (
    "threshold.false_positive_rate",
    "bootstrap.resamples",
    "shift.name",
    "seed",
)  # params that evaluate reads


@dataclass(frozen=True)
class Remeasurement:
    """What measuring an experiment again has changed, as a sentence."""

    experiment: str
    words: str
    failed: bool = False


def remeasure_experiments(names: Sequence[str]) -> Iterator[Remeasurement]:
    """Measure experiments again, and yield each result when it is done.

    Args:
        names: of experiments; if empty, all experiments in DVC that lack a metric of the catalogue.

    Raises:
        ConfigError: DVC has no experiment of that name.
    """
    revisions = load_dvc_experiments().revisions
    if unknown := sorted(set(names) - set(revisions)):
        names_in_dvc = ", ".join(sorted(revisions)) or "none"
        raise ConfigError(f"DVC has no experiment '{unknown[0]}' here. Choose one of: {names_in_dvc}.")
    with Repository() as repo:
        for name in names or sorted(revisions):
            files = Revision(repo, revisions[name])
            if names or any(find_missing_metrics(files, *category) for category in _list_categories(files)):
                yield _measure_experiment(files, name)


def _list_categories(files: Revision) -> list[tuple[str, str]]:
    dataset = files.read_yaml("params.yaml")["dataset"]
    return [(dataset["name"], category) for category in dataset["categories"]]


def _measure_experiment(files: Revision, name: str) -> Remeasurement:
    """Measure all categories before writing any: an experiment never mixes the metrics of two versions."""
    try:
        measured = {category: _measure_category(files, *category) for category in _list_categories(files)}
    except DataError as error:
        return Remeasurement(name, f"cannot be measured again: {error}", failed=True)
    changes = [_describe_change(files, *category, quality) for category, quality in measured.items()]
    for category, quality in measured.items():
        write_quality(files, *category, name, quality)
    return Remeasurement(name, f"measured again. {' '.join(changes)}")


def _measure_category(files: Revision, dataset: str, category: str) -> dict[str, Any]:
    params = translate_params(files.read_yaml("params.yaml"), None)
    rate, resamples, shift, seed = (look_up(params, key) for key in EVALUATE_KEYS)
    if None in (rate, resamples, shift, seed):
        raise DataError(
            f"its params lack one of {', '.join(EVALUATE_KEYS)}. Run the experiment again with this version."
        )
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for path in EVALUATE_FILES:
            _link(files, path.format(dataset, category), root)
        test = read_samples(root / "data/shifted" / dataset / category)
        for path in test["mask"][test["mask"] != ""]:
            _link(files, path, root)
        return measure_category(
            read_labelled_predictions(dataset, category, root), rate=rate, resamples=resamples,
            rng=generator(seed, "bootstrap", category), shifted=shift != "none",
        )  # fmt: skip


def _link(files: Revision, path: str, root: Path) -> None:
    """Link a file of the cache into a folder, under its path in the workspace."""
    if (cached := files.find_output(path)) is None:
        raise DataError(
            f"{path} is not in DVC's cache. Get it from a remote with `dvc exp pull`, or run the experiment again."
        )
    (root / path).parent.mkdir(parents=True, exist_ok=True)
    (root / path).symlink_to(cached.resolve())


def _describe_change(files: Revision, dataset: str, category: str, quality: dict[str, Any]) -> str:
    before = read_quality(files, dataset, category) or {}
    keys = [metric.key for metric in measured_metrics() if metric.key in quality]
    new = [f"{key} {quality[key]:.4g}" for key in keys if key not in before]
    others = [key for key in keys if key in before and quality[key] != before[key]]
    changed = [f"{key} {before[key]:.4g} -> {quality[key]:.4g}" for key in others]
    words = [f"new: {', '.join(new)}" if new else "", f"changed: {', '.join(changed)}" if changed else ""]
    return f"{category}: {'; '.join(filter(None, words)) or 'nothing changed'}."
