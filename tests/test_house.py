"""The house rules that a linter does not know."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from core.analysis.registry import declared
from core.planning.versions import closure
from core.store.steps import CAPTURE, INDEX_FEATURES, TRAIN_SAE, StepSpec
from infra.import_graph import circles, read_house

PROJECT = Path(__file__).resolve().parents[1]


def python_files() -> list[Path]:
    words = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.py"]
    listed = subprocess.run(words, cwd=PROJECT, capture_output=True, text=True, check=True).stdout.split()
    return [PROJECT / name for name in sorted(set(listed)) if (PROJECT / name).is_file()]


def test_no_file_is_longer_than_300_lines() -> None:
    long = {path.name: count for path in python_files() if (count := len(path.read_text("utf-8").splitlines())) > 300}
    assert not long


def test_no_function_is_longer_than_60_lines() -> None:
    long = [
        f"{path.relative_to(PROJECT)}:{node.lineno} {node.name}"
        for path in python_files()
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno - node.lineno >= 60
    ]
    assert not long


def test_core_reads_no_environment_and_knows_no_orchestrator() -> None:
    forbidden = ("prefect", "dask", "distributed", "mlflow", "fastapi", "typer")
    for path in (PROJECT / "core").rglob("*.py"):
        text = path.read_text("utf-8")
        assert "os.environ" not in text and "getenv" not in text, path
        for node in ast.walk(ast.parse(text)):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not [name for name in names if name.split(".")[0] in forbidden], path


def test_neither_rooms_nor_files_import_each_other_in_a_circle() -> None:
    house = read_house(PROJECT)
    assert {"core.store", "core.analysis.overview", "flows.slurm"} <= set(house.rooms.values())
    assert house.room_circles() == []
    assert circles(house.files) == []
    assert house.against_floors() == []


PICKLES = PROJECT / "core" / "legacy" / "pickles.py"
"""The one module that reads pickles."""


def _calls(path: Path) -> list[tuple[str, dict[str, object]]]:
    """Every call in a file: what is called, dotted, and its constant keywords."""
    return [
        (ast.unparse(node.func), {word.arg or "": getattr(word.value, "value", None) for word in node.keywords})
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Call)
    ]


def test_one_module_reads_pickles_and_of_these_only_tensors() -> None:
    code = [path for path in python_files() if path.relative_to(PROJECT).parts[0] not in ("tests", "benchmarks")]
    readers = ("torch.load", "pickle.load", "pickle.loads", "pickle.Unpickler", "joblib.load", "pd.read_pickle")
    for path in code:
        for name, words in _calls(path):
            assert path == PICKLES or name not in readers, path
            assert words.get("allow_pickle") is not True, path
            assert name != "torch.load" or words.get("weights_only") is True, path
    assert sum(name == "torch.load" for name, _ in _calls(PICKLES)) == 2


def test_no_module_beside_the_flows_is_named_like_one_of_python() -> None:
    # Prefect loads a deployment's flow with its folder first on the path: `profile` there broke `import torch`.
    names = {path.stem for path in (PROJECT / "flows").iterdir()} - {"__init__"}
    assert not names & sys.stdlib_module_names


SPEAKS_OF_GENDER = (
    "core/data/gender*",
    "core/data/arabic*",
    "core/data/scene*",
    "core/data/sample*",
    "core/analysis/*/*",  # those declared for gender: the next test looks at the declarations
    "core/data/english*",  # what arabic* is for Arabic
    "core/data/given_names.py",  # weak evidence of gender in a caption
    "core/data/emoji_source.py",  # woman and man minimal pairs
    "core/data/table_source.py",  # labels and pairs a user's captions
    "core/data/table_look.py",
    "core/data/table_checks.py",
    "core/data/known_concepts.py",  # names the only concept there is
    "core/legacy/config_keys.py",  # keys and column names of the old scripts
    "core/legacy/sae_beside.py",
)
"""Everything else knows a `Concept` alone."""


def test_only_these_files_know_that_the_concept_is_gender() -> None:
    code = [path.relative_to(PROJECT) for path in python_files() if path.is_relative_to(PROJECT / "core")]
    others = [path for path in code if not any(path.match(pattern) for pattern in SPEAKS_OF_GENDER)]
    assert not [str(path) for path in others if "gender" in (PROJECT / path).read_text("utf-8").lower()]
    assert len(others) > 150


def test_analyses_that_speak_of_gender_are_declared_for_it() -> None:
    for name, analysis in declared().items():
        files = (PROJECT / "core" / "analysis" / name).glob("*.py")
        says = any("gender" in path.read_text("utf-8").lower() for path in files)
        assert not says or analysis.concept == "gender", name


@pytest.mark.parametrize("step", [CAPTURE, TRAIN_SAE, INDEX_FEATURES])
def test_a_new_analysis_changes_the_digest_of_no_heavy_step(step: StepSpec) -> None:
    reached = closure(step.roots)
    assert not [name for name in reached if name.startswith(("core.analysis", "core.planning", "core.report"))]
