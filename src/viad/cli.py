"""The `viad` command, for the tasks that `dvc` has no command for. Each subcommand is a function of its arguments."""

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import yaml

from viad.errors import ConfigError, ViadError

Command = Callable[[Namespace], int]


def main() -> int:
    """Run a subcommand; print errors that the user can correct without a traceback."""
    arguments = build_parser().parse_args()
    try:
        run: Command = arguments.run
        return run(arguments)
    except ViadError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


def build_parser() -> ArgumentParser:
    """The parser of the command line; each subcommand's function is its default `run`."""
    parser = ArgumentParser(
        prog="viad", description="Import images, run studies, compare experiments and report on them. See also `dvc`."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def command(name: str, run: Command, description: str) -> ArgumentParser:
        added = commands.add_parser(name, help=description, description=description)
        added.set_defaults(run=run)
        return added

    command("results", _results, "Print the results of the run in this workspace as a Markdown table.")
    compose = command("compose", _compose, "Compose conf/ into params.yaml, as `dvc exp run` does.")
    compose.add_argument("overrides", nargs="*", help="KEY=VALUE, such as model=msflow image_size=512")
    compose.add_argument(
        "--from-workspace",
        action="store_true",
        help="the reverse: edit conf/config.yaml so that the next run composes the present params.yaml, such as that "
        "of an applied experiment",
    )
    command("rename", _rename, "Replace random names of experiments by names that list their conditions.")
    audit = command("audit", _audit, "Check a dataset in data/raw/ for duplicates, leaks, wrong labels and masks.")
    audit.add_argument("dataset", help="name of a dataset in conf/dataset/")
    add = command("import", _import, "Make a dataset of your own images: a folder tree, annotated or not, or a CSV.")
    add.add_argument("path", type=Path, help="the folder or the CSV")
    add.add_argument("--name", required=True, help="name of the dataset, as in -S dataset=NAME")
    for option, metavar, text in (
        ("--normal", "NAME", "a folder or class with normal images, or a label of a CSV"),
        ("--defect", "NAME", "a folder, or a label of a CSV, that is a defect type"),
        ("--category", "FOLDER", "a folder that is a category"),
        ("--split", "FOLDER=SPLIT", "the split of a folder's images: train, val, test or reserve"),
        ("--exclude", "FOLDER", "a folder or file to leave out"),
    ):
        add.add_argument(option, action="append", default=[], metavar=metavar, help=f"{text}; repeatable")
    add.add_argument(
        "--unannotated", choices=["normal"], help="images without a mask or annotation are normal where others have one"
    )
    add.add_argument(
        "--mask-from", type=int, default=1, metavar="LEVEL", help="lowest grey level of an anomalous pixel (default: 1)"
    )
    add.add_argument("--skip-unreadable", action="store_true", help="leave faulty files out, and record them")
    add.add_argument("--dry-run", action="store_true", help="show how the images would be imported, and stop")
    study = command("study", _study, "Run or resume a study: its unfinished experiments, in worker clones.")
    study.add_argument("name", help="name of a study in conf/study/")
    study.add_argument(
        "--preset", default="small", help="small (minutes on a CPU; default) or paper (the paper's size)"
    )
    study.add_argument("--jobs", type=int, default=1, help="number of workers; each takes one GPU if there are any")
    study.add_argument("--dry-run", action="store_true", help="list the experiments with an estimate, and stop")
    evaluate = command("evaluate", _evaluate, "Measure earlier experiments again from their cached predictions.")
    evaluate.add_argument("names", nargs="*", help="experiments; without a name, all that lack a metric")
    compare = command("compare", _compare, "Compare all experiments: differences, ranks, and a recommendation.")
    compare.add_argument("--out", type=Path, default=Path("results/comparison"), help="folder for the tables")
    page = command("report", _report, "Write a page about all experiments that opens in a browser without a server.")
    page.add_argument("--out", type=Path, default=Path("results/report"), help="folder for the page")
    page.add_argument("--gallery", action="append", default=[], metavar="EXPERIMENT", help="show its heat maps")
    command("docs", _docs, "Write all experiments, the findings and the generated tables to docs/ and README.md.")
    return parser


def _results(_: Namespace) -> int:
    from viad.documentation.generated_parts import read_results

    print(read_results())
    return 0


def _compose(arguments: Namespace) -> int:
    """Compose conf/ into params.yaml, or make params.yaml the defaults in conf/ and print what that changed."""
    if arguments.from_workspace:
        return _adopt_workspace(arguments.overrides)
    from viad.config.composition import compose_params

    compose_params(arguments.overrides)
    return 0


def _adopt_workspace(overrides: list[str]) -> int:
    from viad.experiments.overrides import CONF_GROUPS
    from viad.experiments.workspace_defaults import adopt_workspace_params

    if overrides:
        raise ConfigError("--from-workspace takes all values from params.yaml. Leave out " + ", ".join(overrides) + ".")
    changes = adopt_workspace_params()
    if not changes:
        print("conf/ already composes to params.yaml; conf/config.yaml is unchanged.")
        return 0
    print(f"conf/config.yaml: {', '.join(changes)}")
    print("The next `dvc exp run` composes the present params.yaml; names and tables take it as the baseline.")
    if any(change.partition("=")[0].partition(".")[0] in CONF_GROUPS and "." in change for change in changes):
        print("Values within a group's file, such as model.small.epochs, now hold for each of its files.")
    print("`git checkout conf/config.yaml` restores the committed defaults.")
    return 0


def _rename(_: Namespace) -> int:
    from viad.experiments.random_names import rename_random_experiments

    for old, new in rename_random_experiments().items():
        print(f"{old} -> {new}")
    return 0


def _audit(arguments: Namespace) -> int:
    """Audit a downloaded dataset; print the number of findings and where they are written."""
    from viad.audit.dataset_audit import audit_dataset, describe_findings
    from viad.datasets import read_rows

    dataset = arguments.dataset
    conf, raw = Path("conf/dataset") / f"{dataset}.yaml", Path("data/raw") / dataset
    if not conf.is_file():
        options = ", ".join(sorted(path.stem for path in conf.parent.glob("*.yaml")))
        raise ConfigError(f"no dataset '{dataset}' in {conf.parent}. Choose one of {options}.")
    if not raw.is_dir():
        raise ConfigError(f"{raw} does not exist. Download the dataset with `dvc exp run -S dataset={dataset} raw`.")
    block = yaml.safe_load(conf.read_text(encoding="utf-8"))
    rows = {name: read_rows(block["code"], raw, name, block["options"]) for name in block["categories"]}
    print(describe_findings(dataset, audit_dataset(dataset, rows)))
    return 0


def _import(arguments: Namespace) -> int:
    from viad.importing.import_options import ImportOptions, parse_splits
    from viad.importing.importer import import_images

    options = ImportOptions(
        normal=arguments.normal,
        splits=parse_splits(arguments.split),
        exclude=arguments.exclude,
        categories=arguments.category,
        defects=arguments.defect,
        unannotated_normal=arguments.unannotated == "normal",
        mask_from=arguments.mask_from,
        skip_unreadable=arguments.skip_unreadable,
    )
    print(import_images(arguments.path, arguments.name, options, dry_run=arguments.dry_run), end="")
    return 0


def _study(arguments: Namespace) -> int:
    """Run the experiments of a study that are not finished; 1 if one failed."""
    from viad.experiments.committed_results import load_all_results
    from viad.studies.plans import STUDIES_FOLDER, estimate_cost, plan_experiments, read_study
    from viad.studies.runner import run_experiments, select_unfinished

    name, jobs = arguments.name, arguments.jobs
    experiments = plan_experiments(read_study(name, arguments.preset))
    missing = select_unfinished(experiments)
    for experiment in experiments:
        print(f"{'to run  ' if experiment in missing else 'finished'} {experiment.name}")
    more = f": {estimate_cost(missing, load_all_results().table, jobs)}" if missing else ""
    print(f"{len(experiments)} experiments, {len(missing)} to run{more}")
    if arguments.dry_run or not missing:
        return 0
    failed = 0
    for outcome in run_experiments(name, missing, jobs):
        failed += outcome.result == "failed"
        print(f"{outcome.result} {outcome.experiment} in {outcome.seconds:.0f} s {outcome.reason}".rstrip(), flush=True)
    if failed:
        print(f"{failed} failed; their logs are in {STUDIES_FOLDER / name}/. Run the study again to repeat them.")
    return int(failed > 0)


def _evaluate(arguments: Namespace) -> int:
    """Measure experiments again, a line for each; 1 if one could not be."""
    from viad.experiments.remeasurement import remeasure_experiments

    failed = measured = 0
    for outcome in remeasure_experiments(arguments.names):
        print(f"{outcome.experiment}: {outcome.words}", flush=True)
        measured, failed = measured + 1, failed + outcome.failed
    if not measured:
        print("Every experiment that DVC has here has every metric.")
    return int(failed > 0)


def _compare(arguments: Namespace) -> int:
    from viad.comparison.comparison_files import compare_experiments, write_comparison
    from viad.experiments.committed_results import load_all_results

    print(write_comparison(compare_experiments(load_all_results()), arguments.out), end="")
    return 0


def _report(arguments: Namespace) -> int:
    from viad.experiments.committed_results import load_all_results
    from viad.report.contents import collect_contents
    from viad.report.page import write_page

    experiments = load_all_results()
    if unknown := sorted(set(arguments.gallery) - set(experiments.revisions)):
        names = ", ".join(sorted(experiments.revisions)) or "none"
        raise ConfigError(f"--gallery {unknown[0]}: no such experiment in this repository. Choose one of: {names}.")
    with TemporaryDirectory() as folder:
        pictures = Path(folder)
        write_page(collect_contents(experiments, arguments.gallery, pictures), arguments.out, pictures)
    print(f"open {arguments.out / 'index.html'}")
    return 0


def _docs(_: Namespace) -> int:
    """Write all generated documentation; print each file."""
    from viad.documentation.generated_parts import README_PICTURE, copy_default_gallery, refresh_pages
    from viad.documentation.paper_claims.findings_page import write_findings
    from viad.experiments.committed_results import (
        EXPERIMENTS_CSV,
        SCORES_FOLDER,
        collect_results,
        load_committed_results,
    )

    print(f"{EXPERIMENTS_CSV}, {SCORES_FOLDER}/ ({collect_results()} rows from this repository's experiments)")
    # From the files, not from DVC: a clone, which has no experiments, writes the same pages.
    for path in [*write_findings(load_committed_results()), *refresh_pages()]:
        print(path)
    unchanged = f"{README_PICTURE} is unchanged: DVC's cache has no gallery of the default run. Run `make run` first."
    print(copy_default_gallery() or unchanged)
    return 0


if __name__ == "__main__":
    sys.exit(main())
