"""Run one stage of dvc.yaml: `python src/stage.py NAME [--category CATEGORY]`.

This file is outside the package so that Python imports `viad` from this checkout, also in the temporary copies in which
DVC runs queued experiments.
"""

import argparse
import errno
import os
import sys
import warnings
from pathlib import Path

import yaml

from viad.errors import ViadError
from viad.processes.parent import end_with
from viad.processes.startup import import_quickly, keep_freed_memory
from viad.training.curve_folders import create_curve_folders


def main() -> int:
    """Run the stage's `main`; print errors that the user can correct without a traceback."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", help="a module of viad.stages")
    parser.add_argument("--category", help="for stages that run once for each category")
    arguments = parser.parse_args()
    if "DVC_STAGE" in os.environ:  # a stage started by hand may outlive its shell, as under nohup
        end_with(os.getppid())
    # Deprecations inside these packages: the user cannot correct them, and they hide other warnings.
    warnings.filterwarnings("ignore", category=FutureWarning, module=r"(timm|anomalib)\.")
    if "DVC_EXP_BASELINE_REV" in os.environ and arguments.name != "summarize":
        blank_metrics()
    keep_freed_memory()
    try:
        if "DVC_STAGE" in os.environ:  # before the seconds that imports take
            create_curve_folders()
        stage = import_quickly(f"viad.stages.{arguments.name}")
        stage.main(*([arguments.category] if arguments.category else []))
    except ViadError as error:
        print(f"error: {arguments.name} {arguments.category or ''}: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            f"interrupted: {arguments.name}. No incomplete output is left. Run `dvc repro` to resume.", file=sys.stderr
        )
        return 130
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        print(
            f"error: {arguments.name}: no space left on the disk of {error.filename or 'this folder'}. "
            "Free some space and run again: `dvc gc --all-experiments` deletes what neither this workspace nor an "
            "experiment uses.",
            file=sys.stderr,
        )
        return 1
    return 0


def blank_metrics() -> None:
    """Empty the metrics files of dvc.yaml: an experiment's row would show those of the previous run until its end.

    They are outputs of summarize, the last stage. DVC checks the outputs of a stage when its turn comes, so it restores
    them from the run-cache or runs summarize, even if every other output of this run is the same as before.
    """
    for name in yaml.safe_load(Path("dvc.yaml").read_text(encoding="utf-8"))["metrics"]:
        if (path := Path(name)).is_file():
            path.unlink()  # it may be a link into DVC's cache
            path.write_text("{}\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
