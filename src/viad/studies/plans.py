"""Studies: lists of experiments that answer one question, as data in conf/study/.

A study has two presets, `small` (embedded datasets, a CPU) and `paper`. A preset is a list of grids. A grid has a value
or a list of values for each override (as after `-S`); its experiments are all combinations.
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

from viad.config.composition import compose_options, compose_params, head_comment
from viad.config.conf_files import read_yaml
from viad.errors import ConfigError
from viad.experiments.conditions import look_up, read_conditions
from viad.experiments.experiment_names import name_experiment
from viad.experiments.overrides import find_overrides

STUDY_CONF = Path("conf/study")
STUDIES_FOLDER = Path("studies")  # logs and status by study; not in git
STUDY_PRESETS = ("small", "paper")
# Of an experiment for each category: seconds beside its training, as measured on two cores, and what the cache grows by
# at the default size.
OVERHEAD_SECONDS, CACHE_MEGABYTES = 45, 20


@dataclass(frozen=True)
class Experiment:
    """One experiment of a study.

    overrides: KEY=VALUE each. conditions: by dotted key, as composed. categories: of its dataset.
    """

    name: str
    overrides: tuple[str, ...]
    conditions: Mapping[str, Any]
    categories: tuple[str, ...]


def read_study(name: str, preset: str) -> list[dict[str, Any]]:
    """The grids of a study's preset, whose experiments train with the models' preset of that name.

    Raises:
        ConfigError: there is no such study or preset.
    """
    study = _read_yaml_of_study(name)
    if preset not in STUDY_PRESETS:
        raise ConfigError(f"--preset {preset}: choose one of {', '.join(STUDY_PRESETS)}.")
    return [{**grid, "preset": preset} for grid in study[preset]]


def _read_yaml_of_study(name: str) -> dict[str, Any]:
    path = STUDY_CONF / f"{name}.yaml"
    if not path.is_file():
        raise ConfigError(f"no study is called '{name}'. Choose one of {', '.join(list_studies())}.")
    return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def list_studies() -> list[str]:
    """List the names of all studies in conf/study/."""
    return sorted(path.stem for path in STUDY_CONF.glob("*.yaml"))


def read_shown_tables(name: str) -> list[str]:
    """Read what the report shows of a study: names of condition axes and of comparison tables; by default the means."""
    return list(_read_yaml_of_study(name).get("shows", ["means"]))


def read_question(name: str) -> str:
    """Read the question that a study answers: the comment at the head of its yaml."""
    return head_comment(STUDY_CONF / f"{name}.yaml")


def list_states(name: str, planned: Sequence[str], done: Collection[str]) -> list[dict[str, str]]:
    """List the states of a study's experiments: done, failed (with the reason and the log) or missing.

    Args:
        name: of the study.
        planned: names of its experiments.
        done: names of all experiments that have results.
    """
    last = _read_status(name)
    states = []
    for experiment in planned:
        failed = experiment not in done and experiment in last and last[experiment]["result"] == "failed"
        state = "done" if experiment in done else "failed" if failed else "missing"
        failure = {key: str(last[experiment][key]) if failed else "" for key in ("reason", "log")}
        states.append({"experiment": experiment, "state": state, **failure})
    return states


def list_attempted(name: str) -> set[str]:
    """List the experiments that were run for a study here, whether they succeeded or failed."""
    return set(_read_status(name))


def _read_status(name: str) -> dict[str, dict[Any, Any]]:
    """Read the last row of each experiment in a study's status.csv."""
    path = STUDIES_FOLDER / name / "status.csv"
    rows = pd.read_csv(path, keep_default_na=False).to_dict("records") if path.is_file() else []
    return {str(row["experiment"]): row for row in rows}


def plan_experiments(grids: Iterable[Mapping[str, Any]]) -> list[Experiment]:
    """Plan the experiments of all grids, each once, named by their conditions.

    Raises:
        ConfigError: an override names no parameter.
    """
    planned: dict[str, Experiment] = {}
    for overrides in itertools.chain.from_iterable(map(_list_combinations, grids)):
        experiment = _plan_experiment(overrides)
        planned.setdefault(experiment.name, experiment)
    return list(planned.values())


