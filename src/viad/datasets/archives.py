"""Datasets published as archives: finding, downloading and verifying the archives."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests
from tqdm import tqdm

from viad.datasets.hub_download import download_from_hub
from viad.datasets.unpacking import ARCHIVE_SUFFIXES, unpack, unpack_beside
from viad.errors import DataError

ARCHIVE_FOLDER = Path("data/archives")  # holds archives downloaded by hand or by the `raw` stage
DOWNLOAD_CHUNK = 1 << 20  # bytes
PARTIAL_SUFFIX = ".part"
HUB_SCHEME = "hf://"


def publish(out: Path, name: str, archive: Mapping[str, Any], source: str | None) -> None:
    """Write a dataset's files, as published, into the new folder `out`.

    Args:
        out: does not exist yet.
        name: of the dataset.
        archive: the yaml's block: `file` (a list if there are several), `url` (alike; null if it requires registration
            or for the reason `by_hand`), `page`, `sha256` (null if unknown) and, if there are any, `outdated` (sha256
            of an older version: the reason why it is rejected).
        source: path of an archive or a folder; None looks in data/archives/, then downloads. A folder may hold
            archives, files or both, at any depth.

    Raises:
        DataError: the archive is missing, damaged, of another version, or unsafe to unpack, or a folder has a file
            twice with different content.
    """
    found = _find_source(name, archive, source)
    if found.is_file():
        verify_checksum(found, archive)
        unpack(found, out)
        return
    shutil.copytree(found, out, ignore=lambda _, names: {name for name in names if name.endswith(ARCHIVE_SUFFIXES)})
    for part in _list_archives(found):
        if part.name == archive["file"]:
            verify_checksum(part, archive)
        unpack_beside(part, out / part.parent.relative_to(found), aside=out / ".unpacked")


def _find_source(name: str, archive: Mapping[str, Any], source: str | None) -> Path:
    if source is not None:
        if not Path(source).exists():
            raise DataError(f"dataset.source: {source} does not exist. Set it to an archive, a folder or null.")
        return Path(source)
    folder = ARCHIVE_FOLDER / name
    if isinstance(archive["file"], list):
        return _find_source_of_several(name, archive, folder)
    file = ARCHIVE_FOLDER / archive["file"]
    for place in (file, folder):
        if place.exists():
            return place
    if archive["url"] is None:
        raise DataError(
            f"{name} {explain_manual_download(archive)}; download it by hand. Get {archive['file']} from "
            f"{archive['page']} and put it at {file}, put its unpacked files into {folder}/, or set their path with "
            "-S dataset.source=PATH."
        )
    if archive["url"].startswith(HUB_SCHEME):
        download_from_hub(archive["url"], file, _partial(file))
    else:
        download(archive["url"], file, archive["sha256"])
    return file


def explain_manual_download(archive: Mapping[str, Any]) -> str:
    """Say why an archive without a `url` is downloaded by hand: its `by_hand`, if it needs no registration."""
    return str(archive.get("by_hand", "requires registration"))


def _find_source_of_several(name: str, archive: Mapping[str, Any], folder: Path) -> Path:
    """Find the folder of a dataset that is published as several archives."""
    files, urls = archive["file"], archive["url"]
    if urls is None and not folder.exists():
        raise DataError(
            f"{name} {explain_manual_download(archive)}; download it by hand. Get {' and '.join(files)} from "
            f"{archive['page']} and put them, packed or unpacked, into {folder}/, or set their folder with "
            "-S dataset.source=PATH."
        )
    targets = [folder / file for file in files]
    # A folder without any of the archives holds their unpacked files.
    started = any(place.exists() for file in targets for place in (file, _partial(file)))
    if urls is not None and (started or not folder.exists()):
        for url, target in zip(urls, targets, strict=True):
            if not target.exists():
                download(url, target)
    return folder


def _list_archives(folder: Path) -> list[Path]:
    """List the archives at any depth, in order."""
    walked = os.walk(folder, followlinks=True)
    return sorted(Path(place) / name for place, _, names in walked for name in names if name.endswith(ARCHIVE_SUFFIXES))


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Download `url` to `target`, resuming an interrupted download.

    Raises:
        DataError: the server does not answer, returns a web page or stops early, or the checksum differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _partial(target)
    have = part.stat().st_size if part.is_file() else 0
    try:
        with requests.get(url, stream=True, timeout=60, headers={"Range": f"bytes={have}-"} if have else {}) as answer:
            if answer.status_code == requests.codes.requested_range_not_satisfiable:
                pass  # the file is already complete
            else:
                answer.raise_for_status()
                _write_answer(answer, part, have, url)
    except requests.RequestException as error:
        raise DataError(
            f"{url}: the download failed ({error}). Run again to resume it, or download the file by hand and put it at "
            f"{target}."
        ) from error
    if sha256 is not None and (found := compute_checksum(part)) != sha256:
        part.unlink()
        raise DataError(
            f"{url}: the downloaded file has SHA-256 {found}, expected {sha256}. It was removed; run again."
        )
    part.rename(target)


def _partial(target: Path) -> Path:
    """Name the file of an unfinished download."""
    return target.with_name(target.name + PARTIAL_SUFFIX)


def _write_answer(answer: requests.Response, part: Path, have: int, url: str) -> None:
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DataError(f"{url} returns a web page instead of an archive: the link has changed. Download it by hand.")
    resumed = answer.status_code == requests.codes.partial_content
    left = answer.headers.get("Content-Length")
    total = None if left is None else int(left) + (have if resumed else 0)
    bar = tqdm(total=total, initial=have if resumed else 0, desc=f"get {part.stem}", unit="B", unit_scale=True)
    with bar, part.open("ab" if resumed else "wb") as file:
        for chunk in answer.iter_content(DOWNLOAD_CHUNK):
            file.write(chunk)
            bar.update(len(chunk))
    if total is not None and part.stat().st_size < total:
        raise DataError(
            f"{url} stopped after {part.stat().st_size} of {total} bytes. Run again to resume the download."
        )


def verify_checksum(file: Path, archive: Mapping[str, Any]) -> None:
    """Compare an archive's checksum with the published one, if there is one.

    Raises:
        DataError: the checksum differs.
    """
    if archive["sha256"] is None:
        return
    found = compute_checksum(file)
    if found != archive["sha256"]:
        reason = archive.get("outdated", {}).get(found, "it is damaged, or another version")
        raise DataError(
            f"{file}: {reason} (SHA-256 {found}, expected {archive['sha256']}). Download it again from "
            f"{archive['url'] or archive['page']}, or set audit.verify=false to accept it."
        )


def compute_checksum(file: Path) -> str:
    """Compute the SHA-256 of a file."""
    with file.open("rb") as opened:
        return hashlib.file_digest(opened, "sha256").hexdigest()
