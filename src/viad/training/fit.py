"""Training a model through anomalib's Engine, on rows that hold no test image."""

import logging
import shutil
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import torch
from anomalib.callbacks import ModelCheckpoint
from anomalib.engine import Engine
from anomalib.models import AnomalibModule
from lightning.pytorch import Callback
from lightning.pytorch.callbacks import EarlyStopping

from viad.artifacts.samples import ANOMALOUS, NORMAL
from viad.backbones.feature_cache import FeatureCache
from viad.backbones.frozen import FrozenBackbone
from viad.errors import ConfigError, DataError
from viad.training.build import ModelSpec
from viad.training.callbacks import AnnounceImages, BestEpoch, Curves, CurvesLogger, SeedEpochs, ValidationAUROC
from viad.training.checkpoints import Checkpoints
from viad.training.loading import EpochOrder, load_batches

EARLY_STOPPING = {  # the metric that each kind of validation watches, and its direction
    "normal": ("val_loss", "min"),
    "same_defects": ("val_image_auroc", "max"),
    "other_defects": ("val_image_auroc", "max"),
}


@dataclass(frozen=True)
class TrainingOutcome:
    """The outcome of a training: wall time of the fit alone (also before a resume), epochs, selection."""

    train_seconds: float
    epochs: int
    selection: str


def select_training_rows(samples: pd.DataFrame, learning_type: str) -> pd.DataFrame:
    """Select the training rows that a model of this learning type may use.

    Only supervised models see labelled anomalies. For every model, contamination is labelled normal.

    Raises:
        DataError: no training image, or no labelled anomaly for a supervised model.
    """
    train = samples[samples["split"] == "train"]
    if learning_type != "supervised":
        train = train[train["train_label"] == NORMAL]
    elif not (train["train_label"] == ANOMALOUS).any():
        raise DataError("a supervised model needs labelled anomalies. Set supervision.anomalies to a count or 'all'.")
    if len(train) == 0:
        raise DataError("no training images. Check the dataset's splits.")
    return train


def fit_model(
    model: AnomalibModule, spec: ModelSpec, samples: pd.DataFrame, *, validation: str, patience: int, seed: int,
    device: torch.device, log_folder: Path, checkpoints: Path,
) -> TrainingOutcome:  # fmt: skip
    """Train `model` in place, and resume from the checkpoint of an interrupted training if there is one.

    Without validation, the spec sets the number of epochs, and the last epoch counts. With validation, a model that
    trains by epochs stops when its metric on the val rows no longer improves, and the best epoch counts.

    Args:
        checkpoints: the folder of this training (see `viad.training.checkpoints`), removed at the end.

    Raises:
        ConfigError: the model does not measure the metric that early stopping needs.
    """
    if spec.epochs == 0:  # predictions made elsewhere
        log_folder.mkdir(parents=True, exist_ok=True)
        return TrainingOutcome(0.0, 0, "none")
    _silence_lightning()
    saved = Checkpoints(checkpoints, log_folder)
    resume_from, epoch = saved.resume()
    on_gpu, trains_by_epochs = device.type == "cuda", spec.epochs > 1 or spec.steps is not None
    stops_early = trains_by_epochs and validation != "none"
    rows = select_training_rows(samples, spec.learning_type)
    order = EpochOrder(rows["train_label"].tolist(), seed, spec.batch_size, getattr(model, "balance", None))
    order.set_epoch(epoch)
    train = load_batches(rows, spec.batch_size, order=order, on_gpu=on_gpu)
    val = load_batches(samples[samples["split"] == "val"], spec.batch_size, on_gpu=on_gpu) if stops_early else None
    best = BestEpoch(*EARLY_STOPPING[validation]) if stops_early else None
    with tempfile.TemporaryDirectory(prefix="viad-train-") as scratch, _open_curves(log_folder, epoch) as curves:
        # anomalib's Engine saves its own checkpoints unless it gets a callback that saves none.
        callbacks: list[Callback] = [SeedEpochs(seed), ModelCheckpoint(dirpath=scratch, save_top_k=0), saved]
        if best:
            callbacks += [ValidationAUROC(), EarlyStopping(best.monitor, patience=patience, mode=best.mode), best]
        if trains_by_epochs:
            callbacks += _attach_cache(model, Path(scratch), samples["image"].tolist())
        engine = Engine(
            callbacks=callbacks,
            logger=CurvesLogger(experiment=curves),
            default_root_dir=scratch,
            max_epochs=spec.epochs,
            max_steps=-1 if spec.steps is None else spec.steps,
            accelerator="gpu" if on_gpu else "cpu",
            devices=1,
            num_sanity_val_steps=0,
            limit_val_batches=1.0 if stops_early else 0,
            log_every_n_steps=10,
            enable_progress_bar=trains_by_epochs,
            enable_model_summary=False,
        )
        model.strict_loading = False  # a checkpoint holds no frozen backbone
        with _explain_missing_metric(spec.name, validation):
            engine.fit(model, train_dataloaders=train, val_dataloaders=val, ckpt_path=resume_from)
        seconds = saved.seconds()
    if isinstance(backbone := getattr(model.model, "feature_extractor", None), FrozenBackbone):
        backbone.cache = None  # its files were in the scratch folder
    if best:
        model.load_state_dict(best.state, strict=False)
    # The curves contain its numbers, and `dvc plots` would show it as an empty plot.
    (log_folder / "metrics.json").unlink(missing_ok=True)
    saved.remove()
    return TrainingOutcome(seconds, engine.trainer.current_epoch, "validation" if stops_early else "last")


@contextmanager
def _explain_missing_metric(name: str, validation: str) -> Iterator[None]:
    """Explain Lightning's error if a model does not measure the metric that early stopping needs."""
    try:
        yield
    except RuntimeError as error:
        monitor = EARLY_STOPPING.get(validation, ("", ""))[0]
        if f"conditioned on metric `{monitor}`" not in str(error):
            raise
        raise ConfigError(
            f"validation: {validation} watches {monitor}, which {name} does not measure. "
            "Use validation=same_defects or none."
        ) from error


def _attach_cache(model: AnomalibModule, folder: Path, images: list[str]) -> list[Callback]:
    """Let the backbone compute its features once, if the model's class sets CACHES_FEATURES."""
    backbone = getattr(model.model, "feature_extractor", None)
    if not getattr(model, "CACHES_FEATURES", False) or not isinstance(backbone, FrozenBackbone):
        return []
    backbone.cache = FeatureCache(folder, images)
    return [AnnounceImages(backbone.cache)]


def _open_curves(folder: Path, epoch: int) -> Curves:
    """Open the curves for the epochs from `epoch` on; the folder holds the rows of those before."""
    if epoch == 0:  # a stage that is run by hand finds the curves of the run before, and would append to them
        shutil.rmtree(folder, ignore_errors=True)
    return Curves(dir=str(folder), dvcyaml=None, save_dvc_exp=False, resume=epoch > 0)


def _silence_lightning() -> None:
    """Keep the progress bar; silence Lightning's notes on hardware and its warnings about intended settings."""
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
        "The dirpath has changed",
    )
    for message in intended:
        warnings.filterwarnings("ignore", message=message)


def describe_training(outcome: TrainingOutcome, spec: ModelSpec) -> Mapping[str, Any]:
    """Describe the training for metrics/<dataset>/training."""
    return {
        "train_seconds": round(outcome.train_seconds, 3),
        "epochs": outcome.epochs,
        "selection": outcome.selection,
        "learning_type": spec.learning_type,
    }
