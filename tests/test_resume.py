"""A training that is killed goes on where it was: the same model, whole files, logs without a seam."""

import json
import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from safetensors.torch import load_file

from viad.artifacts.images import write_image
from viad.training.checkpoints import Checkpoints, fingerprint

ROOT = Path(__file__).parents[1]
SIZE, EPOCHS, TRIALS = 64, 6, 10


def _params(validation):
    params = yaml.safe_load((ROOT / "params.yaml").read_text())
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


def _train(folder):
    """The stage, in a process of its own that may be killed."""
    os.chdir(folder)
    torch.set_num_threads(1)
    with Path("log.txt").open("w") as log:
        os.dup2(log.fileno(), 1), os.dup2(log.fileno(), 2)
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


def _run(context, folder, kill_after=None):
    """Seconds that the training took, or would not have taken: it was killed."""
    process = context.Process(target=_train, args=(folder,))
    start = time.perf_counter()
    process.start()
    process.join(kill_after)
    if process.is_alive():
        os.kill(process.pid, signal.SIGKILL)
        process.join()
        return None
    assert process.exitcode == 0, (folder / "log.txt").read_text()[-3000:]
    return time.perf_counter() - start


def _clear_outputs(folder):
    """What DVC does before it runs a stage again."""
    for out in ("models", "metrics", "plots"):
        shutil.rmtree(folder / out, ignore_errors=True)


def _curves(folder):
    return {path.name: path.read_text() for path in sorted((folder / "plots").rglob("*.tsv"))}


@pytest.mark.parametrize("validation", ["none", "normal"])
def test_killing_training_at_random_moments_changes_nothing(processes, tmp_path, validation):
    _workspace(tmp_path, validation)
    _run(processes, tmp_path)  # warms the disk
    _clear_outputs(tmp_path)
    seconds = _run(processes, tmp_path)
    model, curves = load_file(tmp_path / "models/elpv/mono/model.safetensors"), _curves(tmp_path)
    record = json.loads((tmp_path / "metrics/elpv/training/mono.json").read_text())
    checkpoints, rng, resumed = Path(os.environ["VIAD_CHECKPOINTS"]), np.random.default_rng(1), 0
    for trial in range(TRIALS):
        if validation != "none" and trial >= 2 and resumed:
            break
        for _ in range(int(rng.integers(1, 3))):
            _clear_outputs(tmp_path)
            _run(processes, tmp_path, kill_after=float(rng.uniform(0.2, 1.0)) * seconds)
        resumed += any(checkpoints.glob("*/*/trainer.ckpt"))
        _clear_outputs(tmp_path)
        _run(processes, tmp_path)
        again = load_file(tmp_path / "models/elpv/mono/model.safetensors")
        assert again.keys() == model.keys()
        for name, tensor in model.items():
            torch.testing.assert_close(again[name], tensor, rtol=1e-4, atol=1e-5)
        after = _curves(tmp_path)
        assert after.keys() == curves.keys()
        for name, text in curves.items():
            assert _steps(after[name]) == _steps(text), name
        epochs = json.loads((tmp_path / "metrics/elpv/training/mono.json").read_text())["epochs"]
        assert epochs == record["epochs"]
        assert not list(checkpoints.glob("*")), "a finished training leaves no checkpoint"
        assert not list(tmp_path.rglob("*.partial"))
    assert resumed, "no kill fell between the first checkpoint and the end"


def _steps(tsv):
    return [line.split("\t")[0] for line in tsv.splitlines()]


def test_another_experiment_does_not_find_the_checkpoint(tmp_path):
    image = tmp_path / "a.png"
    image.write_bytes(b"a")
    first = fingerprint({"seed": 1, "model": {"name": "x"}}, [image])
    assert fingerprint({"model": {"name": "x"}, "seed": 1}, [image]) == first
    assert fingerprint({"seed": 2, "model": {"name": "x"}}, [image]) != first
    image.write_bytes(b"b")
    assert fingerprint({"seed": 1, "model": {"name": "x"}}, [image]) != first


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
