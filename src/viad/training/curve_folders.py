"""Empty folders for the curves of categories that are not trained yet.

DVC takes a declared output that it has never seen for a file, and reports a plot that is a file without a known suffix
as an error ("file type error"), which the VS Code extension shows in red until the training has started. DVC knows an
existing folder for what it is, and an empty one has no plots.
"""

from pathlib import Path

from viad.config.names import check_name, check_names
from viad.config.params import read_params

LOCK_FILE = Path("dvc.lock")


def create_curve_folders() -> None:
    """Create the missing plots/<dataset>/training/<category> of the params in the working directory.

    A folder that dvc.lock lists is left to DVC: it knows it as a folder, and an empty one would replace missing curves.

    Raises:
        ConfigError: params.yaml is missing, is not valid YAML or lacks the dataset, or a name breaks the rule.
    """
    params = read_params("dataset.name", "dataset.categories")
    dataset = check_name("dataset.name", params["dataset.name"])
    lock = LOCK_FILE.read_text(encoding="utf-8") if LOCK_FILE.is_file() else ""
    for category in check_names("dataset.categories", params["dataset.categories"]):
        folder = Path("plots") / dataset / "training" / category
        if f": {folder.as_posix()}\n" not in lock:
            folder.mkdir(parents=True, exist_ok=True)
