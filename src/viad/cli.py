"""The `viad` command: what is wanted beside `dvc`."""

import argparse
import json
import sys
from pathlib import Path
from typing import Any

from viad.errors import ConfigError, ViadError
from viad.params import PARAMS_FILE, read_params

COLUMNS = {  # of the table of results: heading, metric
    "AUROC": "image_auroc",
    "PG2": "pg2",
    "PB2": "pb2",
    "false alarms": "false_alarm_rate",
    "misses": "miss_rate",
    "pixel AUROC": "pixel_auroc",
    "AUPRO 0.3": "aupro_30",
}


def main() -> int:
    """Run a subcommand; what the user can mend is printed without a traceback."""
    parser = argparse.ArgumentParser(
        prog="viad", description="Beside dvc: show results, compose params.yaml, name experiments."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("results", help="the table of results of the run in this workspace, as Markdown")
    compose = commands.add_parser("params", help="compose conf/ into params.yaml, as `dvc exp run` does")
    compose.add_argument("overrides", nargs="*", help="such as model=msflow image_size=512")
    commands.add_parser("name", help="give experiments with random names ones that say what they are")
    commands.add_parser("shifts", help="the table of shift severities, as Markdown")
    arguments = parser.parse_args()
    try:
        if arguments.command == "results":
            print(results_table())
        elif arguments.command == "shifts":
            from viad.shifts import severity_table

            print(severity_table(), end="")
        elif arguments.command == "name":
            from viad.naming import rename_all

            for old, new in rename_all().items():
                print(f"{old} -> {new}")
        else:
            compose_params(arguments.overrides)
    except ViadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def compose_params(overrides: list[str], out: Path = PARAMS_FILE) -> None:
    """Write what conf/ composes to, with DVC's own composition.

    Raises:
        ConfigError: Hydra knows an override's group, option or key not; the message lists what it knows.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException

    try:
        compose_and_dump(out, str(Path("conf").resolve()), None, "config", str(Path.cwd()), overrides)
    except HydraException as error:
        raise ConfigError(str(error)) from error


def results_table() -> str:
    """The metrics of each category of this workspace's run as a Markdown table, intervals included.

    Raises:
        ConfigError: a category has no metrics yet.
    """
    params = read_params(
        "dataset.name", "dataset.categories", "model.name", "backbone.name", "image_size", "shift.name"
    )
    folder = Path("metrics") / params["dataset.name"]
    tables = {category: _load(folder / f"{category}.json") for category in params["dataset.categories"]}
    columns = {head: name for head, name in COLUMNS.items() if any(name in table for table in tables.values())}
    lines = [
        f"{params['model.name']} on {params['dataset.name']}, {params['image_size']} px, backbone "
        f"{params['backbone.name']}, shift {params['shift.name']} (95 % intervals in brackets):",
        "",
        "| category | " + " | ".join(columns) + " |",
        "| --- |" + " --- |" * len(columns),
    ]
    lines += [
        f"| {category} | " + " | ".join(_cell(table, name) for name in columns.values()) + " |"
        for category, table in tables.items()
    ]
    return "\n".join(lines)


def _cell(table: dict[str, Any], name: str) -> str:
    if name not in table:
        return ""
    interval = table["intervals"].get(name)
    return f"{table[name]:.3f}" + ("" if interval is None else f" [{interval[0]:.3f}, {interval[1]:.3f}]")


def _load(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConfigError(f"{path} is not there: run `dvc repro`, or `dvc exp apply` an experiment that has run.")
    values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return values


if __name__ == "__main__":
    sys.exit(main())
