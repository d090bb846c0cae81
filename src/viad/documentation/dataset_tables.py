"""Tables of docs/datasets.md, from the yamls and the committed experiments."""

import json
from collections.abc import Iterator
from typing import Any

import pandas as pd
import yaml

from viad.artifacts import markdown
from viad.datasets.archives import explain_manual_download
from viad.importing.importer import DATASET_CONF
from viad.metrics.catalogue import metrics_shown


def format_datasets() -> str:
    """Format one row per dataset: licence, images, categories, uses, and the way to download it."""
    head = [
        "`dataset=`",
        "title",
        "categories",
        "images: normal + anomalous",
        "pixels",
        "masks",
        "licence",
        "suited to",
        "download",
    ]
    rows = []
    for dataset in _read_published_datasets():
        facts = dataset["facts"]
        what = f"{facts['title']} ({facts['paper']})"
        row = [f"`{dataset['name']}`", what, len(dataset["categories"]), _format_images(dataset)]
        rows.append([*row, *(facts[key] for key in ("size", "masks", "licence", "serves")), _format_download(dataset)])
    return markdown.format_table(head, rows)


def format_counts() -> str:
    """Format the published counts of each category and split, which the `raw` stage compares with the files."""
    rows = []
    for dataset in _read_published_datasets():
        for category, known in (dataset["facts"]["counts"] or {}).items():
            first = known[0] if isinstance(known, list) else known
            rows.append(
                [
                    dataset["name"],
                    category,
                    *(_format_split(first, split) for split in ("train", "val", "test", "reserve", "all")),
                ]
            )
    return markdown.format_table(["dataset", "category", "train", "validation", "test", "reserve", "no split"], rows)


def format_dataset_results(experiments: pd.DataFrame, datasets: list[str]) -> str:
    """Format all experiments on some datasets, with pixel-level metrics and the AUROC of each defect type."""
    runs = experiments[experiments["dataset.name"].isin(datasets)]
    shown = [metric for metric in metrics_shown("datasets") if runs[metric.key].notna().any()]
    rows = []
    for run in runs.to_dict("records"):
        kinds = json.loads(run["image_auroc_by_defect"]) if isinstance(run["image_auroc_by_defect"], str) else {}
        interval = f"{run['image_auroc']:.3f} [{run['image_auroc_low']:.3f}, {run['image_auroc_high']:.3f}]"
        pixels = ["" if pd.isna(run[metric.key]) else metric.format(run[metric.key]) for metric in shown]
        by_defect = ", ".join(f"{kind} {value:.3f}" for kind, value in kinds.items() if value is not None)
        rows.append([run["experiment"], run["category"], interval, *pixels, by_defect])
    head = ["experiment", "category", "AUROC", *(metric.label for metric in shown), "AUROC by defect type"]
    return markdown.format_table(head, rows)


def _read_published_datasets() -> Iterator[dict[str, Any]]:
    """Read the yamls of published datasets, without those that `viad import` wrote."""
    for path in sorted(DATASET_CONF.glob("*.yaml")):
        dataset = yaml.safe_load(path.read_text(encoding="utf-8"))
        if not dataset["code"].endswith("imported.py"):
            yield dataset


def _format_images(dataset: dict[str, Any]) -> str:
    known = [one[0] if isinstance(one, list) else one for one in (dataset["facts"]["counts"] or {}).values()]
    if not known:
        return str(dataset["facts"]["images"])
    normal, anomalous = (sum(pair[label] for one in known for pair in one.values()) for label in (0, 1))
    return f"{normal:,} + {anomalous:,}"


def _format_split(counts: dict[str, list[int]], split: str) -> str:
    return f"{counts[split][0]} + {counts[split][1]}" if split in counts else ""


def _format_download(dataset: dict[str, Any]) -> str:
    archive = dataset["facts"]["archive"]
    if archive is None:
        return "embedded"
    if archive["url"] is not None:
        return f"automatic ([website]({archive['page']}))"
    files = archive["file"] if isinstance(archive["file"], list) else [archive["file"]]
    return (
        f"by hand: {', '.join(f'`{file}`' for file in files)}, [{explain_manual_download(archive)}]({archive['page']})"
    )
