"""`saeflow store`, as a user types it."""

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.features.converting import convert_store
from core.features.open_store import open_store
from core.store.artifacts import Artifact
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.core.features.older_batches import planted, write_batches
from tests.flows.commands import saeflow_here

DENSE = planted()


@pytest.fixture
def columns(tmp_path: Path) -> Path:
    """An index of the planted activations."""
    convert_store(open_store(write_batches(tmp_path / "old", DENSE)), tmp_path / "columns", "csc")
    return tmp_path / "columns"


def study_of(columns: Path, root: Path) -> Artifact:
    """A workspace in which `cats` has run, of which layer 17's index is left; gives its SAE."""
    workspace = Workspace(root)
    sae, report = Unit("train_sae", 1, "17", {"layer": 17}), Unit("report", 1, "", {})
    inputs = {"shards": (), "layer": (sae.artifact,), "sae": (sae.artifact,)}
    index = Unit("index_features", 1, "17", {"layer": 17}, inputs)
    described = Unit("describe_features", 1, "17", {"layer": 17})
    for unit in (sae, index, described):
        staged = workspace.store.staging(unit.artifact)
        if unit is index:
            shutil.copytree(columns, staged, dirs_exist_ok=True)
            (staged / "store.json").unlink()
        if unit is described:
            pl.DataFrame({"token_id": [7]}).write_parquet(staged / "idf.parquet")
        workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": "cats"})
    refs = [unit.artifact.ref for unit in (sae, index, described)]
    workspace.remember("cats-1", {"study": {"name": "cats"}, "artifacts": refs, "report": report.artifact.ref})
    return sae.artifact


def test_older_batches_are_converted_and_what_came_of_it_is_told(tmp_path: Path) -> None:
    write_batches(tmp_path / "old", DENSE)
    new = tmp_path / "new"
    ended = saeflow_here(tmp_path, "store", "convert", str(tmp_path / "old"), str(new), "--to", "zarr")
    assert ended.returncode == 0, ended.stderr
    first, note, size, fix = filter(None, ended.stdout.splitlines())
    assert first == f"✓ batch-scan → zarr: {new}"
    assert note.startswith("  global_index is not the row's number from row 16 on (3 rows)")
    assert size.startswith("  6 features over 19 rows, ") and fix == f"  read it: saeflow.open_store({str(new)!r})"
    rows, values = open_store(new).activations(1)
    np.testing.assert_array_equal(values, DENSE[rows, 1])


def test_a_layer_of_a_study_is_converted_and_its_sae_noted(tmp_path: Path, columns: Path) -> None:
    sae = study_of(columns, tmp_path / "workspace")
    words = ("store", "convert", "cats", str(tmp_path / "files"), "--to", "sparse-files", "--layer", "17")
    ended = saeflow_here(tmp_path / "workspace", *words)
    assert ended.returncode == 0, ended.stderr
    card = json.loads((tmp_path / "files" / "store.json").read_text())
    assert card == {"features": 6, "rows": 19, "origin": {"study": "cats", "layer": "17", "sae": sae.ref}}
    assert open_store(tmp_path / "files").activations(4)[0].tolist() == list(range(19))
    assert pl.read_parquet(tmp_path / "files" / "idf.parquet")["token_id"].to_list() == [7]


def test_a_damaged_faster_layout_is_warned_of(tmp_path: Path, columns: Path) -> None:
    shutil.copytree(tmp_path / "old", columns, dirs_exist_ok=True)
    (columns / "csc_values.npy").write_bytes(b"\x93NUMPY")
    ended = saeflow_here(tmp_path, "store", "convert", str(columns), str(tmp_path / "new"), "--to", "csc")
    assert ended.returncode == 0 and f"warning: {columns}: cannot be read" in ended.stderr
    assert open_store(tmp_path / "new").activations(4)[0].tolist() == list(range(19))


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("none", "new", "--to", "csc"), "error: none: no such folder; a study's name needs --layer beside it"),
        (("cats", "new", "--to", "csc", "--layer", "3"), "error: study cats-1: layer 3 is not there (there are 17); "),
        (("dogs", "new", "--to", "csc", "--layer", "3"), "error: study 'dogs': has not run in "),
        (("columns", "old", "--to", "zarr"), "error: {}/old: is there already; name a new folder, or an empty one"),
        (
            ("columns", "new", "--to", "zarr", "--backend", "zarr"),
            "error: open_store: nothing of back end 'zarr' is there",
        ),
    ],
)
def test_what_is_wrong_is_one_line(
    tmp_path: Path, columns: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], line: str
) -> None:
    study_of(columns, tmp_path / "workspace")
    monkeypatch.chdir(tmp_path)
    ended = saeflow_here(tmp_path / "workspace", "store", "convert", *words)
    assert ended.returncode == 1 and not (tmp_path / "new").exists()
    (told,) = ended.stderr.splitlines()
    assert told.startswith(line.format(tmp_path))


def test_help_names_every_layout() -> None:
    told = saeflow_here("none", "store", "convert", "--help").stdout
    assert all(word in told for word in ("csc", "zarr", "sparse-files", "batch_0000.zarr", "--layer"))


def test_statistics_are_computed_and_what_became_of_each_table_is_told(tmp_path: Path, columns: Path) -> None:
    ended = saeflow_here(tmp_path, "store", "precompute", str(columns))
    assert ended.returncode == 0, ended.stderr
    lines = list(filter(None, ended.stdout.splitlines()))
    assert lines[:2] == ["  features.parquet: 6 rows", "  histograms.parquet: 6 rows"]
    assert lines[-1] == "  influences.parquet: left out: needs --sae and --model"
    assert open_store(columns).statistics is not None


def test_what_is_wrong_with_weights_is_one_line(tmp_path: Path, columns: Path) -> None:
    for words, line in (
        (("--model", "none"), "error: --model: needs --sae beside it"),
        (("--sae", str(tmp_path / "none")), f"error: {tmp_path / 'none'}"),
    ):
        ended = saeflow_here(tmp_path, "store", "precompute", str(columns), *words)
        assert ended.returncode == 1 and ended.stderr.startswith(line) and len(ended.stderr.splitlines()) == 1
    ended = saeflow_here(tmp_path, "store", "precompute", str(tmp_path / "old"))
    assert ended.stderr.startswith("error: open_store: nothing of back end 'csc' is there; there is batch-scan in ")
