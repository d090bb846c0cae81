"""The rooms of the package: imports point downwards only, and none goes in a circle."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "src" / "viad"

# From the ground up. A module may import from its own room and from the rooms above its own in this list.
ROOMS = (
    "errors", "seeds", "processes", "artifacts", "config", "datasets", "importing", "audit", "protocol", "metrics",
    "backbones", "models", "training", "inference", "plots", "experiments", "studies", "comparison", "documentation",
    "report", "stages", "cli",
)  # fmt: skip
MODULES = {
    ".".join(("viad", *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(".__init__"): path
    for path in PACKAGE.rglob("*.py")
}


def imports(module):
    """The modules of the package that a module imports, wherever in its text."""
    found = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text())):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module:
            assert node.level == 0, f"{module}: relative import"
            names = [f"{node.module}.{alias.name}" for alias in node.names]
            names = [name if name in MODULES else node.module for name in names]
        else:
            continue
        found |= {name for name in names if name in MODULES and name != "viad"}
    return found - {module}


def room(module):
    return module.split(".")[1]


def test_the_package_holds_rooms_and_four_modules_only():
    flat = {path.name for path in PACKAGE.glob("*.py")}
    assert flat == {"__init__.py", "cli.py", "errors.py", "seeds.py"}
    assert {room(module) for module in MODULES if module != "viad"} == set(ROOMS)


@pytest.mark.parametrize("name", ROOMS)
def test_imports_point_downwards(name):
    below = set(ROOMS[: ROOMS.index(name) + 1])
    upwards = {
        f"{module} imports {other}"
        for module in MODULES
        if module != "viad" and room(module) == name
        for other in imports(module)
        if room(other) not in below
    }
    assert not upwards


def test_no_import_goes_in_a_circle():
    # A package's __init__ may take from its modules, which may take from it: the room is one place.
    list(TopologicalSorter({module: imports(module) for module in MODULES}).static_order())


def test_models_do_not_import_each_other():
    # Train depends on a detector's own code: a detector that used another one would not be trained again with it.
    for module in MODULES:
        if module.startswith("viad.models.") and not module.startswith("viad.models.components"):
            family = module.split(".")[2]
            used = {other.split(".")[2] for other in imports(module) if other.startswith("viad.models.")}
            assert used <= {family, "components"}, module


def test_one_module_touches_dvc():
    # dvclive is a library of its own, made to be imported.
    users = {
        module
        for module, path in MODULES.items()
        for node in ast.walk(ast.parse(path.read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
        if name.split(".")[0] in {"dvc", "dvc_data", "dvc_objects", "scmrepo"}
    }
    assert users == {"viad.artifacts.dvc_adapter"}


def test_a_constant_name_has_one_meaning():
    """In models/ a name is a hyperparameter, which each paper sets; elsewhere it is defined once."""
    homes = {}
    for module, path in MODULES.items():
        if module.startswith("viad.models."):
            continue
        for node in ast.parse(path.read_text()).body:
            targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
            for name in {
                leaf.id for target in targets if target for leaf in ast.walk(target) if isinstance(leaf, ast.Name)
            }:
                if name.isupper() and len(name) > 1:
                    homes.setdefault(name, set()).add(module)
    assert {name: modules for name, modules in homes.items() if len(modules) > 1} == {}


def test_a_module_is_one_room():
    lines = {module: len(path.read_text().splitlines()) for module, path in MODULES.items()}
    assert {module: count for module, count in lines.items() if count > 300} == {}
