"""Stage code: the modules that each stage imports, with their digests, on which the stages depend.

It is the first stage, so it also refuses names that would be unsafe in the paths and commands of the others.
"""

from pathlib import Path
from typing import Any

from viad.artifacts.atomic import replacing
from viad.artifacts.code_digests import find_imported_files, write_digests
from viad.config.names import check_name, check_names
from viad.config.params import read_params
from viad.errors import ConfigError

SOURCE = Path("src")
STAGE_FOLDER = SOURCE / "viad/stages"
# What a stage loads by the name that a parameter has.
LOADED_CODE = {"raw": "dataset.code", "resize": "dataset.code", "train": "model.code", "predict": "model.code"}


def main() -> None:
    """List the code of each other stage in data/code/<stage>.txt."""
    params = read_params("dataset.name", "dataset.categories", "dataset.code", "model.code")
    check_name("dataset.name", params["dataset.name"])
    check_names("dataset.categories", params["dataset.categories"])
    with replacing(Path("data/code")) as out:
        out.mkdir()
        for module in sorted(STAGE_FOLDER.glob("[a-z]*.py")):
            if module.name != Path(__file__).name:
                entries = [SOURCE / "stage.py", module, *_find_loaded_code(module.stem, params)]
                write_digests(find_imported_files(entries, SOURCE), out / f"{module.stem}.txt")


def _find_loaded_code(stage: str, params: dict[str, Any]) -> list[Path]:
    """Find the module or package that a stage loads; none for predictions made elsewhere, whose `code` is a folder."""
    key = LOADED_CODE.get(stage)
    if key is None or not (code := Path(params[key])).is_relative_to(SOURCE):
        return []
    if not code.exists():
        raise ConfigError(f"{key}: {code} does not exist. Set it to a module or package in {SOURCE}/viad.")
    return [code]
