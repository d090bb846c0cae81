"""The resolver `${option:GROUP,NAME}`: the content of conf/GROUP/NAME.yaml, where a value decides which file it is.

Hydra chooses the files of its groups before it knows any value, so a model's preset could not name its backbone without
this. Hydra finds modules of `hydra_plugins` by itself; `.dvc/config` says that they are in conf/.
"""

from pathlib import Path

from omegaconf import DictConfig, OmegaConf

CONF = Path(__file__).parents[1]


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


OmegaConf.register_new_resolver("option", read_option, replace=True)
