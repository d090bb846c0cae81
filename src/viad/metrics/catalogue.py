"""The catalogue of metrics: their names, which direction is better, and where they are shown.

This is the only list of metrics. The summary, the tables of experiments, comparisons, docs/, the page and the columns
of `dvc exp show` are derived from it. A measured metric is computed by the function of the same name in the module of
its level (`FUNCTION_MODULES` in measurement.py). The catalogue refers to no function, so tables need not import
scikit-learn or OpenCV.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Level = Literal["image", "threshold", "shift", "pixel", "cost", "training"]
Place = Literal["results", "compare", "page", "models", "datasets", "recommendation"]

# The levels that evaluate measures; predict and train measure the others.
MEASURED_LEVELS: tuple[Level, ...] = ("image", "threshold", "shift", "pixel")


@dataclass(frozen=True)
class Metric:
    """A metric.

    key: its name in every file; for a measured metric also the name of its function.
    label: its heading in tables and on the page.
    level: its input: `image` scores and labels, scores at a `threshold`, scores under a `shift`, `pixel` scores and
        masks; predict measures `cost`, and train measures `training`.
    better: which direction is better.
    digits: after the decimal point, in tables and on the page.
    shown: places besides those that have every metric (metrics/summary.json, docs/experiments.csv, docs/metrics.md, the
        CSV and JSON of a comparison): `results` (the table of a run), `compare` (the tables of a comparison that people
        read), `page`, `models` and `datasets` (the tables of docs/), `recommendation` (its sentence).
    interval: whether it has a bootstrap interval; for metrics of level `image`.
    explanation: one line, for docs/metrics.md and the page.
    """

    key: str
    label: str
    level: Level
    explanation: str
    better: Literal["higher", "lower"] = "higher"
    digits: int = 3
    shown: tuple[Place, ...] = ("compare", "page")
    interval: bool = False

    @property
    def column(self) -> str:
        """Its column in the table of experiments."""
        return f"training.{self.key}" if self.level == "training" else self.key

    def format(self, value: float) -> str:
        """Format a value for tables."""
        return f"{value:.{self.digits}f}"


CATALOGUE: tuple[Metric, ...] = (
    Metric(
        "image_auroc", "AUROC", "image", interval=True, shown=("results", "compare", "page", "models"),
        explanation="area under the ROC curve: how often an anomalous image scores above a normal one",
    ),
    Metric(
        "image_aupr", "AP", "image", shown=(),
        explanation="average precision, anomalous images being the positives",
    ),
    Metric(
        "image_f1max", "F1max", "image", shown=(),
        explanation="F1 at the best threshold for the test labels themselves: an oracle, to compare with papers only",
    ),
    Metric(
        "pg2", "PG2", "image", interval=True, shown=("results", "compare", "page", "models", "recommendation"),
        explanation="presorted good: the share of normal images that score below the 2nd percentile of the anomalous "
        "ones (Baitieva et al. 2025)",
    ),
    Metric(
        "pb2", "PB2", "image", interval=True, shown=("results", "compare", "page", "models", "recommendation"),
        explanation="presorted bad: the share of anomalous images that score above the 98th percentile of the normal "
        "ones (Baitieva et al. 2025)",
    ),
    Metric(
        "pg5", "PG5", "image", shown=(),
        explanation="as PG2, with the 5th percentile: 5 % of the anomalous images are missed",
    ),
    Metric(
        "pb5", "PB5", "image", shown=(),
        explanation="as PB2, with the 95th percentile: 5 % of the normal images are rejected",
    ),
    Metric(
        "false_positive_rate", "FPR (false alarms)", "threshold", better="lower", shown=("results", "page"),
        explanation="the share of normal test images that score above the threshold",
    ),
    Metric(
        "false_negative_rate", "FNR (misses)", "threshold", better="lower", shown=("results", "page"),
        explanation="the share of anomalous test images that do not score above the threshold",
    ),
    Metric(
        "shifted_called_anomalous", "FPR under the shift", "shift", better="lower", shown=(),
        explanation="the share of shifted normal test images that score above the threshold",
    ),
    Metric(
        "shifted_vs_unshifted_auroc", "shifted against unshifted", "shift", better="lower", shown=(),
        explanation="AUROC of telling shifted test normals from unshifted validation normals (other images): around "
        "0.5, within the spread of two samples, where the model does not see the shift",
    ),
    Metric(
        "pixel_auroc", "pixel AUROC", "pixel", shown=("results", "page", "datasets"),
        explanation="AUROC over all pixels of the test images",
    ),
    Metric(
        "pixel_ap", "pixel AP", "pixel", shown=("datasets",),
        explanation="average precision over all pixels of the test images",
    ),
    Metric(
        "pixel_f1max", "pixel F1max", "pixel", shown=(),
        explanation="F1 over all pixels at the best threshold for the masks themselves: an oracle",
    ),
    Metric(
        "aupro_30", "AUPRO 0.3", "pixel", shown=("results", "compare", "page", "datasets"),
        explanation="overlap averaged over connected regions (8 neighbours) against the false positive rate of pixels: "
        "the area up to 0.30, interpolated there, over that limit",
    ),
    Metric("aupro_5", "AUPRO 0.05", "pixel", shown=(), explanation="as AUPRO 0.3, up to a false positive rate of 0.05"),
    Metric(
        "aupimo", "AUPIMO", "pixel", shown=("results", "compare", "page", "datasets"),
        explanation="recall of one image against the false positive rate over normal images only, log scale from 1e-5 "
        "to 1e-4, averaged over anomalous images (Bertoldo et al. 2024)",
    ),
    Metric(
        "train_seconds", "training, s", "training", better="lower", digits=0, shown=("page", "models"),
        explanation="seconds of training: the fit alone, summed over the categories",
    ),
    Metric(
        "images_per_second", "images a second", "cost", digits=1, shown=(),
        explanation="throughput at batch 16, reading files included, maps at the model's resolution",
    ),
    Metric(
        "latency_p50_ms", "latency, ms", "cost", better="lower", digits=0, shown=("compare", "page", "models"),
        explanation="median milliseconds at batch 1, from a decoded image in memory to its score and full-size map, "
        "after warm-up",
    ),
    Metric(
        "latency_p95_ms", "latency (95 %), ms", "cost", better="lower", digits=0, shown=(),
        explanation="the 95th percentile of the same milliseconds",
    ),
    Metric(
        "parameters", "parameters", "cost", better="lower", digits=0, shown=(),
        explanation="parameters of the model, the backbone included",
    ),
    Metric(
        "model_megabytes", "model, MB", "cost", better="lower", digits=1, shown=(),
        explanation="megabytes of the model on disk, without the backbone",
    ),
    Metric(
        "peak_memory_megabytes", "memory, MB", "cost", better="lower", digits=0, shown=("page", "models"),
        explanation="peak memory of the predicting process, in megabytes",
    ),
)  # fmt: skip


def metrics_at(*levels: Level) -> list[Metric]:
    """List the metrics of some levels, in the order of the catalogue."""
    return [metric for metric in CATALOGUE if metric.level in levels]


def measured_metrics() -> list[Metric]:
    """List the metrics that evaluate computes from predictions."""
    return metrics_at(*MEASURED_LEVELS)


def metrics_shown(place: Place, metrics: Iterable[Metric] | None = None) -> list[Metric]:
    """List those of the metrics (by default all) that a place shows."""
    return [metric for metric in (CATALOGUE if metrics is None else metrics) if place in metric.shown]


def find_metric(key: str) -> Metric:
    """Find the metric of a key.

    Raises:
        KeyError: the catalogue has no such metric.
    """
    for metric in CATALOGUE:
        if metric.key == key:
            return metric
    raise KeyError(key)
