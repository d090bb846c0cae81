"""Resolvers of conf/, for what depends on a value: Hydra chooses the files of its groups before it knows any.

`${of_preset:KEY,DEFAULT}` is what the model's preset has at KEY, so that a preset brings its backbone and image size.
`${option:GROUP,NAME}` is the content of conf/GROUP/NAME.yaml. Hydra finds modules of `hydra_plugins` by itself;
`.dvc/config` says that they are in conf/.
"""

from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[1]
PRESETS = ("small", "paper")


def read_option(group: str, name: str) -> DictConfig:
    """The content of an option of a group.

    Raises:
        ValueError: there is no such option; the message lists those there are.
    """
    path = CONF / group / f"{name}.yaml"
    if not path.is_file():
        options = ", ".join(sorted(other.stem for other in path.parent.glob("*.yaml")))
        raise ValueError(f"conf/{group} has no option '{name}'. Choose one of {options}.")
    return DictConfig(OmegaConf.load(path))


def read_from_preset(key: str, default: Any, *, _root_: DictConfig) -> Any:
    """What the model's preset has at a key, or the default.

    Raises:
        ValueError: there is no such preset. Without this every key would fall back to its default, unseen.
    """
    if _root_.preset not in PRESETS:
        raise ValueError(f"preset: '{_root_.preset}' does not exist. Choose one of {', '.join(PRESETS)}.")
    return OmegaConf.select(_root_, f"model.{_root_.preset}.{key}", default=default)


OmegaConf.register_new_resolver("option", read_option, replace=True)
OmegaConf.register_new_resolver("of_preset", read_from_preset, replace=True)
