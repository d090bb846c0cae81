"""Building an anomalib module from a model's yaml, saving it and loading it."""

import importlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, cast

import torch
from anomalib.models import AnomalibModule
from anomalib.models.components import TimmFeatureExtractor
from anomalib.pre_processing import PreProcessor
from safetensors.torch import load_file, save_file
from torchvision.transforms.v2 import Compose, Normalize, Resize

import viad.backbones.embedded  # noqa: F401  # registers them with timm
from viad.backbones.frozen import PRECISIONS, FrozenBackbone, TunedBackbone, trained_state
from viad.backbones.weights import ensure_weights, load_weights, weights_file
from viad.config.numbers import check_whole_number
from viad.config.params import one_of
from viad.errors import ConfigError

MODEL_PRESETS = ("small", "paper")
ACCELERATORS = ("auto", "cpu", "gpu")
LEARNING_TYPES = ("one_class", "unsupervised", "supervised")


@dataclass(frozen=True)
class ModelSpec:
    """The parameters that rebuild a model; saved with its weights."""

    name: str
    class_path: str
    learning_type: str
    preset: str
    epochs: int
    steps: int | None  # optimiser steps after which training ends, whatever the number of epochs
    batch_size: int
    args: dict[str, Any]
    backbone: str
    layers: list[str]
    mean: list[float]
    std: list[float]
    channels: int
    image_size: int


def make_model_spec(
    model: dict[str, Any], backbone: dict[str, Any], *, image_size: int, color: str, preset: str,
    epochs: int | None = None,
) -> ModelSpec:  # fmt: skip
    """Make the specification of a model from the params; `epochs` replaces the preset's number.

    Raises:
        ConfigError: an unknown preset, an invalid number of epochs, or a stride for which the backbone has
            no layer.
    """
    one_of("preset", preset, MODEL_PRESETS)
    one_of("model.learning_type", model["learning_type"], LEARNING_TYPES)
    chosen = model[preset]
    if epochs is not None:
        _check_epochs(epochs, chosen, model["name"])
        chosen = chosen | {"epochs": epochs}
    grey = color == "gray1"
    patch = backbone.get("multiple_of", 1)
    if image_size % patch:
        near = image_size // patch * patch
        raise ConfigError(
            f"backbone {backbone['name']} needs a multiple of {patch}: set image_size={near} or {near + patch}."
        )
    strides = chosen["strides"]
    missing = [stride for stride in strides if stride not in backbone["layers"]]
    if missing:
        raise ConfigError(
            f"backbone {backbone['name']} has no layer of stride {missing}. Add it to the backbone's yaml."
        )
    mean, std = ([sum(v) / len(v)] * 3 if grey else list(v) for v in (backbone["mean"], backbone["std"]))
    return ModelSpec(
        name=model["name"],
        class_path=model["class_path"],
        learning_type=model["learning_type"],
        preset=preset,
        epochs=chosen["epochs"],
        steps=chosen.get("steps"),
        batch_size=chosen["batch_size"],
        args=chosen["args"],
        backbone=backbone["timm_name"],
        layers=[backbone["layers"][stride] for stride in strides],
        mean=mean,
        std=std,
        channels=1 if grey else 3,
        image_size=image_size,
    )


def list_training_notes(params: dict[str, Any], *, on_gpu: bool) -> list[str]:
    """List notes for the log about a training that works, but perhaps not as expected.

    Args:
        params: with `model`, `backbone`, `image_size` and `preset`.
        on_gpu: whether the training runs on a GPU.
    """
    notes, name, preset = [], params["model"]["name"], params["preset"]
    if on_gpu and preset == "small":
        notes.append("note: this machine has a GPU. -S preset=paper trains with the authors' settings.")
    used = {"backbone": params["backbone"]["name"], "image_size": params["image_size"]}
    own = {key: params["model"][preset].get(key, value) for key, value in used.items()}
    if preset == "paper" and own != used:
        notes.append(
            f"note: the paper preset of {name} belongs to backbone={own['backbone']} and image_size="
            f"{own['image_size']}; this run has backbone={used['backbone']} and image_size={used['image_size']}."
        )
    return notes


