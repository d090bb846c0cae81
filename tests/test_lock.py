"""requirements.lock pins one whole environment for each Python that pyproject.toml allows."""

import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, requires
from pathlib import Path

import pytest
from packaging.markers import default_environment
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[1]
LOCK = ROOT / "requirements.lock"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
DIRECT = [Requirement(line) for line in PROJECT["project"]["dependencies"] + PROJECT["dependency-groups"]["dev"]]
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
SOURCES = ("antlr4-python3-runtime", "freia")  # published without wheels; plain Python, built when they are installed
UNREACHABLE = ("Failed to fetch", "error sending request", "Could not connect")  # uv's words


def _environment(python):
    """What markers see on Linux under the last patch release of a version."""
    return {
        "implementation_name": "cpython",
        "implementation_version": f"{python}.99",
        "os_name": "posix",
        "platform_machine": "x86_64",
        "platform_python_implementation": "CPython",
        "platform_release": "",
        "platform_system": "Linux",
        "platform_version": "",
        "python_full_version": f"{python}.99",
        "python_version": python,
        "sys_platform": "linux",
        "extra": "",
    }


def _pins(environment):
    """Versions by name of what the lock installs there."""
    pins = {}
    for line in LOCK.read_text().splitlines():
        text = line.partition("#")[0].strip()
        if not text or ((pin := Requirement(text)).marker and not pin.marker.evaluate(environment)):
            continue
        (specifier,) = pin.specifier
        name = canonicalize_name(pin.name)
        assert specifier.operator == "==", f"{name} is not pinned"
        assert name not in pins, f"{name} is pinned twice"
        pins[name] = Version(specifier.version)
    return pins


def _holds(requirement, pins):
    name = canonicalize_name(requirement.name)
    return name in pins and requirement.specifier.contains(pins[name], prereleases=True)


def test_the_project_allows_the_pythons_that_are_tested():
    allowed = SpecifierSet(PROJECT["project"]["requires-python"])
    assert [minor for minor in range(20) if allowed.contains(f"3.{minor}.99")] == [int(v[2:]) for v in PYTHONS]


@pytest.mark.parametrize("python", PYTHONS)
def test_direct_dependencies_are_pinned_within_their_ranges(python):
    pins = _pins(_environment(python))
    assert not [str(requirement) for requirement in DIRECT if not _holds(requirement, pins)]


def test_a_backport_is_installed_where_it_is_needed_alone():
    have = [python for python in PYTHONS if "backports-zstd" in _pins(_environment(python))]
    assert have == ["3.11", "3.12", "3.13"]


def test_what_is_required_here_is_in_the_lock():
    environment = {**default_environment(), "extra": ""}
    pins, seen, missing = _pins(environment), set(), []
    waiting = [(requirement, "viad") for requirement in DIRECT]
    while waiting:
        requirement, parent = waiting.pop()
        if not _holds(requirement, pins):
            missing.append(f"{requirement}, required by {parent}")
        for extra in ["", *requirement.extras]:
            package = canonicalize_name(requirement.name), extra
            if package not in seen:
                seen.add(package)
                waiting += [(needed, package[0]) for needed in _required_by(*package, environment)]
    assert not missing, "Run `make lock`."
    assert len(seen) > len(DIRECT)


def _required_by(name, extra, environment):
    """What an installed package, or its extra alone, requires here."""
    try:
        lines = requires(name) or []
    except PackageNotFoundError:
        pytest.fail(f"{name} is in the lock and not installed. Run `make install`.")
    known = [Requirement(line) for line in lines]
    plain = [r for r in known if r.marker is None or r.marker.evaluate(environment)]
    if not extra:
        return plain
    return [r for r in known if r.marker and r.marker.evaluate({**environment, "extra": extra}) and r not in plain]


@pytest.mark.slow
@pytest.mark.parametrize("python", PYTHONS)
def test_the_registry_has_a_wheel_of_each_pin_and_no_more_is_required(python):
    """Resolved anew with what each package requires, without installing or downloading whole packages."""
    sources = [option for name in SOURCES for option in ("--no-binary", name)]
    done = subprocess.run(
        [
            sys.executable, "-m", "uv", "pip", "compile", "--quiet", "--no-header", "--no-annotate",
            "--python-version", python, "--python-platform", "linux", "--only-binary", ":all:", *sources, str(LOCK),
        ],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    if any(words in done.stderr for words in UNREACHABLE):
        pytest.skip("the package registry cannot be reached")
    assert done.returncode == 0, done.stderr
    pins = (Requirement(line) for line in done.stdout.splitlines())
    found = {canonicalize_name(pin.name): Version(str(pin.specifier).removeprefix("==")) for pin in pins}
    assert found == _pins(_environment(python))
