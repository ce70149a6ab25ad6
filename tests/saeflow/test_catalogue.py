"""`saeflow.catalogue` and the code of docs/catalogue.md, run over planted tables."""

import doctest
import re
import time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml

import saeflow
from core.explain.published import write_tables
from core.explain.publishing import sum_up
from core.planning.catalogue_file import CATALOGUE_FILES
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.core.explain.older_catalogue import leave_raw
from tests.core.explain.published_catalogue import cards, tables
from tests.core.explain.test_features_table import told
from tests.flows.commands import PROJECT

PAGE = (PROJECT / "docs" / "catalogue.md").read_text(encoding="utf-8")
SAE = "demo/layer_17"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a workspace in which `demo` is a catalogue, and with what an older pipeline left."""
    leave_raw(tmp_path / "older")
    workspace = Workspace(tmp_path / "workspace")
    unit = Unit("publish_catalogue", 1, "", {"planted": True})
    staged = workspace.store.staging(unit.artifact)
    planted = {name: table.with_columns(sae_id=pl.lit(SAE).cast(pl.Categorical)) for name, table in tables().items()}
    write_tables(staged, planted, cards())
    said = told([(row["feature_id"], "a", "en", row["explanation_text"]) for row in planted["features"].to_dicts()])
    sum_up(said.with_columns(sae_id=pl.lit(SAE).cast(pl.Categorical)), planted["scores"], 50, 0, staged)
    manifest = {"unit": unit.to_json(), "label": unit.label, "metrics": {}, "provenance": {"finished": time.time()}}
    workspace.store.publish(staged, unit.artifact, manifest)
    named = {"name": "demo", "variant": "", "study": "demo"}
    record = {"catalogue": named, "name": "demo", "artifacts": [unit.artifact.ref], "tables": unit.artifact.ref}
    workspace.catalogues.remember("catalogue-demo-0", record)
    workspace.publish_catalogue("demo", unit.artifact)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(workspace.root))
    return tmp_path


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE, re.DOTALL)


def test_every_block_of_the_page_runs_by_itself(folder: Path) -> None:
    seen: dict[str, Any] = {}
    for block in blocks("python"):
        names: dict[str, Any] = {}
        exec(compile(block, "docs/catalogue.md", "exec"), names)
        seen |= names
    assert seen["main"].height == 24 and set(seen["one"]["feature_id"]) == {7}
    assert seen["card"].embedder == "fake" and seen["nearest"].height == 5
    assert seen["found"].explanations.height == 7 and seen["found"].tables["features"].height
    assert (folder / "older-tables" / "features.parquet").is_file() and (folder / "csv" / "features.csv").is_file()
    assert [path.name for path in (folder / "exports" / "gemma-3-4b-it").iterdir()] == ["17-study-res-20k"]


def test_the_examples_of_the_docstring_run(folder: Path) -> None:
    ended = doctest.testmod(saeflow.catalogue)
    assert ended.failed == 0 and ended.attempted > 4


def test_the_files_of_the_page_are_catalogues() -> None:
    starter, elsewhere, profiles = (yaml.safe_load(block) for block in blocks("yaml"))
    for fields in (starter, elsewhere, {**starter, **profiles}):
        assert CATALOGUE_FILES.parse(fields, "docs/catalogue.md").name == fields["name"]
    assert starter["study"] and elsewhere["examples_table"]


def test_the_page_names_every_public_name() -> None:
    code = "\n".join(blocks("python"))
    assert all(re.search(rf"\b{name}\b", code + PAGE) for name in saeflow.catalogue.__all__)
    assert "from core" not in code and "import core" not in code


def test_a_catalogue_that_was_not_made_is_told(folder: Path) -> None:
    with pytest.raises(saeflow.BadInput, match=r"catalogue 'demmo': was not made in .*; did you mean demo\?"):
        saeflow.catalogue.open("demmo")
