"""Reading params.yaml: a stage reads it once and passes plain values on."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

import yaml

from viad.errors import ConfigError

PARAMS_FILE = Path("params.yaml")


def read_params(*keys: str) -> dict[str, Any]:
    """Read the values of dotted `keys`, by those keys.

    A stage reads only the keys that it declares in dvc.yaml, so an undeclared value cannot influence it.

    Raises:
        ConfigError: params.yaml is missing, is not a table or lacks a key.
    """
    params = read_all_params()
    return {key: _lookup(params, key) for key in keys}


def read_all_params() -> dict[str, Any]:
    """Read all of params.yaml, as nested tables, for a stage that declares the whole file.

    Raises:
        ConfigError: params.yaml is missing or not valid YAML.
    """
    try:
        params = yaml.safe_load(PARAMS_FILE.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise ConfigError(
            f"{PARAMS_FILE} is not valid YAML: {error}. Run `make compose` to compose it again."
        ) from error
    except FileNotFoundError as error:
        raise ConfigError(
            f"{PARAMS_FILE} is missing from {Path.cwd()}. Run stages from the repository's root; "
            "run `make compose` to compose the file from conf/."
        ) from error
    return params if isinstance(params, dict) else {}


def one_of(key: str, value: Any, allowed: Collection[Any]) -> Any:
    """Return `value` if it is allowed.

    Raises:
        ConfigError: the value is not allowed; the message lists the allowed ones.
    """
    if value not in allowed:
        raise ConfigError(f"{key}: '{value}' is not known. Choose one of {', '.join(map(str, allowed))}.")
    return value


def _lookup(params: Any, key: str) -> Any:
    value = params
    for part in key.split("."):
        if not isinstance(value, dict) or part not in value:
            raise ConfigError(f"{PARAMS_FILE}: no key '{key}'. Run `make compose` to compose the file from conf/.")
        value = value[part]
    return value
