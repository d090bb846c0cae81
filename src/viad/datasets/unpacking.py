"""Unpacking archives of strangers: regular files only, inside the target folder, within a limit of size."""

import filecmp
import lzma
import shutil
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import IO

import py7zr
from tqdm import tqdm

from viad.datasets.folder_trees import is_junk
from viad.errors import DataError

ARCHIVE_SUFFIXES = (".zip", ".7z", ".tar", ".tar.gz", ".tgz", ".tar.xz", ".tar.bz2")
COPY_CHUNK = 1 << 20  # bytes
MOST_GROWTH = 100  # times the archive's size; images hardly compress, so a larger growth means a zip bomb
LEAST_LIMIT = 1 << 30  # bytes; small archives may hold uncompressed bitmaps


def unpack_beside(file: Path, folder: Path, aside: Path) -> None:
    """Unpack an archive into `folder`; one whose content has no folder around it into a folder of the archive's name.

    Archives by category hold `<category>/...` or only what lies in it.

    Args:
        file: the archive.
        folder: exists, and may hold other files.
        aside: a folder on the same disk, which does not exist before and after.

    Raises:
        DataError: as `unpack`, or a file lies in `folder` with different content.
    """
    unpack(file, aside)
    content = [entry for entry in aside.iterdir() if not is_junk(entry)]
    enclosed = len(content) == 1 and content[0].is_dir()
    suffix = next(suffix for suffix in ARCHIVE_SUFFIXES if file.name.endswith(suffix))
    _merge(aside, folder if enclosed else folder / file.name.removesuffix(suffix), file)
    shutil.rmtree(aside, ignore_errors=True)  # nothing is left of it where the target was new


def _merge(source: Path, target: Path, archive: Path) -> None:
    """Move `source` to `target`; folders unite, and a file that is there already has to be the same."""
    if not target.exists():
        source.rename(target)
    elif source.is_dir() and target.is_dir():
        for child in sorted(source.iterdir()):
            _merge(child, target / child.name, archive)
    elif not is_junk(target) and not (
        source.is_file() and target.is_file() and filecmp.cmp(source, target, shallow=False)
    ):
        raise DataError(
            f"{archive} contains {target.name}, which also lies beside it with different content ({target}). "
            "Remove one of them."
        )


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
            shutil.copyfileobj(opened, file, COPY_CHUNK)


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
