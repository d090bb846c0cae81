"""Archives: unpacked safely, verified, and downloaded with resume from a server on this machine."""

import hashlib
import io
import stat
import tarfile
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import py7zr
import pytest

from viad.datasets import archives, unpacking
from viad.datasets.unpacking import unpack
from viad.errors import DataError

CONTENT = {"a/1.png": b"one" * 100, "a/b c/ü.png": b"two"}


def packed(path, files=CONTENT):
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, content in files.items():
                archive.writestr(name, content)
    elif path.suffix == ".7z":
        with py7zr.SevenZipFile(path, "w") as archive:
            for name, content in files.items():
                archive.writestr(content, name)
    else:
        with tarfile.open(path, f"w:{path.suffix[1:]}" if path.suffix != ".tar" else "w") as archive:
            for name, content in files.items():
                info = tarfile.TarInfo(name)
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
    return path


@pytest.mark.parametrize("suffix", [".zip", ".7z", ".tar", ".gz", ".xz", ".bz2"])
def test_every_kind_unpacks_to_the_same_bytes(tmp_path, suffix):
    unpack(packed(tmp_path / f"archive{suffix}"), tmp_path / "out")
    found = {p.relative_to(tmp_path / "out").as_posix(): p.read_bytes() for p in (tmp_path / "out").rglob("*.png")}
    assert found == CONTENT


@pytest.mark.parametrize("suffix", [".zip", ".tar"])
@pytest.mark.parametrize("name", ["../outside.png", "/absolute.png", "a/../../outside.png", "C:/windows.png"])
def test_a_path_that_leads_out_is_refused(tmp_path, suffix, name):
    with pytest.raises(DataError, match="leads out of the folder"):
        unpack(packed(tmp_path / f"archive{suffix}", {name: b"x"}), tmp_path / "out")
    assert not (tmp_path / "outside.png").exists()


def test_a_link_is_refused_in_tar_and_zip(tmp_path):
    with tarfile.open(tmp_path / "links.tar", "w") as archive:
        info = tarfile.TarInfo("link")
        info.type, info.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(info)
    with zipfile.ZipFile(tmp_path / "links.zip", "w") as archive:
        info = zipfile.ZipInfo("link")
        info.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(info, "/etc/passwd")
    for name in ("links.tar", "links.zip"):
        with pytest.raises(DataError, match=rf"{name} cannot be unpacked: link is a link"):
            unpack(tmp_path / name, tmp_path / "out")


