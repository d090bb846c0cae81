"""Measuring earlier experiments again, from their predictions in DVC's cache: a newer metric gets their values too."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from viad.artifacts.dvc_adapter import Repository
from viad.artifacts.labelled_predictions import read_labelled_predictions
from viad.artifacts.samples import read_samples
from viad.errors import ConfigError, DataError
from viad.experiments.earlier_versions import translate_params
from viad.experiments.measurements import missing_metrics, read_quality, write_quality
from viad.experiments.revisions import Revision
from viad.experiments.tables import from_dvc, lookup
from viad.metrics.catalogue import measured_metrics
from viad.metrics.measurement import measure_category
from viad.seeds import generator

FILES = (
    "predictions/{}/{}/scores.csv", "predictions/{}/{}/maps.npy", "predictions/{}/{}/recipe.json",
    "data/contaminated/{}/{}/samples.csv", "data/shifted/{}/{}/samples.csv",
)  # fmt: skip
KEYS = ("threshold.false_positive_rate", "bootstrap.resamples", "shift.name", "seed")  # params that evaluate reads


@dataclass(frozen=True)
class Outcome:
    """What came of measuring an experiment again, in words."""

    experiment: str
    words: str
    failed: bool = False


def remeasure(names: Sequence[str]) -> Iterator[Outcome]:
    """Measure experiments again; one by one, as each is done.

    Args:
        names: of experiments; none takes all that DVC has here and that lack a metric of the catalogue.

    Raises:
        ConfigError: DVC has no experiment of a name.
    """
    revisions = from_dvc().revisions
    if unknown := sorted(set(names) - set(revisions)):
        there = ", ".join(sorted(revisions)) or "none"
        raise ConfigError(f"no experiment '{unknown[0]}'. DVC has here: {there}.")
    with Repository() as repo:
        for name in names or sorted(revisions):
            files = Revision(repo, revisions[name])
            if names or any(missing_metrics(files, *place) for place in _places(files)):
                yield _measure_experiment(files, name)


def _places(files: Revision) -> list[tuple[str, str]]:
    dataset = files.yaml("params.yaml")["dataset"]
    return [(dataset["name"], category) for category in dataset["categories"]]


def _measure_experiment(files: Revision, name: str) -> Outcome:
    """Measure all categories, then keep all: an experiment is never half of one version and half of another."""
    try:
        measured = {place: _measure_category(files, *place) for place in _places(files)}
    except DataError as error:
        return Outcome(name, f"cannot be measured again: {error}", failed=True)
    changes = [_describe_change(files, *place, quality) for place, quality in measured.items()]
    for place, quality in measured.items():
        write_quality(files, *place, name, quality)
    return Outcome(name, f"measured again. {' '.join(changes)}")


def _measure_category(files: Revision, dataset: str, category: str) -> dict[str, Any]:
    params = translate_params(files.yaml("params.yaml"), None)
    rate, resamples, shift, seed = (lookup(params, key) for key in KEYS)
    if None in (rate, resamples, shift, seed):
        raise DataError(f"its params lack one of {', '.join(KEYS)}. Run it again with this version.")
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for path in FILES:
            _link(files, path.format(dataset, category), root)
        test = read_samples(root / "data/shifted" / dataset / category)
        for path in test["mask"][test["mask"] != ""]:
            _link(files, path, root)
        return measure_category(
            read_labelled_predictions(dataset, category, root), rate=rate, resamples=resamples,
            rng=generator(seed, "bootstrap", category), shifted=shift != "none",
        )  # fmt: skip


def _link(files: Revision, path: str, root: Path) -> None:
    """Show a file of the cache under its own name."""
    if (cached := files.output(path)) is None:
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
