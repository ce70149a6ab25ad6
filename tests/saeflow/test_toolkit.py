"""The toolkit's doctests and its page, run in a folder that holds a tiny model and an SAE of one of its layers."""

import doctest
import re
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import pytest
import torch

import saeflow
from core.lm import gguf
from core.sae.formats import Origin, save_sae
from tests.core.lm.families import save_family
from tests.core.sae.dictionary import random_sae
from tests.flows.commands import PROJECT

PAGE = PROJECT / "docs" / "toolkit.md"
MODULES = (
    "saeflow.captions",
    "saeflow.lm",
    "saeflow.factored",
    "saeflow.lens",
    "saeflow.probes",
    "core.stats.factored",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("toolkit")
    save_family("llama", place / "tiny-model")
    sae = random_sae(32, 96, 8)
    save_sae(sae, place / "tiny-sae", Origin("tiny-model", 1))
    return place


@pytest.mark.parametrize("name", MODULES)
def test_the_examples_of_the_docstrings_run(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = doctest.testmod(import_module(name))
    assert found.failed == 0 and found.attempted > 2


def test_the_page_runs_from_top_to_bottom(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert len(blocks) > 8
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)


def test_the_page_lists_every_point_and_every_public_name() -> None:
    text = PAGE.read_text("utf-8")
    model = {"lm", "factored", "lens", "probes"}
    for tool in model:
        for name in getattr(saeflow, tool).__all__:
            assert re.search(rf"\b{name}\b", text), f"{tool}.{name}"
    from core.lm.hook_points import ENTERS
    from core.study.hook_names import HOOK_NAMES
    from core.study.sites import VISION

    assert all(f"`{site}.N`" in text for site in (ENTERS, *HOOK_NAMES, *VISION))
    assert all(f"`blocks.N.{name}`" in text for name, _ in HOOK_NAMES.values())


def test_importing_a_tool_starts_no_server() -> None:
    servers = ("prefect", "mlflow", "altair", "dask")
    code = f"import sys, saeflow; saeflow.lm, saeflow.lens; print([name for name in {servers} if name in sys.modules])"
    ended = subprocess.run([sys.executable, "-c", code], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    assert ended.stdout.strip() == "[]", ended.stderr


def test_a_model_that_is_nowhere_is_told_in_one_line(tmp_path: Path) -> None:
    for name, told in ((tmp_path / "none", "none"), ("package:no-such-gguf", "is not installed")):
        with pytest.raises(saeflow.BadInput, match=told) as raised:
            saeflow.lm.load(name, workspace=tmp_path)
        assert "\n" not in str(raised.value)
    with pytest.raises(saeflow.BadInput, match="does not exist"):
        saeflow.lm.load_sae(tmp_path / "none")


def test_a_package_is_converted_once_into_the_workspace(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made: list[str] = []

    def convert(package: str, out: Path) -> Path:
        made.append(package)
        return save_family("llama", out)

    weights = tmp_path / "weights.gguf"
    weights.write_bytes(b"weights")
    for module in ("core.planning.model_source", "core.lm.packages"):
        monkeypatch.setattr(f"{module}.package_files", lambda package: [weights])
    monkeypatch.setattr("saeflow.lm.convert_package", convert)
    first, second = (saeflow.lm.load("package:some-gguf", workspace=tmp_path / "ws") for _ in range(2))
    assert made == ["some-gguf"] and first.loaded.folder == second.loaded.folder
    assert first.loaded.folder.parent == tmp_path / "ws" / "models"
    assert [path.name[:9] for path in first.loaded.folder.parent.iterdir()] == ["some-gguf"]
    assert torch.equal(*(model.run(model.tokens(["A man"])) for model in (first, second)))
    assert callable(gguf.convert_package)
