"""Checkpoints of a training: where they are stored, what they hold, and how a killed training resumes.

They are stored outside the workspace, because DVC deletes the outputs of a stage before running it and deletes the copy
in which a queued experiment runs. A checkpoint's folder is named by a digest of all that training depends on, so only
the same experiment finds it.
"""

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from importlib.metadata import version
from pathlib import Path
from typing import Any

from lightning.pytorch import Callback, LightningModule, Trainer

import viad
from viad.artifacts.atomic import replacing
from viad.backbones.frozen import trained_state

CHECKPOINT_FOLDER = Path(os.environ.get("VIAD_CHECKPOINTS", "~/.cache/viad/checkpoints")).expanduser()
KEEP_SECONDS = 30 * 86400  # after which an abandoned checkpoint is deleted
FINGERPRINT_PACKAGES = ("torch", "torchvision", "anomalib", "lightning", "timm")


def compute_training_digest(settings: dict[str, Any], files: Iterable[Path]) -> str:
    """Compute a digest of the parameters, the content of the files, the code of this package and its dependencies."""
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True, default=str).encode())
    digest.update(" ".join(f"{name}={version(name)}" for name in FINGERPRINT_PACKAGES).encode())
    code = sorted(Path(str(viad.__file__)).parent.rglob("*.py"))
    for file in [*code, *files]:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()[:32]


class Checkpoints(Callback):
    """Writes a checkpoint and the logs at the start of every epoch but the first.

    Lightning has logged the means of an epoch only when the next epoch starts.

    Args:
        folder: of this training alone; it holds one folder an epoch, the newest one kept.
        log_folder: where dvclive writes.
    """

    def __init__(self, folder: Path, log_folder: Path) -> None:
        self.folder, self.log_folder = folder, log_folder
        self._before, self._start = 0.0, time.perf_counter()

    def seconds(self) -> float:
        """Wall time of the training until now, including the time before a resume."""
        return self._before + time.perf_counter() - self._start

    def state_dict(self) -> dict[str, Any]:
        """The training time before a resume, for a checkpoint."""
        return {"seconds": self.seconds()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Continue from the time in a checkpoint."""
        self._before, self._start = state_dict["seconds"], time.perf_counter()

    def resume(self) -> tuple[Path | None, int]:
        """Find the newest checkpoint and the number of finished epochs, and restore its logs."""
        _remove_abandoned(self.folder.parent)
        whole = [path for path in self.folder.glob("*") if path.name.isdigit()]
        if not whole:
            return None, 0
        newest = max(whole, key=lambda path: int(path.name))
        shutil.rmtree(self.log_folder, ignore_errors=True)
        if (newest / "log").is_dir():
            shutil.copytree(newest / "log", self.log_folder)
        return newest / "trainer.ckpt", int(newest.name)

    def remove(self) -> None:
        """Remove the checkpoint of a finished training."""
        _remove(self.folder)

    def on_train_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Save the state after the finished epochs, and remove the older checkpoint."""
        del pl_module
        target = self.folder / str(trainer.current_epoch)
        if trainer.current_epoch == 0 or target.exists():
            return
        with replacing(target) as aside:
            aside.mkdir()
            trainer.save_checkpoint(aside / "trainer.ckpt")
            if self.log_folder.is_dir():
                shutil.copytree(self.log_folder, aside / "log")
        for older in self.folder.glob("*"):
            if older != target:
                _remove(older)

    def on_save_checkpoint(self, trainer: Trainer, pl_module: LightningModule, checkpoint: dict[str, Any]) -> None:
        """Leave frozen backbones out: their weights have their own source."""
        checkpoint["state_dict"] = trained_state(pl_module)
        _reset_loop_counters(checkpoint["loops"]["fit_loop"], trainer.current_epoch)


def _reset_loop_counters(loop: dict[str, Any], epoch: int) -> None:
    """Reset Lightning's counters to the start of `epoch`: they still count the batches of the epoch before."""
    for name, progress in loop.items():
        if name == "epoch_progress":
            for counts in (progress["total"], progress["current"]):
                counts.update(dict.fromkeys(counts, epoch))
        else:
            _reset_current(progress)


def _reset_current(progress: dict[str, Any]) -> None:
    for key, value in progress.items():
        if key == "current":
            value.update(dict.fromkeys(value, 0))
        elif key == "is_last_batch":
            progress[key] = False
        elif isinstance(value, dict):
            _reset_current(value)


def _remove(folder: Path) -> None:
    """Remove a folder so that an interruption leaves no folder that looks complete."""
    if folder.is_dir():
        doomed = folder.with_name(f".{folder.name}.doomed")
        shutil.rmtree(doomed, ignore_errors=True)
        folder.rename(doomed)
        shutil.rmtree(doomed, ignore_errors=True)


def _remove_abandoned(folder: Path) -> None:
    for path in folder.glob("*"):
        if path.name.endswith(".doomed") or time.time() - path.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(path, ignore_errors=True)
