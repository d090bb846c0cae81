"""dvc.yaml tells the truth: what a stage imports and which params it reads are what it declares."""

import ast
import json
import subprocess
from pathlib import Path

import pytest
import yaml

from served_commands import CODE, ask_for_commands

ROOT = Path(__file__).parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = sorted(PIPELINE["stages"])
READERS = ("read_params", "read_all_params")


def _declared(stage):
    return PIPELINE["stages"][stage]


def _code(group):
    yamls = sorted((ROOT / "conf" / group).glob("*.yaml"))
    codes = {yaml.safe_load(path.read_text())["code"] for path in yamls}
    return sorted(code for code in codes if "$" not in code)  # external's is the user's folder


# What a stage loads by name from the params, besides importing it: the module itself is a dep by `code`.
LOADS = {"raw": _code("dataset"), "resize": _code("dataset"), "train": _code("model"), "predict": _code("model")}


def _modules(code):
    """The names of the modules that a `code` stands for: itself, or all in the folder."""
    files = sorted((ROOT / code).rglob("*.py")) if (ROOT / code).is_dir() else [ROOT / code]
    names = [file.relative_to(ROOT / "src").with_suffix("").as_posix().replace("/", ".") for file in files]
    return [name.removesuffix(".__init__") for name in names]


def _is_docstring(file):
    return file.name == "__init__.py" and len(ast.parse(file.read_text()).body) <= 1


# Each stage is imported in a fork, which says what it has of the package.
IMPORTER = """
import json, os, sys
sys.path.insert(0, "src")
assert not any(name.partition(".")[0] == "viad" for name in sys.modules)
for stage, modules in json.loads(sys.argv[1]).items():
    child = os.fork()
    if child == 0:
        for module in modules:
            __import__(module)
        ours = [module for name, module in sys.modules.items() if name.startswith("viad.")]
        print(json.dumps([stage, [module.__file__ for module in ours if module.__file__]]), flush=True)
        os._exit(0)
    assert os.waitpid(child, 0)[1] == 0, stage
"""


@pytest.fixture(scope="module")
def imported():
    """The files of the package that each stage imports, from the root."""
    asked = {
        stage: [f"viad.stages.{stage}", *(module for code in LOADS.get(stage, []) for module in _modules(code))]
        for stage in STAGES
    }
    command = [ask_for_commands() / CODE, IMPORTER, json.dumps(asked)]
    out = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True).stdout
    found = dict(map(json.loads, out.splitlines()))
    return {stage: {Path(file).relative_to(ROOT).as_posix() for file in files} for stage, files in found.items()}


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_every_module_it_imports(stage, imported):
    imported = imported[stage]
    # The docstring of a package and the wording of errors change no output.
    silent = {file for file in imported if file.endswith("errors.py") or _is_docstring(ROOT / file)}
    silent |= {file for file in imported if any(file.startswith(code) for code in LOADS.get(stage, []))}
    declared = {dep for dep in _declared(stage)["deps"] if dep.startswith("src/viad/")}
    assert imported - silent == declared


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_declares_just_the_params_it_reads(stage):
    tree = ast.parse((ROOT / f"src/viad/stages/{stage}.py").read_text())
    calls = [n for n in ast.walk(tree) if isinstance(n, ast.Call) and getattr(n.func, "id", "") in READERS]
    assert len(calls) == 1, "params enter once, at the head of main"
    if calls[0].func.id == "read_all_params":
        assert _declared(stage)["params"] == [{"params.yaml": None}], "the whole file"
        return
    assert sorted(ast.literal_eval(argument) for argument in calls[0].args) == sorted(_declared(stage)["params"])


def test_only_learn_reaches_training():
    deps = [dep for dep in _declared("train")["deps"] if dep.startswith("data/")]
    assert sorted(Path(dep).name for dep in deps) == ["${item.category}", "learn"]
    assert not any("shifted" in dep or dep.endswith("test") for dep in deps)


def test_evaluate_sees_no_model_and_predict_reads_no_label():
    assert not any("model" in dep for dep in _declared("evaluate")["deps"])
    source = (ROOT / "src/viad/stages/predict.py").read_text()
    assert "label" not in source.split('"""', 2)[2]
