"""Datasets published as archives: finding, downloading, verifying and safely unpacking the archives."""

import hashlib
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO, Any

import py7zr
import requests
from tqdm import tqdm

from viad.errors import DataError

ARCHIVE_FOLDER = Path("data/archives")  # holds archives downloaded by hand or by the `raw` stage
ARCHIVE_SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
CHUNK_BYTES = 1 << 20
MOST_GROWTH = 100  # times the archive's size; images hardly compress, so a larger growth means a zip bomb
LEAST_LIMIT = 1 << 30  # bytes; small archives may hold uncompressed bitmaps
PARTIAL_SUFFIX = ".part"


def publish(out: Path, name: str, archive: Mapping[str, Any], source: str | None) -> None:
    """Write a dataset's files, as published, into the new folder `out`.

    Args:
        out: does not exist yet.
        name: of the dataset.
        archive: the yaml's block: `file`, `url` (null if it requires registration), `page`, `sha256` (null
            if unknown) and, if there are any, `outdated` (sha256 of an older version: the reason why it is rejected).
        source: path of an archive or a folder; None looks in data/archives/, then downloads.

    Raises:
        DataError: the archive is missing, damaged, of another version, or unsafe to unpack.
    """
    found = _find_source(name, archive, source)
    if found.is_file():
        verify_checksum(found, archive)
        unpack(found, out)
        return
    parts = sorted(file for file in found.iterdir() if file.name.endswith(ARCHIVE_SUFFIXES))
    if not parts:
        shutil.copytree(found, out)
    for part in parts:
        unpack(part, out)


def _find_source(name: str, archive: Mapping[str, Any], source: str | None) -> Path:
    if source is not None:
        if not Path(source).exists():
            raise DataError(f"dataset.source: {source} does not exist. Set it to an archive, a folder or null.")
        return Path(source)
    places = (ARCHIVE_FOLDER / archive["file"], ARCHIVE_FOLDER / name)
    for place in places:
        if place.exists():
            return place
    if archive["url"] is None:
        raise DataError(
            f"{name} requires registration; download it by hand. Get {archive['file']} from {archive['page']} and "
            f"put it at {places[0]}, put its unpacked files into {places[1]}/, or set their path with "
            "-S dataset.source=PATH."
        )
    download(archive["url"], places[0], archive["sha256"])
    return places[0]


def download(url: str, target: Path, sha256: str | None = None) -> None:
    """Download `url` to `target`, resuming an interrupted download.

    Raises:
        DataError: the server does not answer, returns a web page or stops early, or the checksum differs.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + PARTIAL_SUFFIX)
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


def _write_answer(answer: requests.Response, part: Path, have: int, url: str) -> None:
    if answer.headers.get("Content-Type", "").startswith("text/html"):
        raise DataError(f"{url} returns a web page instead of an archive: the link has changed. Download it by hand.")
    resumed = answer.status_code == requests.codes.partial_content
    left = answer.headers.get("Content-Length")
    total = None if left is None else int(left) + (have if resumed else 0)
    bar = tqdm(total=total, initial=have if resumed else 0, desc=f"get {part.stem}", unit="B", unit_scale=True)
    with bar, part.open("ab" if resumed else "wb") as file:
        for chunk in answer.iter_content(CHUNK_BYTES):
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


def unpack(file: Path, out: Path) -> None:
    """Unpack a zip, 7z or (compressed) tar archive into the folder `out`, regular files only.

    Raises:
        DataError: it is damaged or not an archive, contains a link or a path that leads out of `out`, or grows too
        much.
    """
    limit = max(LEAST_LIMIT, MOST_GROWTH * file.stat().st_size)
    out.mkdir(parents=True, exist_ok=True)
    with _explain_damage(file):
        if zipfile.is_zipfile(file):
            _write_all(_zip_members(file), out, limit)
        elif py7zr.is_7zfile(file):
            _unpack_7z(file, out, limit)
        elif tarfile.is_tarfile(file):
            _write_all(_tar_members(file), out, limit)
        else:
            raise ValueError("it is not a zip, 7z or tar archive")


@contextmanager
def _explain_damage(file: Path) -> Iterator[None]:
    damaged = (
        zipfile.BadZipFile, tarfile.TarError, py7zr.exceptions.ArchiveError, lzma.LZMAError, zlib.error, EOFError,
        RuntimeError, ValueError, NotImplementedError,
    )  # fmt: skip
    try:
        yield
    except damaged as error:
        raise DataError(f"{file} cannot be unpacked: {error}. Download it again.") from error


Member = tuple[str, int, IO[bytes]]


def _zip_members(file: Path) -> Iterator[Member]:
    with zipfile.ZipFile(file) as archive:
        for info in archive.infolist():
            if stat.S_ISLNK(info.external_attr >> 16):
                raise ValueError(f"{info.filename} is a link")
            if not info.is_dir():
                with archive.open(info) as opened:
                    yield info.filename, info.file_size, opened


def _tar_members(file: Path) -> Iterator[Member]:
    with tarfile.open(file) as archive:
        for info in archive:
            if not info.isfile() and not info.isdir():
                raise ValueError(f"{info.name} is a link or a device")
            if info.isfile():
                yield info.name, info.size, archive.extractfile(info)  # type: ignore[misc]  # a file opens


def _write_all(members: Iterator[Member], out: Path, limit: int) -> None:
    written = 0
    for name, size, opened in tqdm(members, desc="unpack", unit="file", mininterval=1):
        written += size
        _refuse_bomb(written, limit)
        target = out / check_member_path(name)
        target.parent.mkdir(parents=True, exist_ok=True)
        with target.open("wb") as file:
            shutil.copyfileobj(opened, file, CHUNK_BYTES)


def _unpack_7z(file: Path, out: Path, limit: int) -> None:
    with py7zr.SevenZipFile(file) as archive:
        members = archive.list()
        _refuse_bomb(sum(member.uncompressed for member in members), limit)
        for member in members:
            check_member_path(member.filename)
            if member.is_symlink:
                raise ValueError(f"{member.filename} is a link")
        archive.extractall(out)  # noqa: S202  every path was checked above


def _refuse_bomb(size: int, limit: int) -> None:
    if size > limit:
        raise ValueError(f"it unpacks to more than {limit} bytes, too many for its size")


def check_member_path(name: str) -> PurePosixPath:
    """Return the path of a member if it stays inside the target folder.

    Raises:
        ValueError: the path is absolute or leads upwards.
    """
    path = PurePosixPath(name.replace("\\", "/"))
    if path.is_absolute() or ".." in path.parts or ":" in name.split("/")[0]:
        raise ValueError(f"the path {name!r} leads out of the folder")
    return path
