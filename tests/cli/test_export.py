"""`saeflow export`, and a study that takes its rows from what it wrote."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from safetensors.numpy import load_file

from core.store.artifacts import ArtifactStore
from tests.databases import CopyDatabases
from tests.flows.commands import latest_report, saeflow_here

pytestmark = pytest.mark.timeout(900)


def test_an_export_taken_as_a_studys_rows_gives_the_same_autoencoders(
    mini_workspace: Path, tmp_path: Path, prefect_server: str, copy_databases: CopyDatabases
) -> None:
    rows = tmp_path / "rows"
    exported = saeflow_here(mini_workspace, "export", "mini", "9,17", str(rows))
    assert exported.returncode == 0, exported.stderr
    assert "layers 9, 17: " in exported.stdout and str(rows) in exported.stdout
    assert {path.name for path in rows.iterdir()} == {"index.json", "layer_17.npy", "layer_9.npy", "tokens.parquet"}
    assert len(np.load(rows / "layer_9.npy")) == len(pl.read_parquet(rows / "tokens.parquet", glob=False))
    workspace = tmp_path / "workspace"
    copy_databases(workspace)
    words = ("--set", f"capture.precomputed={rows}", "--set", "capture.layers=[9, 17]")
    result = saeflow_here(workspace, "layer", "mini", "9", *words, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    steps = [artifact.step for artifact in ArtifactStore(workspace / "artifacts")]
    assert steps == ["extract_layer", "import_activations", "index_features", "prepare", "train_sae"]
    assert decoders(workspace) == {9: decoders(mini_workspace)[9]}


def test_a_study_whose_file_lies_elsewhere_is_known_by_its_name_once_it_has_run(
    mini_workspace: Path, tmp_path: Path
) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(mini_workspace / "artifacts", workspace / "artifacts", copy_function=os.link)
    (record,) = (json.loads(path.read_text()) for path in (mini_workspace / "studies").glob("mini-*.json"))
    record["study"]["name"] = "cats"
    (workspace / "studies").mkdir()
    (workspace / "studies" / "cats-0123abcd.json").write_text(json.dumps(record))
    exported = saeflow_here(workspace, "export", "cats", "9", str(tmp_path / "rows"))
    assert exported.returncode == 0 and "layer 9: " in exported.stdout, exported.stderr
    plan = saeflow_here(workspace, "plan", "cats", "--set", "sae.k=4")
    assert "cats · sae.k=4" in plan.stdout and "GPU-hours" not in plan.stdout
    missing = saeflow_here(workspace, "export", "cts", "9", str(tmp_path / "rows"))
    assert missing.returncode == 1 and "did you mean cats?" in missing.stderr


def decoders(workspace: Path) -> dict[int, bytes]:
    store = ArtifactStore(workspace / "artifacts")
    trained = [artifact for artifact in store if artifact.step == "train_sae"]
    return {
        store.manifest(artifact)["unit"]["recipe"]["layer"]: load_file(
            store.path(artifact) / "sae_weights.safetensors"
        )["W_dec"].tobytes()
        for artifact in trained
    }


def test_rows_by_somebody_else_need_no_more_than_their_samples(
    mini_workspace: Path, tmp_path: Path, prefect_server: str, copy_databases: CopyDatabases
) -> None:
    rows = tmp_path / "rows"
    rows.mkdir()
    samples = next(ArtifactStore(mini_workspace / "artifacts").root.glob("prepare/[!.]*/samples.parquet"))
    ids = [name for name in pl.read_parquet(samples, glob=False)["sample_id"].to_list() for _ in range(8)]
    generator = np.random.default_rng(0)
    for layer in (0, 9):
        np.save(rows / f"{layer}.npy", generator.normal(size=(len(ids), 64)).astype(np.float16))
    pl.DataFrame({"sample_id": ids}).write_parquet(rows / "tokens.parquet")
    (rows / "index.json").write_text(json.dumps({"layers": {"0": "0.npy", "9": "9.npy"}}))
    workspace = tmp_path / "workspace"
    copy_databases(workspace)
    words = ("--set", f"capture.precomputed={rows}", "--set", "capture.layers=all")
    result = saeflow_here(workspace, "run", "mini", *words, api=prefect_server)
    assert result.returncode == 0, result.stdout + result.stderr
    steps = [artifact.step for artifact in ArtifactStore(workspace / "artifacts")]
    assert steps.count("index_features") == 2 and {"interpretation", "evolution", "report"} <= set(steps)
    assert not {"capture", "overview", "ablation", "amplification", "qualitative"} & set(steps)
    report = (latest_report(workspace) / "report.html").read_text("utf-8")
    assert "capture.precomputed has only the rows" in report
    (manifest,) = (workspace / "artifacts" / "import_activations").glob("[!.]*/manifest.json")
    assert json.loads(manifest.read_text())["unit"]["recipe"]["content"] in report


def test_what_cannot_be_exported_is_told(mini_workspace: Path, tmp_path: Path) -> None:
    for words, told in [
        (("mini", "3", str(tmp_path / "x")), "layer 3 is not among the study's layers (0, 9, 17, 33)"),
        (("mini", "9-3", str(tmp_path / "x")), "the range '9-3' runs backwards"),
        (("mini", "9", str(mini_workspace)), "is there already; name a new folder, or an empty one"),
        (
            ("mini", "9", str(tmp_path / "x"), "--set", "capture.segments=[caption]"),
            "not made yet or damaged; `saeflow run mini`",
        ),
        (("mini", "9", str(tmp_path / "x"), "--set", "data.num_samples=16"), "nothing of the study is captured yet"),
    ]:
        result = saeflow_here(mini_workspace, "export", *words)
        assert result.returncode == 1 and told in " ".join(result.stderr.split()), result.stderr
        assert "Traceback" not in result.stderr
    assert not (tmp_path / "x").exists()
