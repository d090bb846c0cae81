"""Experiments made one by one, without running or storing anything."""

import json

import numpy as np
import pandas as pd

import many_experiments
from viad.comparison.comparison_files import compare_experiments
from viad.experiments.conditions import format_cell, read_baselines
from viad.experiments.experiment_tables import IMAGE_COLUMNS, Experiments, list_table_columns
from viad.metrics.image import image_auroc

BASELINE = {key: format_cell(value) for key, value in read_baselines().items()} | {
    "dataset.code": "", "training.learning_type": "one_class",
    "training.selection": "last", "training.epochs": 4, "latency_p50_ms": 20.0, "peak_memory_megabytes": 900.0,
    "training.train_seconds": 9.0, "false_positive_rate": 0.05, "by_domain": "{}",
}  # fmt: skip


class Made:
    """Experiments made one by one: a skill for each category."""

    def __init__(self):
        self.rows, self.scores = [], {}

    def add(self, model, *, skill, categories=("mono", "poly"), **changes):
        conditions = BASELINE | {key.replace("__", "."): value for key, value in changes.items()}
        said = "-".join(f"{value}" for key, value in changes.items() if key != "seed")
        name = f"{model}-{said}-s{conditions['seed']}"
        for category in categories:
            rng = np.random.default_rng([len(self.rows)])
            tested = many_experiments.scores(60, 60, skill, rng)
            value = image_auroc(tested["score"].to_numpy(), tested["label"].to_numpy())
            quality = {"image_auroc": value, "image_auroc_low": value - 0.03, "image_auroc_high": value + 0.03}
            kinds = {"crack": value, "break": value}
            row = conditions | {"experiment": name, "category": category, "model.name": model} | quality
            self.rows.append(row | {"pg2": 0.3, "pb2": 0.4, "image_auroc_by_defect": json.dumps(kinds)})
            images = self.scores.setdefault((conditions["dataset.name"], category), tested[IMAGE_COLUMNS].copy())
            images[name] = tested["score"]
        return name

    def experiments(self):
        return Experiments(pd.DataFrame(self.rows).reindex(columns=list_table_columns()), self.scores)

    def compared(self):
        return compare_experiments(self.experiments())
