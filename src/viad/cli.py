"""The `viad` command: what is wanted beside `dvc`. Each subcommand is a function that takes the parsed arguments."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from viad.errors import ConfigError, ViadError

Command = Callable[[Namespace], int]


def main() -> int:
    """Run a subcommand; what the user can mend is printed without a traceback."""
    arguments = _parser().parse_args()
    try:
        run: Command = arguments.run
        return run(arguments)
    except ViadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def _parser() -> ArgumentParser:
    parser = ArgumentParser(
        prog="viad", description="Beside dvc: import images, run studies, compare experiments and report on them."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, said: str) -> ArgumentParser:
        added = commands.add_parser(name, help=said, description=said)
        added.set_defaults(run=run)
        return added

    command("results", _results, "the table of results of the run in this workspace, as Markdown")
    compose = command("params", _params, "compose conf/ into params.yaml, as `dvc exp run` does")
    compose.add_argument("overrides", nargs="*", help="such as model=msflow image_size=512")
    command("name", _name, "give experiments with random names ones that say what they are")
    inspect = command("audit", _audit, "look for what is wrong with a dataset that is at data/raw/")
    inspect.add_argument("dataset", help="one of conf/dataset")
    bring = command("import", _import, "make a dataset of your own images, a folder tree or a CSV")
    bring.add_argument("path", type=Path, help="the folder or the CSV")
    bring.add_argument("--name", required=True, help="of the dataset, as in -S dataset=NAME")
    bring.add_argument("--normal", nargs="*", default=[], help="further names of folders with normal images")
    bring.add_argument("--dry-run", action="store_true", help="show what is understood, and stop")
    study = command("study", _study, "run the experiments of a study of conf/study on a pool of clones")
    study.add_argument("name", help="one of conf/study")
    study.add_argument("--preset", default="small", help="small (a CPU, data at hand) or paper")
    study.add_argument("--jobs", type=int, default=1, help="clones at once; with GPUs, one each")
    study.add_argument("--dry-run", action="store_true", help="list the experiments and what they would take")
    again = command("evaluate", _evaluate, "measure earlier experiments again from their predictions in DVC's cache")
    again.add_argument("names", nargs="*", help="experiments; without a name, those that lack a metric")
    beside = command("compare", _compare, "experiments side by side: differences, ranks, what to take")
    beside.add_argument("--out", type=Path, default=Path("results/comparison"), help="folder for all tables")
    page = command("report", _report, "a page of all experiments, to be opened in a browser")
    page.add_argument("--out", type=Path, default=Path("results/report"), help="its folder")
    page.add_argument("--gallery", action="append", default=[], metavar="EXPERIMENT", help="whose heat maps to show")
    command("findings", _findings, "keep the experiments, and write docs/findings.md from them")
    command("collect", _collect, "keep the experiments that DVC knows here in docs/")
    command("docs", _docs, "write the generated tables of README.md and docs/ anew")
    return parser


def _results(_: Namespace) -> int:
    from viad.documentation.generated_parts import read_results

    print(read_results())
    return 0


def _params(arguments: Namespace) -> int:
    from viad.config.composition import compose_params

    compose_params(arguments.overrides)
    return 0


def _name(_: Namespace) -> int:
    from viad.experiments.renaming import rename_all

    for old, new in rename_all().items():
        print(f"{old} -> {new}")
    return 0


def _audit(arguments: Namespace) -> int:
    """Audit a dataset that is here; a line says what was found and where it is written."""
    from viad.audit.report import in_words, report
    from viad.datasets import read_rows

    dataset = arguments.dataset
    conf, raw = Path("conf/dataset") / f"{dataset}.yaml", Path("data/raw") / dataset
    if not conf.is_file():
        known = ", ".join(sorted(path.stem for path in conf.parent.glob("*.yaml")))
        raise ConfigError(f"there is no dataset '{dataset}'. Choose one of {known}.")
    if not raw.is_dir():
        raise ConfigError(f"{raw} is not there: `dvc exp run -S dataset={dataset} raw` gets it.")
    block = yaml.safe_load(conf.read_text(encoding="utf-8"))
    rows = {name: read_rows(block["code"], raw, name, block["options"]) for name in block["categories"]}
    print(in_words(dataset, report(dataset, rows)))
    return 0


def _import(arguments: Namespace) -> int:
    from viad.importing.importer import import_images

    print(import_images(arguments.path, arguments.name, arguments.normal, dry_run=arguments.dry_run), end="")
    return 0


def _study(arguments: Namespace) -> int:
    """Run what a study lacks; 1 if an experiment failed."""
    from viad.experiments.committed_results import known
    from viad.studies.plans import FOLDER, estimate, plan, read_study
    from viad.studies.runner import existing, run_all

    name, jobs = arguments.name, arguments.jobs
    experiments = plan(read_study(name, arguments.preset))
    there = existing()
    missing = [one for one in experiments if one.name not in there]
    for one in experiments:
        print(f"{'there  ' if one.name in there else 'to run '} {one.name}")
    more = f": {estimate(missing, known().table, jobs)}" if missing else ""
    print(f"{len(experiments)} experiments, {len(missing)} to run{more}")
    if arguments.dry_run or not missing:
        return 0
    failed = 0
    for outcome in run_all(name, missing, jobs):
        failed += outcome.result == "failed"
        print(f"{outcome.result} {outcome.experiment} in {outcome.seconds:.0f} s {outcome.reason}".rstrip(), flush=True)
    if failed:
        print(f"{failed} failed; their logs are in {FOLDER / name}/. Run the study again to try them once more.")
    return int(failed > 0)


def _evaluate(arguments: Namespace) -> int:
    """Measure experiments again, a line for each; 1 if one could not be."""
    from viad.experiments.remeasurement import remeasure

    failed = measured = 0
    for outcome in remeasure(arguments.names):
        print(f"{outcome.experiment}: {outcome.words}", flush=True)
        measured, failed = measured + 1, failed + outcome.failed
    if not measured:
        print("Every experiment that DVC has here has every metric.")
    return int(failed > 0)


def _compare(arguments: Namespace) -> int:
    from viad.comparison.writing import compare, write_comparison
    from viad.experiments.committed_results import known

    print(write_comparison(compare(known()), arguments.out), end="")
    return 0


def _report(arguments: Namespace) -> int:
    from viad.experiments.committed_results import known
    from viad.report.contents import contents
    from viad.report.page import write_page

    experiments = known()
    if unknown := sorted(set(arguments.gallery) - set(experiments.revisions)):
        there = ", ".join(sorted(experiments.revisions)) or "none"
        raise ConfigError(f"--gallery {unknown[0]}: no such experiment. DVC has here: {there}.")
    with TemporaryDirectory() as folder:
        pictures = Path(folder)
        write_page(contents(experiments, arguments.gallery, pictures), arguments.out, pictures)
    print(f"open {arguments.out / 'index.html'}")
    return 0


def _findings(_: Namespace) -> int:
    from viad.documentation.findings.page import write_findings
    from viad.experiments.committed_results import collect, kept

    collect()  # so that a clone, which has no experiments, makes the same page of what is kept
    print(write_findings(kept()))
    return 0


def _collect(_: Namespace) -> int:
    from viad.experiments.committed_results import FILE, collect

    print(f"{collect()} rows into {FILE}")
    return 0


def _docs(_: Namespace) -> int:
    from viad.documentation.generated_parts import refresh

    refresh()
    return 0


if __name__ == "__main__":
    sys.exit(main())
