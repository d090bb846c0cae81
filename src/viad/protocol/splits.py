"""Which images train, validate and test: cut once, before any condition is applied.

The cut depends on the published split and on `dataset.split` alone, so the test set is
the same for every model, condition and training seed. Anomalies that may contaminate
training or be learnt from lie in the reserve.
"""

from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.config.numbers import check_share, check_whole_number
from viad.errors import ConfigError, DataError
from viad.seeds import generator

PROTOCOLS = ("study", "official")


def assign_splits(samples: pd.DataFrame, protocol: str, split: dict[str, Any], category: str) -> pd.Series:
    """The split of every row.

    Args:
        samples: rows with `sample`, `label`, `defect`, `group`, and `split` as published
            (empty where the dataset publishes none).
        protocol: official keeps the published split as it is; study cuts validation
            normals out of training and a reserve out of the test anomalies, and a test set
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
    units = _Units(samples, check_whole_number("dataset.split.seed", split["seed"]), category)
    unsplit = result == ""
    result[unsplit] = units.contain(samples["label"] == ANOMALOUS)[unsplit].map({True: "test", False: "train"})
    share = check_share("dataset.split.test_normals", split["test_normals"])
    result[units.take(unsplit & (result == "train"), share)] = "test"
    if not (result == "val").any():
        share = check_share("dataset.split.val_normals", split["val_normals"])
        result[units.take((result == "train") & (samples["label"] == NORMAL), share)] = "val"
    result[_reserve(samples, result, units, split)] = "reserve"
    _check(samples, result, category)
    return result


def _reserve(samples: pd.DataFrame, result: pd.Series, units: "_Units", split: dict[str, Any]) -> pd.Index:
    """Test images that go to the reserve: set-apart defect types whole, of the other anomalies a share or a count."""
    with_anomaly = (result == "test") & units.contain(samples["label"] == ANOMALOUS)
    apart = with_anomaly & units.contain(samples["defect"].isin(split["reserve_defects"]))
    others = with_anomaly & ~apart
    amount, stock = split["reserve_anomalies"], int((others & (samples["label"] == ANOMALOUS)).sum())
    if isinstance(amount, int) and not isinstance(amount, bool):
        if amount and amount >= stock:
            raise ConfigError(
                f"dataset.split.reserve_anomalies: {amount}, but of {stock} anomalies some must stay for test."
            )
        amount = amount / max(stock, 1)
    return samples.index[apart].append(units.take(others, check_share("dataset.split.reserve_anomalies", amount)))


class _Units:
    """What is never split apart, a group or a single image, and random shares of such units."""

    def __init__(self, samples: pd.DataFrame, seed: int, category: str) -> None:
        self.name = samples["group"].where(samples["group"] != "", samples["sample"])
        self.defect, self.rng = samples["defect"], generator(seed, "split", category)

    def contain(self, rows: pd.Series) -> pd.Series:
        """For each image, whether its unit has one of `rows`."""
        return self.name.isin(self.name[rows])

    def take(self, rows: pd.Series, share: float) -> pd.Index:
        """Whole units, about `share` of `rows`, by largest remainder over the kinds of defect."""
        name = self.name[rows]
        kind = name.map(self.defect[rows].groupby(name).agg(lambda defects: "|".join(sorted(set(defects)))))
        exact = kind.groupby(kind).size() * share
        quota = exact.astype(int)  # rounds towards 0
        missing = round(len(name) * share) - int(quota.sum())
        quota[(exact - quota).sort_values(ascending=False, kind="stable").index[:missing]] += 1
        taken: list[Any] = []
        for one, count in quota.items():
            taken += self._draw(name[kind == one], int(count))
        return pd.Index(taken, dtype=name.index.dtype)

    def _draw(self, name: pd.Series, count: int) -> list[Any]:
        """Rows of randomly drawn units until there are `count`."""
        members = name.groupby(name).groups
        taken: list[Any] = []
        for unit in self.rng.permutation(np.array(sorted(map(str, members)), dtype=object)):
            if len(taken) >= count:
                break
            taken += list(members[unit])
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
