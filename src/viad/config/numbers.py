"""Checks of the numbers in params.yaml: the one place that says what a whole number and a share are.

A number has one spelling: 256.0 and 1e3 are refused where a whole number is wanted, since names of experiments and
random draws depend on how a value is written. A truth value is no number.
"""

from typing import Any

from viad.errors import ConfigError


def check_whole_number(key: str, value: Any, *, low: int = 0, high: int | None = None, otherwise: str = "") -> int:
    """`value`, if it is a whole number from `low` to `high`.

    Args:
        key: of the parameter, for the message.
        value: as params.yaml has it.
        low: the least number allowed.
        high: the greatest; None sets no limit.
        otherwise: what else the key may hold, for the message; the caller has dealt with it.

    Raises:
        ConfigError: it is not.
    """
    if type(value) is int and low <= value and (high is None or value <= high):
        return value
    wanted = f"a whole number from {low} {'on' if high is None else f'to {high}'}"
    same = int(value) if isinstance(value, float) and value.is_integer() else None
    raise _refusal(key, value, f"{wanted} or {otherwise}" if otherwise else wanted, same)


def check_share(key: str, value: Any) -> float:
    """`value`, if it is a share from 0 to below 1.

    Raises:
        ConfigError: it is not.
    """
    if _is_number(value) and 0 <= value < 1:
        return float(value)
    raise _refusal(key, value, "a share from 0 to below 1")


def check_positive_share(key: str, value: Any) -> float:
    """`value`, if it is a share above 0 and up to 1.

    Raises:
        ConfigError: it is not.
    """
    if _is_number(value) and 0 < value <= 1:
        return float(value)
    raise _refusal(key, value, "a share above 0 and up to 1")


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _refusal(key: str, value: Any, wanted: str, same: int | None = None) -> ConfigError:
    advice = "Correct it in conf/ or with -S." if same is None else f"Write {same}."
    return ConfigError(f"{key}: {value!r} is not {wanted}. {advice}")
