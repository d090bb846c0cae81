"""dvc.yaml tells the truth: a stage depends on the code that it imports, and declares the params that it reads."""

import ast
from pathlib import Path

import pytest
import yaml

from viad.artifacts.code_digests import find_imported_files, write_digests
from viad.stages.code import LOADED_CODE, SOURCE

ROOT = Path(__file__).parents[1]
PIPELINE = yaml.safe_load((ROOT / "dvc.yaml").read_text())
STAGES = sorted(PIPELINE["stages"])
READERS = ("read_params", "read_all_params")
# Modules that import by a name: the entry point its stage, two the module that a parameter names, one the packages with
# the embedded weights, and one the resolvers of conf/, on which summarize depends.
LOADERS = {
    "processes/startup.py", "training/build.py", "datasets/__init__.py", "backbones/embedded.py",
    "config/conf_files.py",
}  # fmt: skip


def _declared(stage):
    return PIPELINE["stages"][stage]


@pytest.fixture(scope="module")
def imported():
    """The files that each stage imports, of all datasets and models, from the root."""
    loaded = {"dataset.code": SOURCE / "viad/datasets", "model.code": SOURCE / "viad/models"}
    return {
        stage: find_imported_files(
            [
                ROOT / entry
                for entry in (
                    SOURCE / "stage.py",
                    SOURCE / f"viad/stages/{stage}.py",
                    *(loaded[key] for name, key in LOADED_CODE.items() if name == stage),
                )
            ],
            ROOT / SOURCE,
        )
        for stage in STAGES
    }


@pytest.mark.parametrize("stage", [stage for stage in STAGES if stage != "code"])
def test_a_stage_depends_on_its_code_by_the_digests_alone(stage):
    assert f"data/code/{stage}.txt" in _declared(stage)["deps"]
    assert not [dep for dep in _declared(stage)["deps"] if dep.startswith("src/")]


@pytest.mark.parametrize("stage", STAGES)
def test_imports_can_be_read_from_the_text(stage, imported):
    """A module that is imported by a computed name would be missing from the digests."""
    package = ROOT / SOURCE / "viad"
    names = {"import_module", "__import__", "run_path", "import_quickly"}
    found = {
        file.relative_to(package).as_posix()
        for file in imported[stage]
        if file.is_relative_to(package)
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call)
        and (node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")) in names
    }
    assert found <= LOADERS


def test_dvc_ignores_no_module_that_a_stage_imports(imported):
    ignored = [line[1:] for line in (ROOT / ".dvcignore").read_text().splitlines() if line.startswith("/src/viad/")]
    assert len(ignored) > 3
    files = {file.relative_to(ROOT).as_posix() for stage in STAGES for file in imported[stage]}
    assert not [file for file in files for start in ignored if file.startswith(start)]


def _write(folder, files):
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


def test_imports_are_followed_through_functions_packages_and_circles(tmp_path):
    files = {
        "stage.py": "import json\nfrom pkg import a\n",
        "pkg/__init__.py": '"""Words only."""\n',
        "pkg/a.py": "from pkg.room.b import NAME\n",
        "pkg/room/__init__.py": "LOADED = 1\n",
        "pkg/room/b.py": "NAME = 1\ndef later():\n    import pkg.c\n",
        "pkg/c.py": "from pkg import a\n",
        "pkg/unused.py": "VALUE = 1\n",
    }
    _write(tmp_path, files)
    found = [file.relative_to(tmp_path).as_posix() for file in find_imported_files([tmp_path / "stage.py"], tmp_path)]
    assert found == ["pkg/a.py", "pkg/c.py", "pkg/room/__init__.py", "pkg/room/b.py", "stage.py"]


def test_a_package_stands_for_its_modules(tmp_path):
    _write(
        tmp_path, {"pkg/family/one.py": "import pkg.base\n", "pkg/family/two.py": "A = 1\n", "pkg/base.py": "B = 1\n"}
    )
    found = [file.name for file in find_imported_files([tmp_path / "pkg/family"], tmp_path)]
    assert found == ["base.py", "one.py", "two.py"]


def test_digests_change_with_the_content_and_with_nothing_else(tmp_path):
    files, outs = [tmp_path / "a.py", tmp_path / "b.py"], [tmp_path / f"{n}.txt" for n in range(3)]
    for file in files:
        file.write_text("A = 1\n")
    write_digests(files, outs[0])
    files[0].touch()
    write_digests(files, outs[1])
    files[1].write_text("A = 2\n")
    write_digests(files, outs[2])
    first, again, changed = (out.read_text().splitlines() for out in outs)
    assert first == again
    assert [a == b for a, b in zip(first, changed, strict=True)] == [True, False]
    assert first[0].endswith(f"  {files[0].as_posix()}")


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
    deps = [dep for dep in _declared("train")["deps"] if dep.startswith("data/") and "code" not in dep]
    assert sorted(Path(dep).name for dep in deps) == ["${item.category}", "learn"]
    assert not any("shifted" in dep or dep.endswith("test") for dep in deps)


def test_evaluate_sees_no_model_and_predict_reads_no_label():
    assert not any("model" in dep for dep in _declared("evaluate")["deps"])
    source = (ROOT / "src/viad/stages/predict.py").read_text()
    assert "label" not in source.split('"""', 2)[2]
