"""Splits: the images of training, validation, test and anomaly reserve, assigned before any condition applies.

The splits depend on the published split and on `dataset.split` alone, so the test set is the same for every model,
condition and training seed. Contamination and supervision use anomalies of the reserve.
"""

from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.config.numbers import check_share, check_whole_number
from viad.errors import ConfigError, DataError
from viad.seeds import generator

SPLIT_PROTOCOLS = ("study", "official")


def assign_splits(samples: pd.DataFrame, protocol: str, split: dict[str, Any], category: str) -> pd.Series:
    """Assign every row to a split.

    Args:
        samples: rows with `sample`, `label`, `defect`, `group`, and `split` as published
            (empty where the dataset publishes none).
        protocol: official keeps the published split as it is; study takes validation normals from the training
            images, a reserve from the test anomalies and, where no split is published, a test set from all images.
        split: the block `split` of the dataset's yaml.
        category: its name, which also seeds the random generator.

    Raises:
        ConfigError: official, but the dataset has no published split.
        DataError: no normal training images, or a test set that lacks a class.
    """
    if protocol == "official":
        if (samples["split"] == "").any():
            raise ConfigError(
                f"protocol: official, but {category} has images without a published split. Use protocol=study."
            )
        return samples["split"]
    result = samples["split"].copy()
    units = _Units(samples, check_whole_number("dataset.split.seed", split["seed"]), category)
    unsplit = result == ""
    result[unsplit] = units.contain(samples["label"] == ANOMALOUS)[unsplit].map({True: "test", False: "train"})
    share = check_share("dataset.split.test_normals", split["test_normals"])
    result[units.take(unsplit & (result == "train"), share)] = "test"
    if not (result == "val").any():
        share = check_share("dataset.split.val_normals", split["val_normals"])
        result[units.take((result == "train") & (samples["label"] == NORMAL), share)] = "val"
    result[_choose_reserve(samples, result, units, split)] = "reserve"
    _check(samples, result, category)
    return result


def _choose_reserve(samples: pd.DataFrame, result: pd.Series, units: "_Units", split: dict[str, Any]) -> pd.Index:
    """Choose the reserve: all test images of its defect types, and a share or count of the other anomalies."""
    with_anomaly = (result == "test") & units.contain(samples["label"] == ANOMALOUS)
    reserve_defects = with_anomaly & units.contain(samples["defect"].isin(split["reserve_defects"]))
    others = with_anomaly & ~reserve_defects
    amount, stock = split["reserve_anomalies"], int((others & (samples["label"] == ANOMALOUS)).sum())
    if isinstance(amount, int) and not isinstance(amount, bool):
        if amount and amount >= stock:
            raise ConfigError(
                f"dataset.split.reserve_anomalies: {amount}, but some of the {stock} anomalies must stay in the test "
                "set. Lower the number."
            )
        amount = amount / max(stock, 1)
    share = check_share("dataset.split.reserve_anomalies", amount)
    return samples.index[reserve_defects].append(units.take(others, share))


class _Units:
    """Units that a split never divides: groups, and images without a group."""

    def __init__(self, samples: pd.DataFrame, seed: int, category: str) -> None:
        self.name = samples["group"].where(samples["group"] != "", samples["sample"])
        self.defect, self.rng = samples["defect"], generator(seed, "split", category)

    def contain(self, rows: pd.Series) -> pd.Series:
        """Tell for each image whether its unit contains one of `rows`."""
        return self.name.isin(self.name[rows])

    def take(self, rows: pd.Series, share: float) -> pd.Index:
        """Take whole units, about `share` of `rows`, allotted to the kinds of defect by largest remainder."""
        name = self.name[rows]
        kind = name.map(self.defect[rows].groupby(name).agg(lambda defects: "|".join(sorted(set(defects)))))
        exact = kind.groupby(kind).size() * share
        quota = exact.astype(int)  # rounds towards 0
        missing = round(len(name) * share) - int(quota.sum())
        quota[(exact - quota).sort_values(ascending=False, kind="stable").index[:missing]] += 1
        taken: list[Any] = []
        for defects, count in quota.items():
            taken += self._sample(name[kind == defects], int(count))
        return pd.Index(taken, dtype=name.index.dtype)

    def _sample(self, name: pd.Series, count: int) -> list[Any]:
        """Sample units at random until they have `count` rows."""
        members = name.groupby(name).groups
        taken: list[Any] = []
        for unit in self.rng.permutation(np.array(sorted(map(str, members)), dtype=object)):
            if len(taken) >= count:
                break
            taken += list(members[unit])
        return taken


def _check(samples: pd.DataFrame, result: pd.Series, category: str) -> None:
    if not ((result == "train") & (samples["label"] == NORMAL)).any():
        raise DataError(
            f"{category}: no normal image is left to train on. Check the dataset's labels and dataset.split."
        )
    for label, word in ((NORMAL, "normal"), (ANOMALOUS, "anomalous")):
        if not ((result == "test") & (samples["label"] == label)).any():
            raise DataError(
                f"{category}: no {word} image in the test set, so nothing can be measured. "
                "Check the dataset's labels and dataset.split."
            )
