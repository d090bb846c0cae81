"""Studies: lists of experiments that answer one question, as data in conf/study/.

A study has two editions, `small` (embedded datasets, a CPU) and `paper`. An edition is a list of grids; a grid
gives overrides, as after `-S`, a value or a list of values each; the experiments are all their combinations.
"""

import copy
import itertools
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pandas as pd
import yaml

from viad.composition import compose_params, head_comment
from viad.errors import ConfigError
from viad.experiments import CONDITIONS, lookup
from viad.naming import experiment_name
from viad.settings import changed_settings

CONF = Path("conf/study")
FOLDER = Path("studies")  # logs and status by study; not in git
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
    study = _read(name)
    if edition not in EDITIONS:
        raise ConfigError(f"--edition {edition}: choose one of {', '.join(EDITIONS)}.")
    return list(study[edition])


def _read(name: str) -> dict[str, Any]:
    path = CONF / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"there is no study '{name}'. Choose one of {', '.join(study_names())}.")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def study_names() -> list[str]:
    """The studies there are, by name."""
    return sorted(path.stem for path in CONF.glob("*.yaml"))


def read_shows(name: str) -> list[str]:
    """What the report shows of a study: axes of `viad.comparison.conditions` and tables of a comparison; else means."""
    return list(_read(name).get("shows", ["means"]))


def read_question(name: str) -> str:
    """The question that a study answers: the comment at the head of its yaml."""
    return head_comment(CONF / f"{name}.yaml")


def states(name: str, planned: Sequence[str], done: Collection[str]) -> list[dict[str, str]]:
    """What became of the experiments of a study: done, failed (with the reason and the log) or missing.

    Args:
        name: of the study.
        planned: its experiments.
        done: all experiments whose results are known.
    """
    status = FOLDER / name / "status.csv"
    kept = pd.read_csv(status, keep_default_na=False) if status.is_file() else pd.DataFrame(columns=["experiment"])
    last = {str(row["experiment"]): row for row in kept.to_dict("records")}
    found = []
    for one in planned:
        failed = one not in done and one in last and last[one]["result"] == "failed"
        state = "done" if one in done else "failed" if failed else "missing"
        why = {key: str(last[one][key]) if failed else "" for key in ("reason", "log")}
        found.append({"experiment": one, "state": state, **why})
    return found


def plan(grids: Iterable[Mapping[str, Any]]) -> list[Experiment]:
    """The experiments of all grids, each once, named by what they are.

    Raises:
        ConfigError: an override is not known.
    """
    found: dict[str, Experiment] = {}
    for overrides in itertools.chain.from_iterable(map(_combinations, grids)):
        name = _name(overrides)
        found.setdefault(name, Experiment(name, tuple(overrides)))
    return list(found.values())


def _combinations(grid: Mapping[str, Any]) -> Iterable[list[str]]:
    choices = [[f"{key}={value}" for value in _listed(values)] for key, values in grid.items()]
    return map(list, itertools.product(*choices))


def _listed(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _name(overrides: Sequence[str]) -> str:
    """The name of an experiment: its groups are composed, and the other values put into what they compose to."""
    chosen = [one for one in overrides if (CONF.parent / one.partition("=")[0]).is_dir()]
    params = copy.deepcopy(_composed(str(Path.cwd()), tuple(chosen)))
    for override in overrides:
        if override not in chosen:
            _put(params, override)
    flat = {key: lookup(params, key) for key in CONDITIONS}
    flat["settings"] = changed_settings(params, partial(_read_conf, Path.cwd()))
    return experiment_name({key: value for key, value in flat.items() if value is not None})


def _put(params: dict[str, Any], override: str) -> None:
    key, _, value = override.partition("=")
    *parents, last = key.split(".")
    for part in parents:
        params = params[part] if isinstance(params.get(part), dict) else {}
    if last not in params:
        raise ConfigError(f"{override}: there is no parameter '{key}'. Correct the study's yaml.")
    params[last] = yaml.safe_load(value)


@cache
def _read_conf(root: Path, path: str) -> Any:
    return yaml.safe_load((root / path).read_text(encoding="utf-8")) if (root / path).is_file() else None


@cache  # composing takes Hydra a tenth of a second or more, and the experiments of a study share their groups
def _composed(root: str, groups: tuple[str, ...]) -> dict[str, Any]:
    del root  # conf/ is that of the working folder, so it is part of the key
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        compose_params(groups, path)
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


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
