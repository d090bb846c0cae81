"""Training a model through anomalib's Engine, on rows that hold no test image."""

import logging
import tempfile
import time
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.engine import Engine
from anomalib.models import AnomalibModule
from dvclive import Live
from dvclive.lightning import DVCLiveLogger
from lightning.pytorch import Callback, Trainer
from lightning.pytorch.callbacks import EarlyStopping

from viad.datamodule import batches
from viad.errors import DataError
from viad.feature_cache import FeatureCache
from viad.learning import ModelSpec
from viad.metrics.image import auroc
from viad.samples import ANOMALOUS, NORMAL

EARLY_STOPPING = {  # what each kind of validation watches, and whether it should fall or rise
    "normal": ("val_loss", "min"),
    "same_defects": ("val_image_auroc", "max"),
    "other_defects": ("val_image_auroc", "max"),
}


@dataclass(frozen=True)
class Outcome:
    """How a training run went: wall time of the fit alone, epochs run, and how the epoch was chosen."""

    train_seconds: float
    epochs: int
    selection: str


def rows_for(samples: pd.DataFrame, learning_type: str) -> pd.DataFrame:
    """The training rows that a model of this learning type may use.

    Only supervised models see labelled anomalies. Unlabelled ones (contamination) look
    like normals to every model.

    Raises:
        DataError: nothing is left to train on, or a supervised model has no anomaly.
    """
    train = samples[samples["split"] == "train"]
    if learning_type != "supervised":
        train = train[train["train_label"] == NORMAL]
    elif not (train["train_label"] == ANOMALOUS).any():
        raise DataError("a supervised model needs labelled anomalies: set supervision.anomalies to a count or 'all'.")
    if len(train) == 0:
        raise DataError("no image to train on.")
    return train


def fit(
    model: AnomalibModule, spec: ModelSpec, samples: pd.DataFrame, *, validation: str, patience: int, seed: int,
    device: torch.device, log_folder: Path,
) -> Outcome:  # fmt: skip
    """Train `model` in place.

    Without validation the epochs are those of the spec, and the last one counts. With
    it, a model that trains by epochs stops when val rows improve no more, and the best
    epoch on them counts.
    """
    _quiet()
    on_gpu = device.type == "cuda"
    stops_early = spec.epochs > 1 and validation != "none"
    train = batches(rows_for(samples, spec.learning_type), spec.batch_size, shuffle=True, seed=seed, on_gpu=on_gpu)
    val = batches(samples[samples["split"] == "val"], spec.batch_size, on_gpu=on_gpu) if stops_early else None
    with tempfile.TemporaryDirectory(prefix="viad-train-") as scratch, _live(log_folder) as live:
        best = ModelCheckpoint(dirpath=scratch, save_top_k=0)
        callbacks: list[Callback] = [best]
        if stops_early:
            monitor, mode = EARLY_STOPPING[validation]
            best = ModelCheckpoint(dirpath=scratch, save_top_k=1, monitor=monitor, mode=mode)
            callbacks = [_ValidationAUROC(), EarlyStopping(monitor, patience=patience, mode=mode), best]
        if hasattr(model, "feature_cache"):
            model.feature_cache = FeatureCache(Path(scratch), samples["image"].tolist())
        engine = Engine(
            callbacks=callbacks,
            logger=_Logger(experiment=live),
            default_root_dir=scratch,
            max_epochs=spec.epochs,
            accelerator="gpu" if on_gpu else "cpu",
            devices=1,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if stops_early else 0,
            log_every_n_steps=10,
            enable_progress_bar=spec.epochs > 1,
            enable_model_summary=False,
        )
        start = time.perf_counter()
        engine.fit(model, train_dataloaders=train, val_dataloaders=val)
        seconds = time.perf_counter() - start
        if stops_early:
            checkpoint = torch.load(best.best_model_path, map_location=device, weights_only=True)
            model.load_state_dict(checkpoint["state_dict"])
    # Its numbers stand in the curves; left there, `dvc plots` takes it for an empty plot.
    (log_folder / "metrics.json").unlink(missing_ok=True)
    return Outcome(seconds, engine.trainer.current_epoch, "validation" if stops_early else "last")


def _live(folder: Path) -> Live:
    return Live(dir=str(folder), dvcyaml=None, save_dvc_exp=False)


def _quiet() -> None:
    """Leave the progress bar; drop Lightning's notes on hardware, and its warnings about what is meant to be so."""
    for name in ("lightning.pytorch", "lightning_fabric", "lightning_utilities", "anomalib"):
        logging.getLogger(name).setLevel(logging.WARNING)
    intended = (
        "You defined a `validation_step`",
        ".*configure_optimizers` returned `None`",
        "Found .* in eval mode",
        "The '(train|val)_dataloader' does not have many workers",
        "The number of training batches",
        "`isinstance.treespec, LeafSpec",
        "Checkpoint directory",
    )
    for message in intended:
        warnings.filterwarnings("ignore", message=message)


class _Logger(DVCLiveLogger):
    """DVC knows the hyper-parameters from params.yaml; dvclive cannot write anomalib's enums."""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Log nothing."""


class _ValidationAUROC(Callback):
    """Log val_image_auroc where val rows hold both classes; anomalib's validation_step gives the scores."""

    def __init__(self) -> None:
        self.scores: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        del trainer, pl_module, outputs, batch_idx, dataloader_idx
        self.scores.append(batch.pred_score.detach().float().flatten().cpu())
        self.labels.append(batch.gt_label.cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        del trainer
        scores, labels = torch.cat(self.scores).numpy(), torch.cat(self.labels).numpy()
        self.scores, self.labels = [], []
        if (value := auroc(scores, labels)) is not None:
            pl_module.log("val_image_auroc", value)


def describe(outcome: Outcome, spec: ModelSpec) -> Mapping[str, Any]:
    """What metrics/<dataset>/training records of the run."""
    return {
        "train_seconds": round(outcome.train_seconds, 3),
        "epochs": outcome.epochs,
        "selection": outcome.selection,
        "budget": spec.budget,
        "learning_type": spec.learning_type,
    }
