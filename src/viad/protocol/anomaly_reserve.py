"""The anomaly reserve: anomalies that no test set contains, and the purpose that each of them serves.

The seed fixes one random order of the reserve. Its first part is for validation. Of the rest, labelled anomalies come
from the front and contamination from the back. So larger sets contain the smaller ones (10 % contains 5 %), the two
uses are disjoint, and changing one condition does not change the images of another.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from viad.artifacts.samples import ANOMALOUS
from viad.config.numbers import check_share, check_whole_number
from viad.config.params import one_of
from viad.errors import ConfigError

CONTAMINATION_SOURCES = ("reserve", "natural")


class AnomalyReserve:
    """The reserve's anomalies, divided by their use."""

    def __init__(
        self, reserve: pd.DataFrame, *, doubtful_defects: list[str], reserve_defects: list[str], val_share: float,
        rng: np.random.Generator,
    ) -> None:  # fmt: skip
        order = reserve.sort_values("sample").sample(frac=1, random_state=rng)
        doubtful = order["defect"].isin(doubtful_defects)
        other = order["defect"].isin(reserve_defects)
        certain = order[~doubtful & ~other & (order["label"] == ANOMALOUS)]
        val_count = round(len(certain) * val_share)
        self.natural, self.other_defects = order[doubtful & ~other], order[other]
        self.same_defects, self.free = certain[:val_count], certain[val_count:]

    def choose_contamination(self, contamination: dict[str, Any], normals: int) -> pd.DataFrame:
        """Choose anomalies that will be labelled normal, as a share of all training images (normals and anomalies).

        Raises:
            ConfigError: the reserve has too few.
        """
        ratio = check_share("contamination.ratio", contamination["ratio"])
        source = one_of("contamination.source", contamination["source"], CONTAMINATION_SOURCES)
        stock = self.natural if source == "natural" else self.free
        count = round(normals * ratio / (1 - ratio))
        if count > len(stock):
            highest = len(stock) / (len(stock) + normals)
            raise ConfigError(
                f"contamination.ratio: a share of {ratio} beside {normals} normal images needs {count} anomalies, but "
                f"the source '{source}' has {len(stock)} (enough for a ratio of {highest:.3f}). Lower the ratio or "
                "raise dataset.split.reserve_anomalies."
            )
        return stock[len(stock) - count :]

    def choose_labelled(self, anomalies: int | str, defects: Sequence[str] = ()) -> pd.DataFrame:
        """Choose the first `anomalies` of the reserve, or all of them, for supervised training.

        Args:
            anomalies: a count, or 'all'.
            defects: the types to choose from; an empty list means all types. With one type, the model sees no other
                type: the 'hard' setting of open-set supervised detection.

        Raises:
            ConfigError: neither a count nor 'all', an unknown type, or more than the reserve has.
        """
        if unknown := set(defects) - set(self.free["defect"]):
            types = ", ".join(sorted(set(self.free["defect"])))
            raise ConfigError(f"supervision.defects: {sorted(unknown)} are not in the reserve, which has {types}.")
        stock = self.free[self.free["defect"].isin(defects)] if defects else self.free
        count = len(stock)
        if anomalies != "all":
            count = check_whole_number("supervision.anomalies", anomalies, otherwise="'all'")
        if count > len(stock):
            raise ConfigError(
                f"supervision.anomalies: {count}, but the reserve has {len(stock)} besides those reserved "
                "for validation. Lower it or raise dataset.split.reserve_anomalies."
            )
        return stock[:count]

    def choose_validation(self, name: str) -> pd.DataFrame:
        """Choose the anomalies that early stopping may use.

        Raises:
            ConfigError: the reserve has no anomalies of this kind.
        """
        same, other = self.same_defects, self.other_defects
        anomalies = {"same_defects": same, "other_defects": other}.get(name, same[:0])
        if name.endswith("_defects") and anomalies.empty:
            raise ConfigError(
                f"validation: {name}, but the reserve has no such anomalies. "
                + ("Raise dataset.split.val_anomalies." if name == "same_defects" else
                   "Name the defect types to keep out of the test set, as -S 'dataset.split.reserve_defects=[TYPE]'.")
            )  # fmt: skip
        return anomalies
