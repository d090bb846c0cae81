"""What the user tells `viad import` about folders whose names do not say it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from viad.errors import ConfigError
from viad.importing.folder_words import SPLITS, normalize_name


@dataclass(frozen=True)
class ImportOptions:
    """The options of an import; folders are named by their name or by their path below the imported one.

    Args:
        normal: folders with normal images.
        splits: the split (train, val, test or reserve) of each named folder.
        exclude: folders and files to leave out.
        categories: folders that are categories.
        defects: folders that are defect types.
        unannotated_normal: whether an image without a mask is normal where other images have one.
        mask_from: the lowest grey level (or palette index) of an anomalous pixel, 1 to 255.
        skip_unreadable: whether files that cannot be read are left out, and recorded.
    """

    normal: Sequence[str] = ()
    splits: Mapping[str, str] = field(default_factory=dict)
    exclude: Sequence[str] = ()
    categories: Sequence[str] = ()
    defects: Sequence[str] = ()
    unannotated_normal: bool = False
    mask_from: int = 1
    skip_unreadable: bool = False

    def __post_init__(self) -> None:
        if not 1 <= self.mask_from <= 255:
            raise ConfigError(f"--mask-from {self.mask_from}: use a grey level from 1 to 255.")

    def check_names(self, paths: Iterable[PurePosixPath]) -> None:
        """Check that every named folder or file exists.

        Args:
            paths: all files below the imported folder.

        Raises:
            ConfigError: an option names a folder that does not exist.
        """
        places = {place for path in paths for place in (path, *path.parents)}
        known = {normalize_name(place.name) for place in places} | {place.as_posix() for place in places}
        for option, names in (
            ("normal", self.normal), ("split", self.splits), ("exclude", self.exclude),
            ("category", self.categories), ("defect", self.defects),
        ):  # fmt: skip
            for name in names:
                if name.strip("/") not in known and normalize_name(name) not in known:
                    raise ConfigError(f"--{option} {name}: no folder has this name. Correct the name.")


def parse_splits(values: Iterable[str]) -> dict[str, str]:
    """Parse `FOLDER=SPLIT` values.

    Raises:
        ConfigError: a value has another form, or the split is unknown.
    """
    parsed = {}
    for value in values:
        folder, _, split = value.rpartition("=")
        if not folder or split not in SPLITS:
            raise ConfigError(f"--split {value}: use FOLDER=SPLIT, with the split {', '.join(SPLITS)}.")
        parsed[folder] = split
    return parsed


def names_folder(names: Iterable[str], folder: PurePosixPath) -> str | None:
    """Find which of `names` means the folder, by its name or by its path; None if none does."""
    for name in names:
        path = name.strip("/")
        if path == folder.as_posix() or ("/" not in path and normalize_name(path) == normalize_name(folder.name)):
            return name
    return None
