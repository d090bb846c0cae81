"""Downloading datasets that are published as a repository of the Hugging Face hub instead of an archive."""

import re
import shutil
from pathlib import Path

from viad.errors import ConfigError, DataError

HUB_ADDRESS = re.compile(r"hf://datasets/(?P<repo>[\w.-]+/[\w.-]+)@(?P<revision>[0-9a-f]{40})")
HUB_CACHE = ".cache"  # of the client, in the folder that it writes to


def download_from_hub(address: str, folder: Path, partial: Path) -> None:
    """Download a revision of a dataset into the new folder `folder`, resuming an interrupted download.

    Args:
        address: such as hf://datasets/OWNER/NAME@COMMIT.
        folder: does not exist before.
        partial: holds an unfinished download.

    Raises:
        ConfigError: the address names no commit of a dataset.
        DataError: the hub does not answer, or a file is missing.
    """
    found = HUB_ADDRESS.fullmatch(address)
    if found is None:
        raise ConfigError(f"archive.url: {address} is not of the form hf://datasets/OWNER/NAME@COMMIT.")
    # Imported here: it takes a second, and the raw stage of other datasets does not need it.
    from huggingface_hub import snapshot_download

    try:
        snapshot_download(found["repo"], repo_type="dataset", revision=found["revision"], local_dir=partial)
    except OSError as error:
        reason = " ".join(str(error).split())
        raise DataError(
            f"{address}: the download failed ({reason}). Run again to resume it, or download the repository by hand "
            f"and put its files into {folder}/."
        ) from error
    shutil.rmtree(partial / HUB_CACHE, ignore_errors=True)
    partial.rename(folder)
