"""A file in conf/ may have a block `facts` with properties of a dataset that nobody chooses, such as its licence.

Facts are no parameters: Hydra composes each file without them, so they stay out of params.yaml, and whatever needs them
reads the file (`viad.config.conf_files.read_facts`). Hydra finds this plugin as it finds the resolvers.
"""

from hydra._internal.core_plugins.file_config_source import FileConfigSource
from hydra.core.config_search_path import ConfigSearchPath
from hydra.errors import ConfigCompositionException
from hydra.plugins.config_source import ConfigResult
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf

from viad.config.names import check_name, check_names
from viad.errors import ConfigError

FACTS = "facts"


class ParameterSource(FileConfigSource):
    """The files of a folder, without their facts."""

    @staticmethod
    def scheme() -> str:
        """The part of a search path before ://."""
        return "params"

    def load_config(self, config_path: str) -> ConfigResult:
        """Load a file and leave its facts out.

        Raises:
            ConfigCompositionException: the name of the dataset, or of a category, breaks the rule for names.
        """
        result = super().load_config(config_path)
        if isinstance(result.config, DictConfig):
            result.config.pop(FACTS, None)
            if config_path.startswith("dataset/") and "categories" in result.config:
                self._check_names(config_path, result.config)
        return result

    def _check_names(self, path: str, dataset: DictConfig) -> None:
        """Stop before DVC reads a name as part of a path, whose message would not name this file."""
        try:
            check_name("name", dataset.name)
            check_names("categories", OmegaConf.to_container(dataset.categories))
        except ConfigError as error:
            raise ConfigCompositionException(f"conf/{path}.yaml: {error}") from error


class ParameterSearchPath(SearchPathPlugin):
    """Let Hydra read the folder that it composes through `ParameterSource`."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """Replace the scheme of the main folder."""
        for element in search_path.get_path():
            if element.provider == "main":
                element.path = f"{ParameterSource.scheme()}://{element.path.removeprefix('file://')}"
