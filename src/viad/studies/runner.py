"""Run the experiments of a study in worker clones.

Each clone runs `dvc exp run`, and `dvc exp push` pushes the finished experiment to this repository, where `dvc exp
show` lists it at once. No daemon is needed. A failed experiment keeps its log and becomes a row of status.csv.

A study resumes when it runs again: `select_unfinished` skips the experiments that DVC has here, and an interrupted
training continues from its last checkpoint (`viad.training.checkpoints`), in any clone.
"""

import csv
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from typing import IO

from viad.artifacts.dvc_adapter import Repository
from viad.errors import ConfigError
from viad.studies.plans import STUDIES_FOLDER, Experiment
from viad.studies.stage_server import start_stage_server
from viad.studies.worker_clones import Clone, CloneError, lock_clones, run_command

STOP_SIGNALS = (signal.SIGTERM, signal.SIGHUP)  # a request to stop, and a closed terminal
STATUS_COLUMNS = ("experiment", "result", "seconds", "reason", "log")


@dataclass(frozen=True)
class Outcome:
    """The outcome of an experiment."""

    experiment: str
    result: str  # done | failed
    seconds: float
    reason: str  # of a failure: the line of the log with the error
    log: str


def select_unfinished(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Select the experiments that DVC does not have here yet, whatever commit it has others from."""
    with Repository() as repo:
        finished = {name for name, _ in repo.list_experiments()}
    return [experiment for experiment in experiments if experiment.name not in finished]


def run_experiments(study: str, experiments: Sequence[Experiment], jobs: int) -> Iterator[Outcome]:
    """Run experiments in `jobs` clones at once, and yield each outcome when the experiment ends.

    Stopping (Ctrl-C, SIGTERM) keeps finished experiments; interrupted ones resume from their last checkpoint when they
    are run again.

    Args:
        study: names the folder of logs.
        experiments: to run.
        jobs: clones at once.

    Raises:
        ConfigError: `jobs` is less than 1, or the working tree has uncommitted changes.
        CloneError: git or DVC fails to create a clone.
    """
    if jobs < 1:
        raise ConfigError(f"--jobs {jobs}: at least one clone is needed. Give a number from 1 on.")
    _check_committed()
    logs = STUDIES_FOLDER / study
    logs.mkdir(parents=True, exist_ok=True)
    free: SimpleQueue[Clone] = SimpleQueue()
    with (
        lock_clones(jobs) as held,
        ThreadPoolExecutor(jobs) as threads,
        _manage_children(jobs) as children,
        start_stage_server(children.environment) as python,
    ):
        for clone in held:
            free.put(clone)
        children.environment["PATH"] = f"{python}{os.pathsep}{children.environment['PATH']}"
        started = [
            threads.submit(_run_experiment, one, free, logs, children) for one in interleave_datasets(experiments)
        ]
        try:
            for future in as_completed(started):
                outcome = future.result()
                _record_outcome(outcome, logs / "status.csv")
                yield outcome
        except BaseException:
            threads.shutdown(wait=False, cancel_futures=True)  # experiments in the queue must not overwrite their logs
            raise


def interleave_datasets(experiments: Sequence[Experiment]) -> list[Experiment]:
    """Interleave the datasets: experiments on the same dataset that start together would all prepare its images."""
    groups: dict[str, list[Experiment]] = {}
    for experiment in experiments:
        groups.setdefault(experiment.conditions["dataset.name"], []).append(experiment)
    turns = itertools.zip_longest(*groups.values())
    return [experiment for turn in turns for experiment in turn if experiment is not None]


def _check_committed() -> None:
    changed = run_command("git", "status", "--porcelain", "--", "src", "conf", "dvc.yaml", cwd=Path.cwd())
    if changed:
        raise ConfigError(f"uncommitted changes do not reach the clones that run a study. Commit them:\n{changed}")


class _Children:
    """Child processes that must not outlive this process."""

    def __init__(self, jobs: int) -> None:
        # More threads than cores slow all of them down, two jobs on two cores by several times.
        threads = max(1, (os.cpu_count() or 1) // jobs)
        self.environment = dict(os.environ) | ({} if jobs == 1 else {"OMP_NUM_THREADS": str(threads)})
        self.running: set[subprocess.Popen[bytes]] = set()
        self.stopped = False

    def wait(self, command: Sequence[str], clone: Clone, log: IO[bytes]) -> int:
        """Run a command in a clone, with its output in a log; return its exit status."""
        if self.stopped:
            return -signal.SIGTERM
        with subprocess.Popen(  # noqa: S603
            command, cwd=clone.folder, env=self.environment | clone.environment, stdin=subprocess.DEVNULL, stdout=log,
            stderr=log, start_new_session=True, pass_fds=[clone.lock.fileno()],  # it may outlive us by a kill -9
        ) as process:  # fmt: skip
            self.running.add(process)
            try:
                return process.wait()
            finally:
                self.running.discard(process)

    def stop(self) -> None:
        """Terminate all children and their process groups."""
        self.stopped = True
        for process in list(self.running):
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGTERM)


@contextmanager
def _manage_children(jobs: int) -> Iterator[_Children]:
    children = _Children(jobs)
    handled = [number for number in STOP_SIGNALS if signal.getsignal(number) != signal.SIG_IGN]  # `nohup` ignores one
    handlers = {number: signal.signal(number, lambda number, _: sys.exit(128 + number)) for number in handled}
    try:
        yield children
    except BaseException:
        children.stop()
        raise
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


def _run_experiment(experiment: Experiment, free: "SimpleQueue[Clone]", logs: Path, children: _Children) -> Outcome:
    """Run an experiment in a free clone and push it to this repository."""
    clone, start, log = free.get(), time.perf_counter(), logs / f"{experiment.name}.log"
    settings = [word for override in experiment.overrides for word in ("-S", override)]
    dvc = (sys.executable, "-m", "dvc", "exp")
    try:
        with log.open("wb") as file:
            try:
                clone.reset(experiment.name)
                ended = children.wait([*dvc, "run", "--name", experiment.name, *settings], clone, file)
                if ended == 0:
                    ended = children.wait([*dvc, "push", "--no-cache", "origin", experiment.name], clone, file)
            except CloneError as error:
                file.write(f"error: {error}\n".encode())
                ended = 1
    finally:
        free.put(clone)
    seconds = time.perf_counter() - start
    reason = "" if ended == 0 else _find_reason(log)
    return Outcome(experiment.name, "done" if ended == 0 else "failed", round(seconds, 1), reason, str(log))


def _find_reason(log: Path) -> str:
    """Find the line of a log with the reason of a failure: the last error message of viad or DVC, or the last line."""
    lines = [line.strip() for line in log.read_text(encoding="utf-8", errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if line.lower().startswith("error:") and "failed to reproduce" not in line]
    return (errors or lines or ["the log is empty"])[-1]


def _record_outcome(outcome: Outcome, path: Path) -> None:
    new = not path.is_file()
    with path.open("a", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        if new:
            writer.writerow(STATUS_COLUMNS)
        writer.writerow([getattr(outcome, column) for column in STATUS_COLUMNS])
