"""Stage raw: the dataset's files exactly as published, and an audit of them."""

from pathlib import Path

from viad import datasets
from viad.artifacts.atomic import replacing
from viad.audit.dataset_audit import audit_dataset, describe_findings
from viad.config.conf_files import read_facts
from viad.config.params import read_params
from viad.datasets import archives
from viad.errors import DataError


def main() -> None:
    """Get the dataset, check its counts, write it to data/raw/<dataset>, whole or not at all, and audit it."""
    params = read_params(
        "dataset.name",
        "dataset.code",
        "dataset.categories",
        "dataset.source",
        "dataset.options",
        "audit.verify",
    )
    name, code, verify = params["dataset.name"], params["dataset.code"], params["audit.verify"]
    facts = read_facts("dataset", name)
    archive = facts.get("archive")
    raw = Path("data/raw") / name
    with replacing(raw) as out:
        if archive is None:
            datasets.load_dataset_module(code).publish(out, params["dataset.source"])
        else:
            archives.publish(out, name, archive if verify else archive | {"sha256": None}, params["dataset.source"])
        for category in params["dataset.categories"]:
            try:
                rows = datasets.read_rows(code, out, category, params["dataset.options"])
            except DataError as error:  # `out` will be gone, so name files by their place in the archive
                raise DataError(str(error).replace(f"{out}/", "").replace(str(out), "the archive")) from error
            if verify:
                datasets.check_counts(rows, category, facts.get("counts"))
    by_category = {
        category: datasets.read_rows(code, raw, category, params["dataset.options"])
        for category in params["dataset.categories"]
    }
    print(describe_findings(name, audit_dataset(name, by_category)))
