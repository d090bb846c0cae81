"""The anomaly reserve: anomalies that no test set contains, and what each of them is used for.

The reserve is put in one random order by the seed. Its first part is kept for validation; of the rest,
labelled anomalies are taken from the front and contamination from the back, so that the sets are nested
(5 % lies inside 10 %) and disjoint, and no condition moves an image that another one uses.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.samples import ANOMALOUS
from viad.config.numbers import check_share, check_whole_number
from viad.config.params import one_of
from viad.errors import ConfigError

SOURCES = ("reserve", "natural")


class AnomalyReserve:
    """The reserve's anomalies, each promised to one use."""

    def __init__(
        self, reserve: pd.DataFrame, *, doubtful_defects: list[str], reserve_defects: list[str], val_share: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        order = reserve.sort_values("sample").sample(frac=1, random_state=rng)
        doubtful = order["defect"].isin(doubtful_defects)
        apart = order["defect"].isin(reserve_defects)
        certain = order[~doubtful & ~apart & (order["label"] == ANOMALOUS)]
        reserved = round(len(certain) * val_share)
        self.natural, self.apart = order[doubtful & ~apart], order[apart]
        self.reserved, self.free = certain[:reserved], certain[reserved:]

    def contamination(self, wanted: dict[str, Any], normals: int) -> pd.DataFrame:
        """Anomalies for a share of the training images (normals and anomalies together).

        Raises:
            ConfigError: the reserve holds too few.
        """
        ratio = check_share("contamination.ratio", wanted["ratio"])
        source = one_of("contamination.source", wanted["source"], SOURCES)
        stock = self.natural if source == "natural" else self.free
        count = round(normals * ratio / (1 - ratio))
        if count > len(stock):
            highest = len(stock) / (len(stock) + normals)
            raise ConfigError(
                f"contamination.ratio: {ratio} of {normals} normal images wants {count} anomalies, the source "
                f"'{source}' has {len(stock)} (up to {highest:.3f}). Lower the ratio or raise "
                "dataset.split.reserve_anomalies."
            )
        return stock[len(stock) - count :]

    def labelled(self, anomalies: int | str, defects: Sequence[str] = ()) -> pd.DataFrame:
        """The first `anomalies` of the reserve, or all of them.

        Args:
            anomalies: a count, or 'all'.
            defects: the types they are taken from; none means all types. With one type, the
                others stay unseen: the 'hard' setting of open-set supervised detection.

        Raises:
            ConfigError: not a count or 'all', an unknown type, or more than the reserve has.
        """
        if unknown := set(defects) - set(self.free["defect"]):
            known = ", ".join(sorted(set(self.free["defect"])))
            raise ConfigError(f"supervision.defects: {sorted(unknown)} are not in the reserve, which has {known}.")
        stock = self.free[self.free["defect"].isin(defects)] if defects else self.free
        count = len(stock)
        if anomalies != "all":
            count = check_whole_number("supervision.anomalies", anomalies, otherwise="'all'")
        if count > len(stock):
            raise ConfigError(
                f"supervision.anomalies: {count}, but the reserve has {len(stock)} beside those reserved for "
                "validation. Lower it or raise dataset.split.reserve_anomalies."
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
                f"validation: {name}, but the reserve has no such anomalies. "
                + ("Raise dataset.split.val_anomalies." if name == "same_defects" else
                   "Name the types to keep out of test, as -S 'dataset.split.reserve_defects=[TYPE]'.")
            )  # fmt: skip
        return chosen
