"""Stage raw: the dataset's files exactly as published."""

from pathlib import Path

from viad import archives, datasets
from viad.atomic import replacing
from viad.errors import DataError
from viad.params import read_params


def main() -> None:
    """Get the dataset, compare its counts, and lay it at data/raw/<dataset>, whole or not at all."""
    params = read_params(
        "dataset.name",
        "dataset.code",
        "dataset.categories",
        "dataset.source",
        "dataset.archive",
        "dataset.options",
        "dataset.counts",
    )
    code, archive = params["dataset.code"], params["dataset.archive"]
    with replacing(Path("data/raw") / params["dataset.name"]) as out:
        if archive is None:
            datasets.load(code).publish(out, params["dataset.source"])
        else:
            archives.publish(out, params["dataset.name"], archive, params["dataset.source"])
        for category in params["dataset.categories"]:
            try:
                rows = datasets.read_rows(code, out, category, params["dataset.options"])
            except DataError as error:  # name files by where they lie in what was published: `out` will be gone
                raise DataError(str(error).replace(f"{out}/", "").replace(str(out), "the archive")) from error
            datasets.check_counts(rows, category, params["dataset.counts"])
