"""Which images train, validate and test: cut once, before any condition is applied.

The cut depends on the published split and on `dataset.split` alone, so the test set is
the same for every model, condition and training seed. Anomalies that may contaminate
training or be learnt from lie in the pool.
"""

from typing import Any

import numpy as np
import pandas as pd

from viad.errors import ConfigError, DataError
from viad.params import fraction
from viad.samples import ANOMALOUS, NORMAL
from viad.seeds import generator

PROTOCOLS = ("study", "official")


def assign_splits(samples: pd.DataFrame, protocol: str, split: dict[str, Any], category: str) -> pd.Series:
    """The split of every row.

    Args:
        samples: rows with `sample`, `label`, `defect`, `group`, and `split` as published
            (empty where the dataset publishes none).
        protocol: official keeps the published split as it is; study cuts validation
            normals out of training and a pool out of the test anomalies, and a test set
            where none is published.
        split: the dataset's block of that name in its yaml.
        category: names the random generators.

    Raises:
        ConfigError: official, but the dataset publishes no split.
        DataError: no normal training images, or a test set without one of the classes.
    """
    if protocol == "official":
        if (samples["split"] == "").any():
            raise ConfigError(
                f"protocol: official, but {category} has images without a published split. Use protocol=study."
            )
        return samples["split"]
    result = samples["split"].copy()
    cut = _Cut(samples, int(split["seed"]), category)
    if (samples["split"] == "").any():
        result[cut.unsplit(NORMAL)] = "train"
        result[cut.unsplit(ANOMALOUS)] = "test"
        taken = cut.take(result.index[result == "train"], fraction("dataset.split.test_normals", split["test_normals"]))
        result[taken] = "test"
    if not (samples["split"] == "val").any():
        normals = result.index[(result == "train") & (samples["label"] == NORMAL)]
        result[cut.take(normals, fraction("dataset.split.val_normals", split["val_normals"]))] = "val"
    result[_pool(samples, result, cut, split)] = "pool"
    _check(samples, result, category)
    return result


def _pool(samples: pd.DataFrame, result: pd.Series, cut: "_Cut", split: dict[str, Any]) -> pd.Index:
    """Test anomalies that go to the pool: set-apart types whole, of the others a share or a count."""
    anomalies = result.index[(result == "test") & (samples["label"] == ANOMALOUS)]
    apart = anomalies[samples.loc[anomalies, "defect"].isin(split["pool_defects"])]
    others = anomalies.difference(apart)
    amount = split["pool_anomalies"]
    if isinstance(amount, int) and not isinstance(amount, bool):
        if amount >= len(others):
            raise ConfigError(
                f"dataset.split.pool_anomalies: {amount}, but there are {len(others)} anomalies and some must "
                "stay for test."
            )
        amount = amount / max(len(others), 1)
    return apart.append(cut.take(others, fraction("dataset.split.pool_anomalies", amount)))


class _Cut:
    """Random shares of rows: by defect type, and never through a group."""

    def __init__(self, samples: pd.DataFrame, seed: int, category: str) -> None:
        self.samples, self.rng = samples, generator(seed, "split", category)

    def unsplit(self, label: int) -> pd.Index:
        return self.samples.index[(self.samples["split"] == "") & (self.samples["label"] == label)]

    def take(self, index: pd.Index, share: float) -> pd.Index:
        """About `share` of the rows in `index`, by largest remainder over the defect types."""
        rows = self.samples.loc[index]
        counts = rows.groupby("defect", sort=True).size()
        exact = counts * share
        quota = exact.astype(int)  # rounds towards 0
        missing = round(len(rows) * share) - int(quota.sum())
        for defect in (exact - quota).sort_values(ascending=False, kind="stable").index[:missing]:
            quota[defect] += 1
        taken: list[Any] = []
        for defect, count in quota.items():
            taken += self._groups(rows[rows["defect"] == defect], int(count))
        return pd.Index(taken, dtype=index.dtype)

    def _groups(self, rows: pd.DataFrame, count: int) -> list[Any]:
        names = rows["group"].where(rows["group"] != "", rows["sample"])
        order = self.rng.permutation(np.array(sorted(names.unique()), dtype=object))
        members = names.groupby(names).groups
        taken: list[Any] = []
        for name in order:
            if len(taken) >= count:
                break
            taken += list(members[name])
        return taken


def _check(samples: pd.DataFrame, result: pd.Series, category: str) -> None:
    if not ((result == "train") & (samples["label"] == NORMAL)).any():
        raise DataError(f"{category}: no normal image is left to train on.")
    for label, word in ((NORMAL, "normal"), (ANOMALOUS, "anomalous")):
        if not ((result == "test") & (samples["label"] == label)).any():
            raise DataError(
                f"{category}: no {word} image in the test set, so nothing can be measured. "
                "Check the dataset's labels and dataset.split."
            )
