"""params.yaml, read once at the head of a stage and handed on as plain values."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from viad.errors import ConfigError

PARAMS_FILE = Path("params.yaml")


def read_params(*keys: str) -> dict[str, Any]:
    """The values of dotted `keys`, by those keys.

    A stage asks for just the keys that it declares in dvc.yaml, so that a value it
    does not declare cannot reach it.

    Raises:
        ConfigError: params.yaml is missing, is not a table or lacks a key.
    """
    params = read_all_params()
    return {key: _lookup(params, key) for key in keys}


def read_all_params() -> dict[str, Any]:
    """All of params.yaml, as nested tables: for a stage that declares the whole file.

    Raises:
        ConfigError: params.yaml is missing or is no valid YAML.
    """
    try:
        params = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(f"{PARAMS_FILE} is no valid YAML: {error}. `make compose` composes it anew.") from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"{PARAMS_FILE} is missing from {Path.cwd()}. Run stages from the repository's root; "
            "`make compose` composes the file from conf/."
        ) from error
    return params if isinstance(params, dict) else {}


def one_of(key: str, value: Any, allowed: Collection[Any]) -> Any:
    """`value`, if it is allowed.

    Raises:
        ConfigError: it is not; the message lists what is.
    """
    if value not in allowed:
        raise ConfigError(f"{key}: '{value}' is not known. Choose one of {', '.join(map(str, allowed))}.")
    return value


def _lookup(params: Any, key: str) -> Any:
    value = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"{PARAMS_FILE}: no key '{key}'. `make compose` composes the file anew from conf/.")
        value = value[part]
    return value