def _check_epochs(epochs: Any, preset: dict[str, Any], name: str) -> None:
    check_whole_number("epochs", epochs, low=1, otherwise="null")
    if preset["epochs"] <= 1 and epochs != preset["epochs"]:
        raise ConfigError(f"epochs: {epochs}, but {name} does not train by epochs. Set it to null.")


def build_model(spec: ModelSpec, precision: str) -> AnomalibModule:
    """Build the model, with the weights of its backbone and otherwise untrained.

    Scores are raw: no post-processor normalises or clamps them. The model's
    pre-processor normalises images in [0, 1] for its backbone, unless its class sets
    NORMALIZE = False. A timm backbone at `model.model.feature_extractor` is frozen and made fast,
    unless the model sets `trains_backbone`. A model without strides gets no backbone.

    Raises:
        ConfigError: an unknown precision, class or argument.
        WeightsError: the backbone's weights are not available.
    """
    one_of("precision", precision, PRECISIONS)
    backbone: dict[str, Any] = {}
    from_file = weights_file(spec.backbone).is_file()
    if spec.layers:
        ensure_weights(spec.backbone)
        backbone = {"backbone": spec.backbone, "layers": spec.layers, "pre_trained": not from_file}
    try:
        model_class = _import_class(spec.class_path)
        model = model_class(
            pre_processor=_make_pre_processor(spec, normalize=getattr(model_class, "NORMALIZE", True)),
            post_processor=False, evaluator=False, visualizer=False, **backbone, **spec.args,
        )  # fmt: skip
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(
            f"model {spec.name}: {spec.class_path} cannot be built ({error}). Correct its yaml."
        ) from error
    extractor = getattr(model.model, "feature_extractor", None)
    if isinstance(extractor, TimmFeatureExtractor):
        if from_file:
            load_weights(cast("torch.nn.Module", extractor.feature_extractor), weights_file(spec.backbone))
        model.model.feature_extractor = (
            TunedBackbone(extractor, channels=spec.channels)
            if getattr(model, "trains_backbone", False)
            else FrozenBackbone(extractor, channels=spec.channels, precision=precision)
        )
    return cast("AnomalibModule", model)


def _import_class(class_path: str) -> Any:
    module, _, name = class_path.rpartition(".")
    return getattr(importlib.import_module(module), name)


def _make_pre_processor(spec: ModelSpec, *, normalize: bool) -> PreProcessor:
    # Images have this size already: the resize does nothing, but models learn the size from it.
    resize = Resize((spec.image_size, spec.image_size), antialias=True)
    return PreProcessor(Compose([resize, Normalize(mean=spec.mean, std=spec.std)]) if normalize else resize)


def save_model(model: AnomalibModule, spec: ModelSpec, folder: Path) -> None:
    """Write the trained weights and the spec; the same bytes for the same model."""
    folder.mkdir(parents=True)
    save_file(trained_state(model), folder / "model.safetensors")
    (folder / "model.json").write_text(json.dumps(asdict(spec), indent=1, sort_keys=True) + "\n", encoding="utf-8")


def load_model(folder: Path, precision: str, device: torch.device) -> tuple[AnomalibModule, ModelSpec]:
    """Load the trained model in `folder`, in evaluation mode on `device`, and its spec."""
    spec = ModelSpec(**json.loads((folder / "model.json").read_text(encoding="utf-8")))
    model = build_model(spec, precision)
    trained = trained_state(model)
    frozen = {k: v for k, v in model.state_dict().items() if k not in trained}
    model.load_state_dict(frozen | load_file(folder / "model.safetensors"))  # every trained tensor, or an error
    return model.to(device).eval(), spec


def choose_device(accelerator: str) -> torch.device:
    """Choose the device for `accelerator`; on a CPU, flush denormal numbers to zero.

    Raises:
        ConfigError: an unknown accelerator, or a GPU on a machine without one.
    """
    one_of("accelerator", accelerator, ACCELERATORS)
    if accelerator == "gpu" and not torch.cuda.is_available():
        raise ConfigError("accelerator: gpu, but no GPU is visible. Use accelerator=cpu or auto.")
    on_gpu = torch.cuda.is_available() and accelerator != "cpu"
    # Lite's activations fade into denormals, which cost a CPU two thirds of the forward pass.
    torch.set_flush_denormal(not on_gpu)
    return torch.device("cuda" if on_gpu else "cpu")
