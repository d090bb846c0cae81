"""Stage raw: the dataset's files exactly as published."""

from pathlib import Path

from viad import datasets
from viad.atomic import replacing
from viad.params import read_params


def main() -> None:
    """Get the dataset and lay it at data/raw/<dataset>, whole or not at all."""
    params = read_params("dataset.name", "dataset.code", "dataset.source")
    dataset = datasets.load(params["dataset.code"])
    with replacing(Path("data/raw") / params["dataset.name"]) as out:
        dataset.publish(out, params["dataset.source"])
