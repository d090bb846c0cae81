"""Make the workspace's params.yaml, such as an applied experiment's, the defaults of the next run.

Every `dvc exp run` composes params.yaml anew from conf/, so that what `dvc exp apply` brought is lost in the next run.
Here conf/config.yaml is edited until conf/ composes to the params.yaml of the workspace: the options of its groups, its
own values, and values within a group's file, which Hydra merges over that file because `_self_` is last.
"""

import io
import re
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import yaml
from omegaconf import OmegaConf
from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedMap, CommentedSeq
from ruamel.yaml.representer import RoundTripRepresenter
from ruamel.yaml.scalarstring import DoubleQuotedScalarString

from viad.artifacts.atomic import replacing
from viad.config.composition import compose_options, compose_params
from viad.config.conf_files import read_option, read_yaml
from viad.config.params import PARAMS_FILE, read_all_params
from viad.errors import ConfigError
from viad.experiments.overrides import CONF_GROUPS, CONFIG_PATH

KeyPath = tuple[Any, ...]  # the keys from the root to a value; those of a backbone's layers are numbers
ABSENT: Final = object()


def adopt_workspace_params() -> list[str]:
    """Edit conf/config.yaml so that conf/ composes to params.yaml; return the edits as `KEY=VALUE` or `~KEY`.

    conf/config.yaml changes last, in one step, and keeps its comments. Its own values within a group's file are
    replaced by those that are needed.

    Raises:
        ConfigError: conf/ has no file for an option, or cannot compose to params.yaml; conf/config.yaml is unchanged.
    """
    read_all_params()  # whose messages say what to do about a missing or broken file
    wanted = _load(PARAMS_FILE)
    with TemporaryDirectory() as folder:
        conf = Path(folder) / "conf"
        shutil.copytree("conf", conf)
        editor = _ConfigEditor(conf)
        editor.remove_group_values()
        for group in CONF_GROUPS:
            if group != "backbone":
                editor.choose(group, _find_option(group, wanted))
        fixed = editor.find_differences(wanted, follow_interpolations=True)
        editor.set_values((path, value) for path, value in fixed if path[0] != "backbone")
        # Now the preset is right: keep `of_preset` and its image size unless they compose to other values.
        if editor.compose()["backbone"].get("name") != wanted.get("backbone", {}).get("name"):
            editor.choose("backbone", _find_option("backbone", wanted))
        editor.set_values(editor.find_differences(wanted))
        if remaining := list(editor.find_differences(wanted)):
            raise ConfigError(_describe_remaining(remaining))
        text = editor.format()
    config = Path(CONFIG_PATH)
    if text != config.read_text(encoding="utf-8"):
        with replacing(config) as aside:
            aside.write_text(text, encoding="utf-8")
    return editor.list_changes()


class _ConfigEditor:
    """conf/config.yaml of a copy of conf/, whose values are edited and whose comments stay."""

    def __init__(self, conf: Path) -> None:
        self.conf = conf
        self._yaml = YAML()
        self._yaml.indent(mapping=2, sequence=4, offset=2)
        self._yaml.preserve_quotes = True
        self._yaml.width = 4096  # never wrap a line
        self._yaml.Representer = _NullRepresenter
        text = (conf / "config.yaml").read_text(encoding="utf-8")
        self._config: CommentedMap = self._yaml.load(text)
        self._original = yaml.safe_load(text)

    def format(self) -> str:
        """Return the text of the file."""
        out = io.StringIO()
        self._yaml.dump(self._config, out)
        return out.getvalue()

    def compose(self) -> dict[str, Any]:
        """Compose the copy of conf/ as edited."""
        (self.conf / "config.yaml").write_text(self.format(), encoding="utf-8")
        if (composed := compose_options(self.conf, [])) is not None:
            return composed
        out = self.conf.parent / "params.yaml"
        compose_params([], out, self.conf)
        return _load(out)

    def remove_group_values(self) -> None:
        """Remove the values that the file sets within a group's file."""
        for group in CONF_GROUPS:
            self._config.pop(group, None)

    def choose(self, group: str, option: str) -> None:
        """Choose an option of a group in the defaults list."""
        entry = next((one for one in self._config["defaults"] if isinstance(one, CommentedMap) and group in one), None)
        if entry is None:
            raise ConfigError(f"{CONFIG_PATH}: the defaults list has no entry '{group}'. Add `- {group}: {option}`.")
        entry[group] = option

    def set_values(self, values: Iterator[tuple[KeyPath, Any]]) -> None:
        """Set values, each by its path; an absent one, which a merge cannot remove, is skipped."""
        for path, value in list(values):
            if value is ABSENT:
                continue
            node = self._config
            for key in path[:-1]:
                if not isinstance(node.get(key), CommentedMap):
                    node[key] = CommentedMap()
                node = node[key]
            node[path[-1]] = _convert(value)

    def list_changes(self) -> list[str]:
        """List the edits: `GROUP=OPTION` and `KEY=VALUE`, and `~KEY` for a removed value."""
        new, old = yaml.safe_load(self.format()), dict(self._original)
        options = zip(new.pop("defaults"), old.pop("defaults"), strict=True)
        changes = [f"{group}={one[group]}" for one, other in options if one != other for group in one]
        leaves = [leaf for path, value in _compare(new, old) for leaf in _expand(path, value)]
        return changes + [f"~{_join(path)}" if value is ABSENT else f"{_join(path)}={value}" for path, value in leaves]

    def find_differences(
        self, wanted: Mapping[str, Any], *, follow_interpolations: bool = False
    ) -> Iterator[tuple[KeyPath, Any]]:
        """Find the wanted values that the copy does not compose to; ABSENT if there should be none.

        Args:
            wanted: as in params.yaml.
            follow_interpolations: leave out values that conf/ derives from others.
        """
        composed = self.compose()
        groups = {group: read_option(f"conf/{group}/{self._option(group)}.yaml", read_yaml) for group in CONF_GROUPS}
        raw = dict(self._config) | groups
        for path, value in _compare(wanted, composed):
            if not (follow_interpolations and _is_interpolated(raw, path)):
                yield path, value

    def _option(self, group: str) -> str:
        return next(str(one[group]) for one in self._config["defaults"] if isinstance(one, Mapping) and group in one)


