"""Stage contaminate: the train and val rows, as training will be told them.

The reserve is put in one random order by the seed. Its first part is reserved for
validation; of the rest, labelled anomalies are taken from the front and contamination
from the back, so that the sets are nested (5 % lies inside 10 %) and disjoint, and no
condition moves an image that another one uses.
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

VALIDATIONS = ("none", "normal", "same_defects", "other_defects")


def main(category: str) -> None:
    """Write data/contaminated/<dataset>/<category>/samples.csv; no image is touched."""
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
    noise = reserve.contamination(params["contamination"], len(train))
    labelled = reserve.labelled(**_supervision(params["supervision"]))
    _check_disjoint(noise, labelled)
    validation = reserve.validation(one_of("validation", params["validation.name"], VALIDATIONS))
    normals = samples[samples["split"] == "val"]
    if normals.empty and params["validation.name"] != "none":
        raise ConfigError(
            f"validation: {params['validation.name']}, but {category} has no validation normals under this protocol. "
            "Use protocol=study or validation=none."
        )
    told = pd.concat(
        [
            train,
            noise.assign(split="train", train_label=NORMAL, mask=""),  # told normal, so nothing shows what is not
            labelled.assign(split="train", train_label=ANOMALOUS, mask=_told_masks(labelled, params["supervision"])),
            normals,
            validation.assign(split="val"),
        ]
    )
    write_samples(told, Path("data/contaminated") / params["dataset.name"] / category)


def _supervision(wanted: dict[str, Any]) -> dict[str, Any]:
    if not isinstance(wanted["defects"], list):
        raise ConfigError(
            f"supervision.defects: {wanted['defects']!r} is no list. Write -S 'supervision.defects=[TYPE]'."
        )
    return {"anomalies": wanted["anomalies"], "defects": wanted["defects"]}


def _told_masks(labelled: pd.DataFrame, wanted: dict[str, Any]) -> pd.Series | str:
    """The masks of labelled anomalies, or none where training may know image labels only."""
    return labelled["mask"] if one_of("supervision.masks", wanted["masks"], (True, False)) else ""


def _check_disjoint(noise: pd.DataFrame, labelled: pd.DataFrame) -> None:
    shared = set(noise["sample"]) & set(labelled["sample"])
    if shared:
        raise ConfigError(
            f"contamination.ratio and supervision.anomalies together want {len(noise) + len(labelled)} anomalies, "
            f"{len(shared)} more than the reserve has. Lower one of them."
        )
