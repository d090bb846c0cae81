"""Studies: lists of experiments that answer one question, as data in conf/study/.

A study has two editions, `small` (embedded datasets, a CPU) and `paper`. An edition is a list of grids; a grid
gives overrides, as after `-S`, a value or a list of values each; the experiments are all their combinations.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from viad.composition import compose_params
from viad.errors import ConfigError
from viad.experiments import CONDITIONS, lookup
from viad.naming import experiment_name

CONF = Path("conf/study")
EDITIONS = ("small", "paper")
OVERHEAD = 60  # seconds of an experiment beside its training and prediction, measured on two cores
MEGABYTES = 40  # that an experiment of the default size adds to the cache


@dataclass(frozen=True)
class Experiment:
    """One experiment of a study."""

    name: str
    overrides: tuple[str, ...]  # KEY=VALUE each


def read_study(name: str, edition: str) -> list[dict[str, Any]]:
    """The grids of a study's edition.

    Raises:
        ConfigError: there is no such study or edition.
    """
    path = CONF / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(one.stem for one in CONF.glob("*.yaml")))
        raise ConfigError(f"there is no study '{name}'. Choose one of {known}.")
    study = yaml.safe_load(path.read_text(encoding="utf-8"))
    if edition not in EDITIONS:
        raise ConfigError(f"--edition {edition}: choose one of {', '.join(EDITIONS)}.")
    return list(study[edition])


def plan(grids: Iterable[Mapping[str, Any]]) -> list[Experiment]:
    """The experiments of all grids, each once, named by what they are.

    Raises:
        ConfigError: an override is not known.
    """
    found: dict[str, Experiment] = {}
    with TemporaryDirectory() as folder:
        for overrides in itertools.chain.from_iterable(map(_combinations, grids)):
            name = _name(overrides, Path(folder) / "params.yaml")
            found.setdefault(name, Experiment(name, tuple(overrides)))
    return list(found.values())


def _combinations(grid: Mapping[str, Any]) -> Iterable[list[str]]:
    choices = [[f"{key}={value}" for value in _listed(values)] for key, values in grid.items()]
    return map(list, itertools.product(*choices))


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _name(overrides: Sequence[str], path: Path) -> str:
    compose_params(overrides, path)
    params = yaml.safe_load(path.read_text(encoding="utf-8"))
    flat = {key: lookup(params, key) for key in CONDITIONS}
    return experiment_name({key: value for key, value in flat.items() if value is not None})


def estimate(experiments: Sequence[Experiment], measured: pd.DataFrame, jobs: int) -> str:
    """What the experiments will take, from runs that were measured, in words.

    Args:
        experiments: that are still to be run.
        measured: the table of collected experiments.
        jobs: how many run at once.
    """
    seconds = (
        measured.groupby(["model.name"])["training.train_seconds"].mean() if len(measured) else pd.Series(dtype=float)
    )
    known = [_model(one) for one in experiments if _model(one) in seconds.index]
    if not known:
        return "no such model was measured yet, so there is no estimate of time"
    each = sum(2 * float(seconds[model]) + OVERHEAD for model in known) / len(known)
    minutes = each * len(experiments) / max(jobs, 1) / 60
    unmeasured = f" ({len(experiments) - len(known)} of them not measured)" if len(known) < len(experiments) else ""
    disk = MEGABYTES * len(experiments)
    return f"about {minutes:.0f} minutes with {jobs} at once{unmeasured}, and {disk} MB of cache"


def _model(experiment: Experiment) -> str:
    chosen = [one.removeprefix("model=") for one in experiment.overrides if one.startswith("model=")]
    return chosen[0] if chosen else "patchcore"
