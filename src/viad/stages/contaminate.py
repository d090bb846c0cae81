"""Stage contaminate: the train and val rows, as training will be told them.

The pool is put in one random order by the seed. Its first part is reserved for
validation; of the rest, labelled anomalies are taken from the front and contamination
from the back, so that the sets are nested (5 % lies inside 10 %) and disjoint, and no
condition moves an image that another one uses.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from viad.errors import ConfigError
from viad.params import fraction, one_of, read_params
from viad.samples import ANOMALOUS, NORMAL, read_samples, write_samples
from viad.seeds import generator

SOURCES = ("pool", "natural")
VALIDATIONS = ("none", "normal", "same_defects", "other_defects")


def main(category: str) -> None:
    """Write data/contaminated/<dataset>/<category>/samples.csv; no image is touched."""
    params = read_params(
        "dataset.name", "dataset.natural_noise", "dataset.split.pool_defects", "dataset.split.val_anomalies",
        "contamination", "supervision", "validation.name", "seed",
    )  # fmt: skip
    samples = read_samples(Path("data/resized") / params["dataset.name"] / category)
    pool = Pool(
        samples[samples["split"] == "pool"],
        natural_noise=params["dataset.natural_noise"],
        pool_defects=params["dataset.split.pool_defects"],
        val_share=fraction("dataset.split.val_anomalies", params["dataset.split.val_anomalies"]),
        rng=generator(params["seed"], "contaminate", category),
    )
    train = samples[samples["split"] == "train"]
    noise = pool.contamination(params["contamination"], len(train))
    labelled = pool.labelled(**_supervision(params["supervision"]))
    _check_disjoint(noise, labelled)
    validation = pool.validation(one_of("validation", params["validation.name"], VALIDATIONS))
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


class Pool:
    """The pool's anomalies, each promised to one use."""

    def __init__(
        self, pool: pd.DataFrame, *, natural_noise: list[str], pool_defects: list[str], val_share: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        order = pool.sort_values("sample").sample(frac=1, random_state=rng)
        doubtful = order["defect"].isin(natural_noise)
        apart = order["defect"].isin(pool_defects)
        certain = order[~doubtful & ~apart & (order["label"] == ANOMALOUS)]
        reserved = round(len(certain) * val_share)
        self.natural, self.apart = order[doubtful & ~apart], order[apart]
        self.reserved, self.free = certain[:reserved], certain[reserved:]

    def contamination(self, wanted: dict[str, Any], normals: int) -> pd.DataFrame:
        """Anomalies for a share of the training images (normals and anomalies together).

        Raises:
            ConfigError: the pool holds too few.
        """
        ratio = fraction("contamination.ratio", wanted["ratio"])
        source = one_of("contamination.source", wanted["source"], SOURCES)
        stock = self.natural if source == "natural" else self.free
        count = round(normals * ratio / (1 - ratio))
        if count > len(stock):
            highest = len(stock) / (len(stock) + normals)
            raise ConfigError(
                f"contamination.ratio: {ratio} of {normals} normal images wants {count} anomalies, the source "
                f"'{source}' has {len(stock)} (up to {highest:.3f}). Lower the ratio or raise "
                "dataset.split.pool_anomalies."
            )
        return stock[len(stock) - count :]

    def labelled(self, anomalies: int | str, defects: Sequence[str] = ()) -> pd.DataFrame:
        """The first `anomalies` of the pool, or all of them.

        Args:
            anomalies: a count, or 'all'.
            defects: the types they are taken from; none means all types. With one type, the
                others stay unseen: the 'hard' setting of open-set supervised detection.

        Raises:
            ConfigError: not a count or 'all', an unknown type, or more than the pool has.
        """
        if unknown := set(defects) - set(self.free["defect"]):
            known = ", ".join(sorted(set(self.free["defect"])))
            raise ConfigError(f"supervision.defects: {sorted(unknown)} are not in the pool, which has {known}.")
        stock = self.free[self.free["defect"].isin(defects)] if defects else self.free
        count = len(stock) if anomalies == "all" else anomalies
        if not isinstance(count, int) or isinstance(count, bool) or count < 0:
            raise ConfigError(f"supervision.anomalies: {anomalies!r} is neither a count nor 'all'.")
        if count > len(stock):
            raise ConfigError(
                f"supervision.anomalies: {count}, but the pool has {len(stock)} beside those reserved for "
                "validation. Lower it or raise dataset.split.pool_anomalies."
            )
        return stock[:count]

    def validation(self, name: str) -> pd.DataFrame:
        """The anomalies that early stopping may look at.

        Raises:
            ConfigError: there are none of the kind asked for.
        """
        chosen = {"same_defects": self.reserved, "other_defects": self.apart}.get(name, self.reserved[:0])
        if name.endswith("_defects") and chosen.empty:
            raise ConfigError(
                f"validation: {name}, but the pool has no such anomalies. "
                + ("Raise dataset.split.val_anomalies." if name == "same_defects" else
                   "Name the types to keep out of test, as -S 'dataset.split.pool_defects=[TYPE]'.")
            )  # fmt: skip
        return chosen


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
            f"{len(shared)} more than the pool has. Lower one of them."
        )
