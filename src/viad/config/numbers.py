"""Checks of the numbers in params.yaml: whole numbers and shares.

A whole number has a single spelling: 256.0 and 1e3 are errors, because the names of experiments and the random streams
depend on how a value is written. A truth value is not a number.
"""

from typing import Any

from viad.errors import ConfigError


def check_whole_number(key: str, value: Any, *, low: int = 0, high: int | None = None, otherwise: str = "") -> int:
    """Return `value` if it is a whole number from `low` to `high`.

    Args:
        key: of the parameter, for the message.
        value: as params.yaml has it.
        low: the smallest number allowed.
        high: the largest; None sets no limit.
        otherwise: another value that the key accepts, for the message; the caller handles that value.

    Raises:
        ConfigError: the value is not such a number.
    """
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    wanted = f"a whole number from {low} {'on' if high is None else f'to {high}'}"
    same = int(value) if isinstance(value, float) and value.is_integer() else None
    raise _make_error(key, value, f"{wanted} or {otherwise}" if otherwise else wanted, same)


def check_share(key: str, value: Any) -> float:
    """Return `value` if it is a share from 0 to below 1.

    Raises:
        ConfigError: the value is not such a share.
    """
    if _is_number(value) and 0 <= value < 1:
        return float(value)
    raise _make_error(key, value, "a share from 0 to below 1")


def check_positive_share(key: str, value: Any) -> float:
    """Return `value` if it is a share above 0 and up to 1.

    Raises:
        ConfigError: the value is not such a share.
    """
    if _is_number(value) and 0 < value <= 1:
        return float(value)
    raise _make_error(key, value, "a share above 0 and up to 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _make_error(key: str, value: Any, wanted: str, same: int | None = None) -> ConfigError:
    advice = "Correct it in conf/ or with -S." if same is None else f"Write {same}."
    return ConfigError(f"{key}: {value!r} is not {wanted}. {advice}")
