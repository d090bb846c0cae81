"""The files of conf/ as Hydra composes them, for tests that need one without the rest."""

from pathlib import Path

import yaml

from viad.config.conf_files import FACTS, read_option

ROOT = Path(__file__).parents[1]


def read_conf(option):
    """An option such as dataset/elpv, with its bases."""
    return read_option(
        f"conf/{option}.yaml",
        lambda path: yaml.safe_load((ROOT / path).read_text()) if (ROOT / path).is_file() else None,
    )


def read_facts(name):
    """The facts of a dataset, as its file in conf/ has them."""
    return yaml.safe_load((ROOT / f"conf/dataset/{name}.yaml").read_text())[FACTS]
