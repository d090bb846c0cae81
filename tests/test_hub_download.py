"""Datasets on the Hugging Face hub: downloaded from a server on this machine that answers as the hub does."""

import hashlib
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import huggingface_hub.constants
import pytest

import miniatures
from viad.datasets import archives, read_rows
from viad.datasets.hub_download import download_from_hub
from viad.errors import ConfigError, DataError

REPO, COMMIT = "AmazonScience/RobustAD", "8" * 40
ADDRESS = f"hf://datasets/{REPO}@{COMMIT}"


class Hub(BaseHTTPRequestHandler):
    """The paths of the hub that a download of a dataset asks for."""

    files: ClassVar[dict[str, bytes]] = {}
    broken: ClassVar[set[str]] = set()
    asked: ClassVar[list[str]] = []

    def do_HEAD(self):
        self._answer(body=False)

    def do_GET(self):
        self._answer(body=True)

    def _answer(self, *, body):
        path = self.path.split("?")[0]
        resolve = f"/datasets/{REPO}/resolve/{COMMIT}/"
        if path == f"/api/datasets/{REPO}/revision/{COMMIT}":
            siblings = [{"rfilename": name} for name in self.files]
            self._send(json.dumps({"id": REPO, "sha": COMMIT, "siblings": siblings}).encode(), "application/json", body)
        elif path == f"/api/datasets/{REPO}/tree/{COMMIT}":
            tree = [
                {"type": "file", "path": name, "size": len(content), "oid": hashlib.sha1(content).hexdigest()}
                for name, content in self.files.items()
            ]
            self._send(json.dumps(tree).encode(), "application/json", body)
        elif path.removeprefix(resolve) in self.files and path.removeprefix(resolve) not in self.broken:
            if body:
                self.asked.append(path.removeprefix(resolve))
            self._send(self.files[path.removeprefix(resolve)], "application/octet-stream", body)
        else:
            self.send_response(404)
            self.send_header("X-Error-Code", "EntryNotFound")
            self.send_header("Content-Length", "0")
            self.end_headers()

    def _send(self, content, kind, body):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{hashlib.sha1(content).hexdigest()}"')
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        if body:
            self.wfile.write(content)

    def log_message(self, *_):
        pass


@pytest.fixture
def hub(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_address[1]}"
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", address)
    template = f"{address}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    monkeypatch.setattr(huggingface_hub.constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    tree = miniatures.Tree()
    expected = miniatures.robustad(tree)
    monkeypatch.setattr(Hub, "files", tree.files)
    monkeypatch.setattr(Hub, "broken", set())
    monkeypatch.setattr(Hub, "asked", [])
    yield expected
    server.shutdown()
    server.server_close()


ARCHIVE = {"file": "RobustAD", "url": ADDRESS, "page": "", "sha256": None}


def test_a_dataset_comes_from_the_hub_once(hub):
    archives.publish(Path("out"), "robustad", ARCHIVE, None)
    found = {path.relative_to("out").as_posix(): path.read_bytes() for path in Path("out").rglob("*") if path.is_file()}
    assert found == Hub.files
    rows = read_rows("src/viad/datasets/robustad.py", Path("out"), "PCB", {})
    assert len(rows) == sum(map(sum, hub.values()))
    asked = len(Hub.asked)
    archives.publish(Path("again"), "robustad", ARCHIVE, None)
    assert len(Hub.asked) == asked  # data/archives/ has it


@pytest.mark.usefixtures("hub")
def test_an_interrupted_download_is_resumed():
    last = max(Hub.files)
    Hub.broken.add(last)
    with pytest.raises(DataError, match=r"the download failed .* Run again to resume it"):
        archives.publish(Path("out"), "robustad", ARCHIVE, None)
    assert not Path("out").exists()
    assert not (archives.ARCHIVE_FOLDER / "RobustAD").exists()
    Hub.broken.clear()
    had = {path.name for path in (archives.ARCHIVE_FOLDER / "RobustAD.part").rglob("*.png")}
    assert had
    Hub.asked.clear()
    archives.publish(Path("out"), "robustad", ARCHIVE, None)
    assert len(Hub.asked) < len(Hub.files)
    assert (Path("out") / last).read_bytes() == Hub.files[last]


def test_the_address_names_a_commit(tmp_path):
    with pytest.raises(ConfigError, match="is not of the form hf://datasets/OWNER/NAME@COMMIT"):
        download_from_hub(f"hf://datasets/{REPO}@main", tmp_path / "folder", tmp_path / "partial")
