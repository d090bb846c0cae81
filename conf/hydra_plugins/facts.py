"""A file of conf/ may have a block `facts`: what is known of a dataset rather than chosen, such as its licence.

Facts are no parameters: Hydra composes each file without them, so they stay out of params.yaml, and whatever needs them
reads the file (`viad.config.conf_files.read_facts`). Hydra finds this plugin as it finds the resolvers.
"""

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig

FACTS = "facts"


class ParameterSource(FileConfigSource):
    """The files of a folder, without their facts."""

    @staticmethod
    def scheme() -> str:
        """The part of a search path before ://."""
        return "params"

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a file and leave its facts out."""
        result = super().load_config(config_path)
        if isinstance(result.config, DictConfig):
            result.config.pop(FACTS, None)
        return result


class ParameterSearchPath(SearchPathPlugin):
    """Let Hydra read the folder that it composes through `ParameterSource`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Replace the scheme of the main folder."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = f"{ParameterSource.scheme()}://{element.path.removeprefix('file://')}"
