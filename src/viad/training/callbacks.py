"""Callbacks of a training: seeding epochs, announcing images, validation, logging."""

import os
from collections.abc import Mapping
from typing import Any

import torch
from dvclive import Live
from dvclive.lightning import DVCLiveLogger
from dvclive.plots import Metric
from dvclive.vscode import mark_dvclive_step_completed
from lightning import seed_everything
from lightning.pytorch import Callback, Trainer

from viad.backbones.feature_cache import FeatureCache
from viad.backbones.frozen import trained_state
from viad.metrics.image import image_auroc
from viad.seeds import derived_seed


class CurvesLogger(DVCLiveLogger):
    """A logger without hyperparameters: params.yaml has them, and dvclive cannot write anomalib's enums."""

    def log_hyperparams(self, *_: Any, **__: Any) -> None:
        """Log nothing."""

    def log_metrics(
        self,
        metrics: Mapping[str, int | float | str],
        step: int | None = None,
        sync: bool | None = False,  # noqa: FBT001, FBT002 - Lightning's signature
    ) -> None:
        """Log metrics and, in an experiment, mark the step as completed.

        While a stage runs, the VS Code extension reads the curves again only when this mark changes.
        """
        if step == 0:
            self.experiment.step = -1  # dvclive takes step 0 for no step, and adds 1 to the last one
        # Otherwise dvclive looks through the whole call stack, a tenth of a second each time, for who asks.
        del sync
        super().log_metrics(metrics, step, sync=True)
        if "DVC_EXP_BASELINE_REV" in os.environ:
            mark_dvclive_step_completed(self.experiment.step)


class CurveFile(Metric):
    """A curve as one table in the folder itself, a row per epoch."""

    subfolder = ""


class Curves(Live):
    """The curves of a training as `<folder>/loss.tsv`, `val_loss.tsv`, `val_auroc.tsv` and so on.

    The VS Code extension keeps only the last 20 to 30 characters of a path that titles a curve.
    """

    def log_metric(self, name: str, val: float | str, *options: Any, **named_options: Any) -> None:
        """Add a value to its curve, unless it is the number of the epoch, which is a straight line."""
        if name == "epoch":
            return
        curve = name.removeprefix("train/").replace("/image_", "_").replace("/", "_")
        self._metrics.setdefault(curve, CurveFile(curve, self.dir))
        super().log_metric(curve, val, *options, **named_options)


class SeedEpochs(Callback):
    """Seed every epoch by its number, so that it is the same after a resume."""

    def __init__(self, seed: int) -> None:
        self.seed = seed

    def on_train_epoch_start(self, trainer: Trainer, pl_module: Any) -> None:
        """Seed every generator at the start of an epoch."""
        del pl_module
        seed_everything(derived_seed(self.seed, "steps", trainer.current_epoch), verbose=False)


class AnnounceImages(Callback):
    """Announce to the feature cache the images of the next batch."""

    def __init__(self, cache: FeatureCache) -> None:
        self.cache = cache

    def on_train_batch_start(self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int) -> None:
        """Announce the next training batch."""
        del trainer, pl_module, batch_idx
        self.cache.announce(batch.image_path)

    def on_validation_batch_start(
        self, trainer: Trainer, pl_module: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Announce the next validation batch."""
        del trainer, pl_module, batch_idx, dataloader_idx
        self.cache.announce(batch.image_path)


class BestEpoch(Callback):
    """Keep the model of the best epoch on validation; a checkpoint contains it, so a resume continues with it."""

    def __init__(self, monitor: str, mode: str) -> None:
        self.monitor, self.mode = monitor, mode
        self.value: float | None = None
        self.state: dict[str, torch.Tensor] = {}

    def on_validation_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Keep the state if this epoch is the best so far."""
        if (logged := trainer.callback_metrics.get(self.monitor)) is None:
            return
        value = float(logged)
        if self.value is None or (value < self.value if self.mode == "min" else value > self.value):
            self.value, self.state = value, {k: v.clone() for k, v in trained_state(pl_module).items()}

    def state_dict(self) -> dict[str, Any]:
        """The best value and state, for a checkpoint."""
        return {"value": self.value, "state": self.state}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Restore the best value and state from a checkpoint."""
        self.value, self.state = state_dict["value"], state_dict["state"]


class ValidationAUROC(Callback):
    """Log val_image_auroc if the val rows have both classes; anomalib's validation_step computes the scores."""

    def __init__(self) -> None:
        self.scores: list[torch.Tensor] = []
        self.labels: list[torch.Tensor] = []

    def on_validation_batch_end(
        self, trainer: Trainer, pl_module: Any, outputs: Any, batch: Any, batch_idx: int, dataloader_idx: int = 0
    ) -> None:
        """Collect the scores and labels of a batch."""
        del trainer, pl_module, outputs, batch_idx, dataloader_idx
        self.scores.append(batch.pred_score.detach().float().flatten().cpu())
        self.labels.append(batch.gt_label.cpu())

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: Any) -> None:
        """Log the AUROC over all batches."""
        del trainer
        scores, labels = torch.cat(self.scores).numpy(), torch.cat(self.labels).numpy()
        self.scores, self.labels = [], []
        if (value := image_auroc(scores, labels)) is not None:
            pl_module.log("val_image_auroc", value)