class _NullRepresenter(RoundTripRepresenter):
    """Writes `null` as conf/ does; ruamel.yaml would leave the value out."""


_NullRepresenter.add_representer(
    type(None), lambda dumper, _: dumper.represent_scalar("tag:yaml.org,2002:null", "null")
)


def _load(path: Path) -> dict[str, Any]:
    return dict(OmegaConf.to_container(OmegaConf.load(path)))  # type: ignore[arg-type]


def _find_option(group: str, wanted: Mapping[str, Any]) -> str:
    """Find the file of a group that the block in params.yaml comes from: by its name or, if that was set, its class."""
    block = wanted.get(group) or {}
    name, folder = str(block.get("name", "")), Path("conf") / group
    if (folder / f"{name}.yaml").is_file():
        return name
    for path in sorted(folder.glob("*.yaml")):
        if block.get("class_path") and read_yaml(str(path)).get("class_path") == block["class_path"]:
            return path.stem
    raise ConfigError(
        f"{PARAMS_FILE}: {folder} has no file for {group}.name '{name}'. Restore the file, or run `make compose`."
    )


def _compare(
    wanted: Mapping[Any, Any], composed: Mapping[Any, Any], above: KeyPath = ()
) -> Iterator[tuple[KeyPath, Any]]:
    for key, value in wanted.items():
        other, path = composed.get(key, ABSENT), (*above, key)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and value:
            yield from _compare(value, other, path)
        elif repr(value) != repr(other):  # 1, 1.0 and true are equal, and different parameters
            yield path, value
    for key in composed:
        if key not in wanted:
            yield (*above, key), ABSENT


def _expand(path: KeyPath, value: Any) -> Iterator[tuple[KeyPath, Any]]:
    if isinstance(value, Mapping) and value:
        for key, one in value.items():
            yield from _expand((*path, key), one)
    else:
        yield path, value


def _is_interpolated(raw: Any, path: KeyPath) -> bool:
    for key in path:
        raw = raw.get(key) if isinstance(raw, Mapping) else None
        if isinstance(raw, str) and "${" in raw:
            return True
    return False


def _convert(value: Any) -> Any:
    """Convert a value to what ruamel.yaml writes in one line, and Hydra's YAML 1.1 reads as the same value."""
    if isinstance(value, Mapping):
        table = CommentedMap((key, _convert(one)) for key, one in value.items())
        table.fa.set_flow_style()
        return table
    if isinstance(value, Sequence) and not isinstance(value, str):
        items = CommentedSeq(map(_convert, value))
        items.fa.set_flow_style()
        return items
    if isinstance(value, str):
        is_plain = re.fullmatch(r"[A-Za-z_/][\w./-]*", value) and yaml.safe_load(value) == value
        return value if is_plain else DoubleQuotedScalarString(value)
    return value


def _describe_remaining(differences: list[tuple[KeyPath, Any]]) -> str:
    lines = [
        f"{_join(path)} {'is not there' if value is ABSENT else f'is {value!r}'} in {PARAMS_FILE}"
        for path, value in differences
    ]
    more = f" and {len(lines) - 3} more" if len(lines) > 3 else ""
    return (
        f"conf/ cannot compose to {PARAMS_FILE}: {', '.join(lines[:3])}{more}. {CONFIG_PATH} is unchanged. Edit the "
        f"files in conf/, or run `dvc exp run --no-hydra`, which takes {PARAMS_FILE} as it is."
    )


def _join(path: KeyPath) -> str:
    return ".".join(map(str, path))
