"""A training that is killed goes on where it was: the same model, whole files, logs without a seam."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from composed import default_params
from viad.artifacts.images import write_image
from viad.training.checkpoints import Checkpoints, compute_training_digest

ROOT = Path(__file__).parents[1]
pytestmark = pytest.mark.long
SIZE, EPOCHS, TRIALS = 64, 6, 10


def _params(validation):
    params = default_params()
    model = yaml.safe_load((ROOT / "conf/model/msflow.yaml").read_text())
    model["small"] |= {"epochs": EPOCHS, "batch_size": 4}
    model["small"]["args"]["flow_steps"] = [1, 1, 1]
    params |= {
        "model": model,
        "backbone": yaml.safe_load((ROOT / "conf/backbone/random.yaml").read_text()),
        "image_size": SIZE,
        "preset": "small",
        "accelerator": "cpu",
        "validation": {"name": validation, "patience": 3},
    }
    return params


def _workspace(folder, validation):
    rng, rows = np.random.default_rng(0), []
    for i in range(20):
        path = f"images/{i}.png"
        (folder / "images").mkdir(parents=True, exist_ok=True)
        write_image(rng.integers(0, 255, (SIZE, SIZE, 3), dtype=np.uint8), folder / path)
        rows.append([str(i), path, "", 0, 0, "", "train" if i < 12 else "val", "", ""])
    columns = ["sample", "image", "mask", "label", "train_label", "defect", "split", "group", "domain"]
    told = folder / "data/contaminated/elpv/mono"
    told.mkdir(parents=True)
    pd.DataFrame(rows, columns=columns).to_csv(told / "samples.csv", index=False)
    (folder / "params.yaml").write_text(yaml.safe_dump(_params(validation)))


def _train(folder, killed_at=None, saved=True):
    """The stage, in a process of its own that may be killed: by itself at the start of an epoch, or from outside.

    Args:
        folder: of the workspace.
        killed_at: the epoch.
        saved: whether the checkpoint of the epochs before it is written by then.
    """
    os.chdir(folder)
    torch.set_num_threads(1)
    with Path("log.txt").open("w") as log:
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
    save = Checkpoints.on_train_epoch_start

    def save_or_end(self, trainer, pl_module):
        with Path("epochs.txt").open("a") as begun:
            begun.write(f"{trainer.current_epoch} ")
        if saved or trainer.current_epoch != killed_at:
            save(self, trainer, pl_module)
        if trainer.current_epoch == killed_at:
            os.kill(os.getpid(), signal.SIGKILL)

    Checkpoints.on_train_epoch_start = save_or_end
    from viad.stages.train import main

    main("mono")


@pytest.fixture(scope="module")
def processes(tmp_path_factory):
    """Processes that have imported torch already, so that a kill falls into the training and not into the start."""
    os.environ["VIAD_CHECKPOINTS"] = str(tmp_path_factory.mktemp("checkpoints"))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["viad.stages.train"])
    yield context
    del os.environ["VIAD_CHECKPOINTS"]


def _start(context, folder, **options):
    _clear_outputs(folder)
    (folder / "epochs.txt").unlink(missing_ok=True)
    process = context.Process(target=_train, args=(folder,), kwargs=options)
    process.start()
    return process


def _run(context, folder):
    """Train to the end; the seconds it took."""
    start = time.perf_counter()
    process = _start(context, folder)
    process.join()
    assert process.exitcode == 0, (folder / "log.txt").read_text()[-3000:]
    return time.perf_counter() - start


def _run_until(context, folder, epoch, *, saved):
    """Train until a kill at the start of an epoch."""
    process = _start(context, folder, killed_at=epoch, saved=saved)
    process.join()
    assert process.exitcode == -signal.SIGKILL, (folder / "log.txt").read_text()[-3000:]


def _epochs_begun(folder):
    """The epochs that the last process began, the one it was killed at included."""
    return [int(epoch) for epoch in (folder / "epochs.txt").read_text().split()]


def _kill_after(context, folder, seconds):
    process = _start(context, folder)
    process.join(seconds)
    process.kill()
    process.join()


def _clear_outputs(folder):
    """What DVC does before it runs a stage again."""
    for out in ("models", "metrics", "plots"):
        shutil.rmtree(folder / out, ignore_errors=True)


def _curves(folder):
    return {path.name: path.read_text() for path in sorted((folder / "plots").rglob("*.tsv"))}


@dataclass(frozen=True)
class Training:
    """What a training left in its workspace."""

    model: dict
    curves: dict
    epochs: int

    @classmethod
    def read(cls, folder):
        record = json.loads((folder / "metrics/elpv/training/mono.json").read_text())
        return cls(load_file(folder / "models/elpv/mono/model.safetensors"), _curves(folder), record["epochs"])

    def check_same(self, other):
        assert other.model.keys() == self.model.keys()
        for name, tensor in self.model.items():
            torch.testing.assert_close(other.model[name], tensor, rtol=1e-4, atol=1e-5)
        assert other.curves.keys() == self.curves.keys()
        for name, text in self.curves.items():
            assert _steps(other.curves[name]) == _steps(text), name
        assert other.epochs == self.epochs


def _check_finished(folder, whole):
    """The training is the same as the one that was never killed, and nothing else is left of it."""
    whole.check_same(Training.read(folder))
    checkpoints = Path(os.environ["VIAD_CHECKPOINTS"])
    assert not list(checkpoints.glob("*")), "a finished training leaves no checkpoint"
    assert not list(folder.rglob("*.partial"))


@pytest.mark.parametrize("validation", ["none", "normal"])
def test_a_training_that_is_killed_twice_ends_as_if_it_had_not_been(processes, tmp_path, validation):
    _workspace(tmp_path, validation)
    _run(processes, tmp_path)
    whole = Training.read(tmp_path)
    epochs = _epochs_begun(tmp_path)
    assert len(epochs) > 3
    _run_until(processes, tmp_path, 2, saved=True)
    _run_until(processes, tmp_path, 3, saved=False)
    assert _epochs_begun(tmp_path) == [2, 3]
    _run(processes, tmp_path)
    assert _epochs_begun(tmp_path) == epochs[2:]
    _check_finished(tmp_path, whole)


@pytest.mark.slow
@pytest.mark.parametrize("validation", ["none", "normal"])
def test_killing_training_at_random_moments_changes_nothing(processes, tmp_path, validation):
    _workspace(tmp_path, validation)
    _run(processes, tmp_path)  # warms the disk
    seconds = _run(processes, tmp_path)
    whole = Training.read(tmp_path)
    checkpoints, rng, resumed = Path(os.environ["VIAD_CHECKPOINTS"]), np.random.default_rng(1), 0
    for trial in range(TRIALS):
        if validation != "none" and trial >= 2 and resumed:
            break
        for _ in range(int(rng.integers(1, 3))):
            _kill_after(processes, tmp_path, float(rng.uniform(0.2, 1.0)) * seconds)
        resumed += any(checkpoints.glob("*/*/trainer.ckpt"))
        _run(processes, tmp_path)
        _check_finished(tmp_path, whole)
    assert resumed, "no kill fell between the first checkpoint and the end"


def _steps(tsv):
    return [line.split("\t")[0] for line in tsv.splitlines()]


def test_another_experiment_does_not_find_the_checkpoint(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(b"a")
    first = compute_training_digest({"seed": 1, "model": {"name": "x"}}, [image])
    assert compute_training_digest({"model": {"name": "x"}, "seed": 1}, [image]) == first
    assert compute_training_digest({"seed": 2, "model": {"name": "x"}}, [image]) != first
    image.write_bytes(b"b")
    assert compute_training_digest({"seed": 1, "model": {"name": "x"}}, [image]) != first


def test_the_time_before_a_kill_counts(tmp_path):
    first, second = (Checkpoints(tmp_path / "a", tmp_path / "log") for _ in range(2))
    first.load_state_dict({"seconds": 100.0})
    assert 100 <= first.seconds() < 160
    second.load_state_dict(first.state_dict())
    assert second.seconds() >= 100


def test_half_a_checkpoint_is_none(tmp_path):
    """A kill while one is written or removed: the folder has another name then."""
    (tmp_path / "a/.3.doomed").mkdir(parents=True)
    (tmp_path / "a/.4.partial").mkdir()
    assert Checkpoints(tmp_path / "a", tmp_path / "log").resume() == (None, 0)
