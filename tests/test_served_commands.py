"""The commands that tests run in clones behave as those that start by themselves."""

import os
import subprocess
import sys

import pytest

from served_commands import CODE, ask_for_commands, serve_commands


@pytest.fixture(scope="module")
def commands():
    return ask_for_commands()


def _run(command, folder, **environment):
    return subprocess.run(
        command, cwd=folder, env=os.environ | environment, capture_output=True, text=True, check=False
    )


@pytest.mark.parametrize(("text", "code"), [("assert True", 0), ("assert False", 1), ("this is no python", 2)])
def test_pytest_runs_the_tests_of_its_folder_and_fails_with_them(commands, tmp_path, text, code):
    (tmp_path / "test_it.py").write_text(f"def test_it():\n    {text}\n")
    done = _run([commands / "pytest", "-n", "0", "-p", "no:cacheprovider"], tmp_path)
    assert done.returncode == code, done.stdout + done.stderr


def test_the_package_and_the_modules_are_those_of_the_clone(commands, tmp_path):
    (tmp_path / "src/viad").mkdir(parents=True)
    (tmp_path / "src/viad/__init__.py").write_text("MARK = 'of the clone'")
    (tmp_path / "tiny_runs.py").write_text("MARK = 'of the folder'")
    code = "import sys, tiny_runs, viad; print(tiny_runs.MARK, viad.MARK, sys.argv[1:])"
    done = _run([commands / CODE, code, "an argument"], tmp_path, PYTHONPATH=os.fspath(tmp_path / "src"))
    assert done.stdout == "of the folder of the clone ['an argument']\n", done.stderr
    (tmp_path / "src/viad/cli.py").write_text("def main(): return 'refused'")
    done = _run([commands / "viad"], tmp_path, PYTHONPATH=os.fspath(tmp_path / "src"))
    assert (done.returncode, done.stderr) == (1, "refused\n")


def test_a_command_ends_as_a_process_does(commands, tmp_path):
    """It waits for its threads, and runs what was registered for its end."""
    code = """
import atexit, threading, time
atexit.register(print, "at the end")
threading.Thread(target=lambda: (time.sleep(0.2), print("of a thread"))).start()
raise ValueError("no such thing")
"""
    done = _run([commands / CODE, code], tmp_path)
    assert (done.returncode, done.stdout) == (1, "of a thread\nat the end\n")
    assert done.stderr.endswith("ValueError: no such thing\n")


def test_without_the_server_the_commands_are_the_ordinary_ones(tmp_path, monkeypatch):
    monkeypatch.setattr("served_commands.PACKAGES", ["json"])
    with serve_commands(os.environ) as folder:
        texts = {name: (folder / name).read_text() for name in ("pytest", CODE)}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
        (tmp_path / name).chmod(0o755)
    assert _run([tmp_path / "pytest", "--version"], tmp_path).stdout == f"pytest {pytest.__version__}\n"
    assert _run([tmp_path / CODE, "import sys; print(sys.executable)"], tmp_path).stdout == f"{sys.executable}\n"
