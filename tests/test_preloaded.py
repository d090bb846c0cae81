"""Stages from a server: they behave as processes of their own, and end with who asked for them."""

import os
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from viad.studies.stage_server import start_stage_server
from waiting import is_running, wait_until

STAGE = """
import os, pathlib, signal, sys
import beside
assert "json" in sys.modules
print(sys.argv[1], os.environ["MARK"], beside.NAME, pathlib.Path.cwd().name)
print("trouble", file=sys.stderr)
if sys.argv[1] == "wait":
    pathlib.Path("pid").write_text(str(os.getpid()) + "\\n")
    signal.pause()
if sys.argv[1] == "raise":
    raise ValueError("no such thing")
sys.exit(int(sys.argv[2]) if sys.argv[2].isdigit() else sys.argv[2])
"""


@pytest.fixture
def clone(tmp_path):
    (tmp_path / "src").mkdir()
    (tmp_path / "src/stage.py").write_text(STAGE)
    (tmp_path / "src/beside.py").write_text("NAME = 'of this clone'")
    return tmp_path


@pytest.fixture(scope="module")
def python():
    with start_stage_server(os.environ, ["json"]) as folder:
        yield folder


def _run(python, clone, *arguments):
    command = ["python", "src/stage.py", *arguments]
    env = {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "MARK": "its own environment"}
    return subprocess.Popen(command, cwd=clone, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@pytest.mark.parametrize("code", [0, 1, 130])
def test_a_stage_has_its_own_arguments_folder_environment_output_and_exit_code(python, clone, code):
    process = _run(python, clone, "resize", str(code))
    out, errors = process.communicate()
    assert out == f"resize its own environment of this clone {clone.name}\n"
    assert errors == "trouble\n"
    assert process.returncode == code


def test_an_exception_is_told_and_counts_as_failure(python, clone):
    process = _run(python, clone, "raise", "0")
    assert "ValueError: no such thing" in process.communicate()[1]
    assert process.returncode == 1


def test_a_reason_to_exit_is_told_and_counts_as_failure(python, clone):
    process = _run(python, clone, "resize", "no such image")
    assert process.communicate()[1] == "trouble\nno such image\n"
    assert process.returncode == 1


def _stage_in(clone):
    """The process id of the stage that waits in a clone."""
    pid = clone / "pid"
    wait_until(lambda: pid.is_file() and pid.read_text().endswith("\n"), "the stage runs")
    return int(pid.read_text())


def test_a_stage_ends_with_the_client_that_asked_for_it(python, clone):
    client = _run(python, clone, "wait", "0")
    stage = _stage_in(clone)
    client.kill()
    client.communicate()
    wait_until(lambda: not is_running(stage), "the stage ends")


def test_a_stage_ends_with_the_parent_of_its_client(python, clone):
    parent = "import subprocess; subprocess.run(['python', 'src/stage.py', 'wait', '0'])"
    env = {"PATH": f"{python}{os.pathsep}{os.environ['PATH']}", "MARK": "of a parent"}
    with subprocess.Popen([sys.executable, "-c", parent], cwd=clone, env=env, stdout=subprocess.DEVNULL) as process:
        stage = _stage_in(clone)
        process.kill()
    wait_until(lambda: not is_running(stage), "the stage ends")


def _listens(address):
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as line:
        return line.connect_ex(str(address)) == 0


def test_a_server_ends_with_the_process_that_started_it():
    code = (
        "import os, signal; from viad.studies.stage_server import start_stage_server\n"
        "with start_stage_server(os.environ, ['json']) as folder:\n"
        "    print(folder, flush=True); signal.pause()"
    )
    with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
        address = Path(process.stdout.readline().strip()).parent / "socket"
        process.kill()
    wait_until(lambda: not _listens(address), "the server ends")
    shutil.rmtree(address.parent)


def test_other_scripts_and_a_server_that_is_gone_are_left_to_python(clone):
    with start_stage_server(os.environ, ["json"]) as folder:
        script = subprocess.check_output([folder / "python", "-c", "import sys; print(sys.argv[1:])", "src/stage.py"])
        assert script == b"['src/stage.py']\n"
        kept = clone / "python"
        kept.write_text((folder / "python").read_text())
        kept.chmod(0o755)
    (clone / "src/stage.py").write_text("print('by itself')")
    assert subprocess.check_output([kept, "src/stage.py"], cwd=clone) == b"by itself\n"


def test_a_path_with_blanks(clone, monkeypatch, tmp_path):
    blank = tmp_path / "an environment/python"
    blank.parent.mkdir()
    blank.symlink_to(sys.executable)
    monkeypatch.setattr(sys, "executable", str(blank))
    with start_stage_server(os.environ, ["json"]) as folder:
        out, _ = (process := _run(folder, clone, "resize", "0")).communicate()
    assert out.startswith("resize its own environment")
    assert process.returncode == 0


def test_what_cannot_be_imported_is_an_error():
    with pytest.raises(ImportError, match="no_such_package"), start_stage_server(os.environ, ["no_such_package"]):
        pass
