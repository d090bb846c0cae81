"""JSON files, and the environment that produced a result: versions, device, commit."""

import json
import platform
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any

from viad.artifacts.atomic import replacing

RECORDED_PACKAGES = ("anomalib", "lightning", "numpy", "timm", "torch", "torchvision")


def describe_environment(device: str) -> dict[str, Any]:
    """Describe the environment: versions, device and git commit, as plain values."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)  # noqa: S607
    return {
        "device": device,
        "processor": platform.machine(),
        "python": platform.python_version(),
        "commit": git.stdout.strip() or None,
        **{name: version(name) for name in RECORDED_PACKAGES},
    }


def write_json(values: Any, path: Path) -> None:
    """Write a JSON file whole or not at all; NaN is an error."""
    with replacing(path) as aside:
        aside.write_text(json.dumps(values, indent=1, allow_nan=False) + "\n", encoding="utf-8")
