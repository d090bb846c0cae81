"""Cards of the datasets and models of this repository, from their yamls."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from viad.config.composition import head_comment

DATASET_YAMLS, MODEL_YAMLS = Path("conf/dataset"), Path("conf/model")
LEARNING_TYPE_FACTS = {
    "one_class": "one-class: normal images only",
    "unsupervised": "unsupervised: images that may hold anomalies",
    "supervised": "supervised: normal images and some labelled anomalies",
}
ABOUT_FACTS = {"paper": "paper", "licence": "licence", "size": "image size", "masks": "masks", "serves": "good for"}


def read_dataset_cards() -> list[dict[str, Any]]:
    """Read one card for each dataset."""
    return [_read_dataset_card(path) for path in sorted(DATASET_YAMLS.glob("*.yaml"))]


def read_model_cards() -> list[dict[str, Any]]:
    """Read one card for each model."""
    return [_read_model_card(path) for path in sorted(MODEL_YAMLS.glob("*.yaml"))]


def _read_dataset_card(path: Path) -> dict[str, Any]:
    block = yaml.safe_load(path.read_text(encoding="utf-8"))
    about = block.get("facts") or {}
    archive = about.get("archive")
    facts = [["categories", ", ".join(map(str, block["categories"]))]]
    facts += [[title, str(about[key])] for key, title in ABOUT_FACTS.items() if about.get(key)]
    facts.append(["to get it", _describe_source(archive)])
    return {
        "name": block["name"],
        "title": about.get("title", block["name"]),
        "facts": facts,
        "words": head_comment(path),
    }


def _describe_source(archive: Mapping[str, Any] | None) -> str:
    """Give the address of a dataset's archive, or of its page if it is not one archive with a link."""
    if archive is None:
        return "nothing to do"
    url = archive["url"]
    return str(url if isinstance(url, str) and url.startswith("http") else archive["page"])


def _read_model_card(path: Path) -> dict[str, Any]:
    block = yaml.safe_load(path.read_text(encoding="utf-8"))
    facts = [["learning type", LEARNING_TYPE_FACTS[block["learning_type"]]]]
    for name in ("small", "paper"):
        preset = block.get(name)
        if isinstance(preset, dict):
            facts.append([f"preset {name}", f"{preset['epochs']} epochs, batches of {preset['batch_size']}"])
    if block.get("needs"):
        facts.append(["needs", block["needs"]])
    return {"name": block["name"], "title": block["name"], "facts": facts, "words": head_comment(path)}