def list_datasets(grids: Iterable[Mapping[str, Any]]) -> set[str]:
    """List the datasets that grids name."""
    return {name for grid in grids for name in _as_list(grid.get("dataset", "elpv"))}


def _list_combinations(grid: Mapping[str, Any]) -> Iterable[list[str]]:
    choices = [[f"{key}={value}" for value in _as_list(values)] for key, values in grid.items()]
    return map(list, itertools.product(*choices))


def _as_list(values: Any) -> list[Any]:
    return values if isinstance(values, list) else [values]


def _plan_experiment(overrides: Sequence[str]) -> Experiment:
    """Plan an experiment: compose its groups and set the other values in the composed params."""
    # Groups and the preset decide the composition; every other override is a value in it.
    chosen = [
        one for one in overrides if (key := one.partition("=")[0]) == "preset" or (STUDY_CONF.parent / key).is_dir()
    ]
    params = copy.deepcopy(_compose_groups(str(Path.cwd()), tuple(chosen)))
    for override in overrides:
        if override not in chosen:
            _set_parameter(params, override)
    # The files here are the committed ones: a study refuses to run beside uncommitted changes.
    conditions = read_conditions(params, find_overrides(params, partial(_read_yaml, str(Path.cwd()))))
    categories = tuple(look_up(params, "dataset.categories"))
    return Experiment(name_experiment(conditions), tuple(overrides), conditions, categories)


def _set_parameter(params: dict[str, Any], override: str) -> None:
    key, _, value = override.partition("=")
    *parents, last = key.split(".")
    for part in parents:
        params = params[part] if isinstance(params.get(part), dict) else {}
    if last not in params:
        raise ConfigError(f"{override}: params.yaml has no parameter '{key}'. Correct the study's yaml.")
    params[last] = yaml.safe_load(value)


@cache
def _read_yaml(root: str, path: str) -> Any:
    del root  # conf/ is that of the working folder, so it is part of the key
    return read_yaml(path)


@cache  # the experiments of a study share their groups
def _compose_groups(root: str, groups: tuple[str, ...]) -> dict[str, Any]:
    if (composed := compose_options(Path(root) / "conf", groups)) is not None:
        return composed
    with TemporaryDirectory() as folder:
        path = Path(folder) / "params.yaml"
        compose_params(groups, path)
        return dict(yaml.safe_load(path.read_text(encoding="utf-8")))


def estimate_cost(experiments: Sequence[Experiment], measured: pd.DataFrame, jobs: int) -> str:
    """Estimate the time and the cache that experiments will take, from measured runs, as a sentence.

    Args:
        experiments: that are still to be run.
        measured: the table of all experiments with results.
        jobs: the number of experiments that run at once.
    """
    trained = [seconds for one in experiments if (seconds := _estimate_training(one, measured)) is not None]
    if not trained:
        return "no estimate of time, because no similar experiment has been measured yet"
    categories = sum(len(one.categories) for one in experiments)
    seconds = sum(trained) / len(trained) * len(experiments) + OVERHEAD_SECONDS * categories
    unlike = len(experiments) - len(trained)
    unmeasured = f" ({unlike} of them unlike any that was measured)" if unlike else ""
    return (
        f"about {seconds / max(jobs, 1) / 60:.0f} minutes with {jobs} at once{unmeasured}, "
        f"and {CACHE_MEGABYTES * categories} MB of cache"
    )


SIMILAR_KEYS = (
    "model.name",
    "dataset.name",
    "backbone.name",
    "preset",
)  # what runs share whose training takes about as long


def _estimate_training(one: Experiment, measured: pd.DataFrame) -> float | None:
    """Estimate the training time in seconds: the mean of runs equal in `SIMILAR_KEYS`, at the same size if any ran."""
    like = measured
    for key in SIMILAR_KEYS:
        like = like[like[key] == one.conditions.get(key)]
    same_size = like[like["image_size"].astype(str) == str(one.conditions["image_size"])]
    like = same_size if len(same_size) else like
    by_category = like.groupby("category")["training.train_seconds"].mean()
    return float(by_category.sum()) if len(by_category) else None
