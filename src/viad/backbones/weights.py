"""Pre-trained weights from the hub, or from the file WEIGHTS_FOLDER/<timm name>.safetensors."""

import contextlib
import os
import socket
import threading
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import timm
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn

from viad.errors import ConfigError, WeightsError

# Outside the workspace, so that queued experiments in their temporary copies find it too.
WEIGHTS_FOLDER = Path(os.environ.get("VIAD_WEIGHTS", "~/.cache/viad/weights")).expanduser()
HUB_TIMEOUT = 8  # seconds, name resolution included


def ensure_weights(timm_name: str) -> None:
    """Make sure that `timm_name` can be built with its weights, within seconds.

    Raises:
        WeightsError: neither a file nor the hub has them; the message names the file,
            its place and an alternative.
        ConfigError: timm has no such network.
    """
    if timm_name.startswith("viad_"):
        return
    cfg = timm.get_pretrained_cfg(timm_name, allow_unregistered=False) if timm.is_model(timm_name) else None
    if cfg is None:
        raise ConfigError(
            f"backbone.timm_name: timm {timm.__version__} has no network '{timm_name}'. Correct the backbone's yaml."
        )
    if weights_file(timm_name).is_file() or _in_hub_cache(cfg.hf_hub_id) or _hub_answers():
        return
    raise WeightsError(
        f"backbone {timm_name}: its weights are not on this machine and the model hub cannot be reached. Either put "
        f"the file model.safetensors of {cfg.hf_hub_id} at {weights_file(timm_name)}, or select an embedded "
        "backbone: -S backbone=efficientnet_lite0."
    )


def weights_file(timm_name: str) -> Path:
    """The path for weights that were downloaded by hand."""
    return WEIGHTS_FOLDER / f"{timm_name}.safetensors"


def _in_hub_cache(hub_id: str | None) -> bool:
    from huggingface_hub import try_to_load_from_cache

    return bool(hub_id) and isinstance(try_to_load_from_cache(str(hub_id), "model.safetensors"), str)


def _hub_answers() -> bool:
    if os.environ.get("HF_HUB_OFFLINE", "0") not in ("", "0"):
        return False
    if any(name.lower() == "https_proxy" for name in os.environ):
        return True  # only the download itself shows whether the proxy allows it
    address = urlsplit(os.environ.get("HF_ENDPOINT", "https://huggingface.co"))
    answered: list[bool] = []

    def knock() -> None:
        with contextlib.suppress(OSError):
            port = address.port or (80 if address.scheme == "http" else 443)
            socket.create_connection((address.hostname or "", port), timeout=HUB_TIMEOUT).close()
            answered.append(True)

    # In a thread: name resolution has no time limit.
    thread = threading.Thread(target=knock, daemon=True)
    thread.start()
    thread.join(HUB_TIMEOUT)
    return bool(answered)


def pretrained_network(timm_name: str, *, pre_trained: bool, **options: Any) -> nn.Module:
    """A whole timm network (a ViT that a model takes apart), with its weights from their file or the hub.

    Args:
        timm_name: as in a backbone's yaml; its weights were found by `ensure_weights`.
        pre_trained: False if a file holds the weights or none are wanted (tests).
        options: as for timm.create_model.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    network = timm.create_model(timm_name, pretrained=pre_trained, **options)
    if not pre_trained and weights_file(timm_name).is_file():
        load_weights(network, weights_file(timm_name))
    return network


def load_weights(network: nn.Module, path: Path) -> None:
    """Load the weights in a file into a network.

    Raises:
        WeightsError: the file is damaged or belongs to another network.
    """
    try:
        stored = load_file(path)
        state = {k: stored.get(k, v) if "num_batches" in k else stored[k] for k, v in network.state_dict().items()}
        network.load_state_dict(state)
    except (KeyError, RuntimeError, SafetensorError) as error:
        raise WeightsError(
            f"{path} does not hold this backbone's weights ({error}). Replace it with the right file."
        ) from error
