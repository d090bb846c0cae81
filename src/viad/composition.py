"""conf/ composed into params.yaml, as `dvc exp run` does it."""

from collections.abc import Sequence
from pathlib import Path

from viad.errors import ConfigError
from viad.params import PARAMS_FILE


def compose_params(overrides: Sequence[str], out: Path = PARAMS_FILE) -> None:
    """Write what conf/ composes to, with DVC's own composition.

    Raises:
        ConfigError: Hydra knows an override's group, option or key not; the message lists what it knows.
    """
    from dvc.utils.hydra import compose_and_dump
    from hydra.errors import HydraException

    try:
        compose_and_dump(out, str(Path("conf").resolve()), None, "config", str(Path.cwd()), list(overrides))
    except HydraException as error:
        raise ConfigError(str(error)) from error