@pytest.mark.parametrize("suffix", [".zip", ".xz", ".7z"])
def test_a_bomb_is_refused_before_it_fills_the_disk(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr(unpacking, "LEAST_LIMIT", 1000)
    bomb = packed(tmp_path / f"bomb{suffix}", {"zeros": bytes(10_000_000)})
    with pytest.raises(DataError, match="too many for its size"):
        unpack(bomb, tmp_path / "out")
    assert sum(p.stat().st_size for p in (tmp_path / "out").rglob("*") if p.is_file()) <= 1000


@pytest.mark.parametrize("suffix", [".zip", ".7z", ".gz", ".xz", ".tar"])
def test_a_truncated_archive_is_an_error(tmp_path, suffix):
    path = packed(tmp_path / f"archive{suffix}", {f"{i}.png": bytes([i]) * 3000 for i in range(20)})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(DataError, match="cannot be unpacked"):
        unpack(path, tmp_path / "out")


def test_what_is_no_archive_is_an_error(tmp_path):
    (tmp_path / "page.zip").write_text("<html>sign in</html>")
    with pytest.raises(DataError, match="it is not a zip, 7z or tar archive"):
        unpack(tmp_path / "page.zip", tmp_path / "out")


def test_an_outdated_edition_is_recognised_by_its_checksum(tmp_path):
    path = packed(tmp_path / "archive.zip")
    old = {archives.compute_checksum(path): "it is last year's"}
    archive = {"file": "archive.zip", "url": None, "page": "https://example.org", "sha256": "0" * 64, "outdated": old}
    with pytest.raises(DataError, match="it is last year's"):
        archives.verify_checksum(path, archive)


DATA = bytes(range(256)) * 20_000


class Server(BaseHTTPRequestHandler):
    """Serves DATA, breaks off the first time at /broken, and gives a page at /page."""

    broken = True
    asked: ClassVar[list] = []

    def do_GET(self):
        first = int(self.headers.get("Range", "bytes=0-").removeprefix("bytes=").removesuffix("-"))
        type(self).asked.append(first)
        if first >= len(DATA):
            self.send_error(416)
            return
        if self.path == "/missing":
            self.send_error(404)
            return
        self.send_response(206 if first and self.path != "/norange" else 200)
        body = DATA[first:] if self.path != "/norange" else DATA
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Content-Type", "text/html" if self.path == "/page" else "application/zip")
        self.end_headers()
        if self.path == "/broken" and type(self).broken:
            type(self).broken = False
            body = body[: len(body) // 3]
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture
def url():
    Server.broken, Server.asked = True, []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Server)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_an_interrupted_download_resumes(tmp_path, url):
    target, digest = tmp_path / "archive.zip", hashlib.sha256(DATA).hexdigest()
    with pytest.raises(DataError, match=r"(?s)Run again to resume"):
        archives.download(f"{url}/broken", target, digest)
    assert not target.exists()
    archives.download(f"{url}/broken", target, digest)
    assert target.read_bytes() == DATA
    assert Server.asked[1] > 0
    assert list(tmp_path.iterdir()) == [target]


def test_a_server_that_cannot_resume_is_asked_for_the_whole(tmp_path, url):
    (tmp_path / "archive.zip.part").write_bytes(DATA[:1000])
    archives.download(f"{url}/norange", tmp_path / "archive.zip")
    assert (tmp_path / "archive.zip").read_bytes() == DATA


def test_a_whole_download_that_was_not_renamed_is_taken(tmp_path, url):
    (tmp_path / "archive.zip.part").write_bytes(DATA)
    archives.download(f"{url}/x", tmp_path / "archive.zip", hashlib.sha256(DATA).hexdigest())
    assert (tmp_path / "archive.zip").read_bytes() == DATA


@pytest.mark.parametrize(
    ("path", "message"),
    [("page", "returns a web page instead of an archive"), ("missing", "the download failed .*404")],
)
def test_a_page_or_an_error_is_no_archive(tmp_path, url, path, message):
    with pytest.raises(DataError, match=message):
        archives.download(f"{url}/{path}", tmp_path / "archive.zip")
    assert not (tmp_path / "archive.zip").exists()


def test_a_wrong_checksum_leaves_nothing(tmp_path, url):
    with pytest.raises(DataError, match="It was removed"):
        archives.download(f"{url}/x", tmp_path / "archive.zip", "0" * 64)
    assert list(tmp_path.iterdir()) == []


def test_the_raw_stages_source_is_the_download_where_nothing_is_there(tmp_path, url, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = packed(tmp_path / "archive.zip").read_bytes()
    monkeypatch.setattr(f"{__name__}.DATA", content)
    archive = {"file": "published.zip", "url": f"{url}/x", "page": "", "sha256": hashlib.sha256(content).hexdigest()}
    archives.publish(Path("out"), "name", archive, None)
    assert (tmp_path / "out/a/b c/ü.png").read_bytes() == b"two"
    assert (archives.ARCHIVE_FOLDER / "published.zip").read_bytes() == content


def test_several_archives_are_downloaded_into_a_folder_and_a_missing_one_again(tmp_path, url, monkeypatch):
    monkeypatch.chdir(tmp_path)
    content = packed(tmp_path / "archive.zip").read_bytes()
    monkeypatch.setattr(f"{__name__}.DATA", content)
    archive = {"file": ["1.zip", "2.zip"], "url": [f"{url}/x", f"{url}/y"], "page": "", "sha256": None}
    archives.publish(Path("out"), "name", archive, None)
    assert found_files(Path("out")) == CONTENT
    assert sorted(path.name for path in (archives.ARCHIVE_FOLDER / "name").iterdir()) == ["1.zip", "2.zip"]
    (archives.ARCHIVE_FOLDER / "name/2.zip").rename(archives.ARCHIVE_FOLDER / "name/2.zip.part")
    archives.publish(Path("again"), "name", archive, None)
    assert (archives.ARCHIVE_FOLDER / "name/2.zip").read_bytes() == content


def test_unpacked_files_of_several_archives_need_no_download(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (archives.ARCHIVE_FOLDER / "name").mkdir(parents=True)
    (archives.ARCHIVE_FOLDER / "name/1.txt").write_bytes(b"1")
    archive = {"file": ["1.zip"], "url": ["http://127.0.0.1:1/x"], "page": "", "sha256": None}
    archives.publish(Path("out"), "name", archive, None)
    assert found_files(Path("out")) == {"1.txt": b"1"}


FOLDER = {"file": "whole.zip", "url": None, "page": "", "sha256": None}


def found_files(out):
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in out.rglob("*") if path.is_file()}


def test_a_folder_of_archives_and_files_comes_whole(tmp_path):
    mine = tmp_path / "mine"
    (mine / "deep").mkdir(parents=True)
    (mine / "deep/beside.txt").write_bytes(b"beside")
    packed(mine / "deep/cat.zip", {"cat/1.png": b"1", "__MACOSX/._1.png": b"junk"})
    packed(mine / "deep/dog.zip", {"OK/1.png": b"2", "NG/1.png": b"3"})  # no folder of its own around its files
    packed(mine / "notes.tar", {"a.txt": b"a", "b.txt": b"b"})
    archives.publish(tmp_path / "out", "mine", FOLDER, str(mine))
    found = {name: data for name, data in found_files(tmp_path / "out").items() if "MACOSX" not in name}
    assert found == {
        "deep/beside.txt": b"beside",
        "deep/cat/1.png": b"1",
        "deep/dog/OK/1.png": b"2",
        "deep/dog/NG/1.png": b"3",
        "notes/a.txt": b"a",
        "notes/b.txt": b"b",
    }


def test_a_file_twice_is_accepted_only_with_the_same_content(tmp_path):
    mine = tmp_path / "mine"
    (mine / "cat").mkdir(parents=True)
    (mine / "cat/1.png").write_bytes(b"1")
    packed(mine / "cat.zip", {"cat/1.png": b"1", "cat/2.png": b"2"})
    archives.publish(tmp_path / "out", "mine", FOLDER, str(mine))
    assert found_files(tmp_path / "out") == {"cat/1.png": b"1", "cat/2.png": b"2"}
    packed(mine / "dog.zip", {"cat/2.png": b"other"})
    with pytest.raises(DataError, match=r"dog\.zip contains 2\.png, which also lies beside it with different content"):
        archives.publish(tmp_path / "again", "mine", FOLDER, str(mine))


def test_the_named_archive_in_a_folder_is_verified(tmp_path):
    (tmp_path / "mine").mkdir()
    packed(tmp_path / "mine/whole.zip")
    with pytest.raises(DataError, match="SHA-256"):
        archives.publish(tmp_path / "out", "mine", FOLDER | {"sha256": "0" * 64}, str(tmp_path / "mine"))
