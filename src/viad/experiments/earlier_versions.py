"""Translate params and metrics of earlier versions to the present names.

DVC stores an experiment's params and metrics as they were written. In version 0.1, `budget` selected the training
settings (`auto` selected them by the machine), and the anomaly reserve was called the pool.
"""

from typing import Any

RENAMED_KEYS = {
    "pool_anomalies": "reserve_anomalies", "pool_defects": "reserve_defects", "natural_noise": "doubtful_defects",
    "false_alarm_rate": "false_positive_rate", "miss_rate": "false_negative_rate",
    "miss_rate_by_defect": "false_negative_rate_by_defect",
}  # fmt: skip
RENAMED_SOURCES = {"pool": "reserve"}  # values of contamination.source
RENAMED_COLUMNS = {"settings": "overrides"}  # of docs/experiments.csv


def rename_keys(values: Any) -> Any:
    """Rename the keys of params or metrics to the present ones, at any depth."""
    if isinstance(values, dict):
        return {RENAMED_KEYS.get(key, key): rename_keys(value) for key, value in values.items()}
    return [rename_keys(value) for value in values] if isinstance(values, list) else values


def translate_params(params: dict[str, Any], used_budget: str | None = None) -> dict[str, Any]:
    """Translate the params of an experiment, or a yaml of its conf/, to the keys and values of this version.

    Args:
        params: as written.
        used_budget: the budget that training recorded; None if it recorded none.
    """
    params = rename_keys(params)
    if "budget" in params:
        budget = params.pop("budget")
        params["preset"] = used_budget or ("small" if budget == "auto" else budget)
    contamination = params.get("contamination")
    if isinstance(contamination, dict) and contamination.get("source") in RENAMED_SOURCES:
        params["contamination"] = contamination | {"source": RENAMED_SOURCES[contamination["source"]]}
    return dict(params)
