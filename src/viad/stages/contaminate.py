"""Stage contaminate: the train and val rows with the labels that training sees, contamination and supervision added.

`viad.protocol.anomaly_reserve` decides which anomalies serve which purpose.
"""

from pathlib import Path
from typing import Any

import pandas as pd

from viad.artifacts.samples import ANOMALOUS, NORMAL, read_samples, write_samples
from viad.config.numbers import check_share, check_whole_number
from viad.config.params import one_of, read_params
from viad.errors import ConfigError
from viad.protocol.anomaly_reserve import AnomalyReserve
from viad.seeds import generator

VALIDATION_NAMES = ("none", "normal", "same_defects", "other_defects")


def main(category: str) -> None:
    """Write data/contaminated/<dataset>/<category>/samples.csv; no image changes."""
    params = read_params(
        "dataset.name", "dataset.doubtful_defects", "dataset.split.reserve_defects", "dataset.split.val_anomalies",
        "contamination", "supervision", "validation.name", "seed",
    )  # fmt: skip
    seed = check_whole_number("seed", params["seed"])
    samples = read_samples(Path("data/resized") / params["dataset.name"] / category)
    reserve = AnomalyReserve(
        samples[samples["split"] == "reserve"],
        doubtful_defects=params["dataset.doubtful_defects"],
        reserve_defects=params["dataset.split.reserve_defects"],
        val_share=check_share("dataset.split.val_anomalies", params["dataset.split.val_anomalies"]),
        rng=generator(seed, "contaminate", category),
    )
    train = samples[samples["split"] == "train"]
    contamination = reserve.choose_contamination(params["contamination"], len(train))
    labelled = reserve.choose_labelled(**_check_supervision(params["supervision"]))
    _check_disjoint(contamination, labelled)
    validation = reserve.choose_validation(one_of("validation", params["validation.name"], VALIDATION_NAMES))
    normals = samples[samples["split"] == "val"]
    if normals.empty and params["validation.name"] != "none":
        raise ConfigError(
            f"validation: {params['validation.name']}, but {category} has no validation normals under this protocol. "
            "Use protocol=study or validation=none."
        )
    rows = pd.concat(
        [
            train,
            # Labelled normal, and without masks, which would reveal the anomalies.
            contamination.assign(split="train", train_label=NORMAL, mask=""),
            labelled.assign(split="train", train_label=ANOMALOUS, mask=_choose_masks(labelled, params["supervision"])),
            normals,
            validation.assign(split="val"),
        ]
    )
    write_samples(rows, Path("data/contaminated") / params["dataset.name"] / category)


def _check_supervision(supervision: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(supervision["defects"], list):
        raise ConfigError(
            f"supervision.defects: {supervision['defects']!r} is not a list. Write -S 'supervision.defects=[TYPE]'."
        )
    return {"anomalies": supervision["anomalies"], "defects": supervision["defects"]}


def _choose_masks(labelled: pd.DataFrame, supervision: dict[str, Any]) -> pd.Series | str:
    """The masks of labelled anomalies; none where training may see image labels only."""
    return labelled["mask"] if one_of("supervision.masks", supervision["masks"], (True, False)) else ""


def _check_disjoint(contamination: pd.DataFrame, labelled: pd.DataFrame) -> None:
    shared = set(contamination["sample"]) & set(labelled["sample"])
    if shared:
        count = len(contamination) + len(labelled)
        raise ConfigError(
            f"contamination.ratio and supervision.anomalies together need {count} anomalies, {len(shared)} more than "
            "the reserve has. Lower one of them."
        )
