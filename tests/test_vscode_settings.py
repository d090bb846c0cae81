"""The settings that VS Code reads in this folder: the extensions it recommends, what it watches, the interpreter."""

import json
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
EXTENSIONS = json.loads((ROOT / ".vscode/extensions.json").read_text())
SETTINGS = json.loads((ROOT / ".vscode/settings.json").read_text())
pytestmark = pytest.mark.vscode


def _is_watched(path):
    """Whether VS Code watches a path, relative to the folder: it matches a relative pattern from the folder's root."""
    for pattern, excludes in SETTINGS["files.watcherExclude"].items():
        parts = ("(.*/)?" if part == "**/" else ".*" if part == "**" else re.escape(part).replace(r"\*", "[^/]*")
                 for part in re.split(r"(\*\*/?)", pattern))  # fmt: skip
        if excludes and re.fullmatch("".join(parts), path):
            return False
    return True


def test_the_renamed_extension_is_recommended_and_the_old_one_is_not():
    assert EXTENSIONS["recommendations"] == ["lakefs.lakefs-dvc", "ms-python.python", "charliermarsh.ruff"]
    assert EXTENSIONS["unwantedRecommendations"] == ["iterative.dvc"]  # it defines the same commands


@pytest.mark.parametrize(
    "path",
    [
        ".venv/lib/python3.11/os.py", "data/raw/elpv/x.png", "models/elpv/mono/model.safetensors",
        "predictions/elpv/mono/scores.csv", ".dvc/cache/files/md5/00/ff",
    ],
)  # fmt: skip
def test_what_stages_and_dvc_write_in_thousands_is_not_watched(path):
    assert not _is_watched(path)


def test_the_code_the_results_and_the_signals_of_dvc_are_watched():
    sources = [path.relative_to(ROOT).as_posix() for path in (ROOT / "src").rglob("*.py")]
    assert "src/viad/models/patchcore.py" in sources
    files = ["dvc.yaml", "dvc.lock", "params.yaml", "metrics/summary.json", "plots/roc.csv", ".dvc/config"]
    files += [".dvc/tmp/exps/run/DVCLIVE_STEP_COMPLETED", ".git/refs/exps/00/ff", "conf/model/patchcore.yaml"]
    assert [path for path in sources + files if not _is_watched(path)] == []


def test_python_is_the_environments_and_dvc_takes_it_from_there():
    assert SETTINGS["python.defaultInterpreterPath"] == "${workspaceFolder}/.venv/bin/python"
    assert "dvc.pythonPath" not in SETTINGS  # a relative one does not hold in the temporary folders of queued runs
