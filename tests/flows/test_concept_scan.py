"""A concept scan over the mini study's SAEs: from sentences to the report, resumed, and with an SAE that is broken."""

import json
import os
import shlex
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import yaml
from mlflow import MlflowClient
from safetensors.numpy import load_file, save_file

from core.store.artifacts import Artifact, ArtifactStore
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow_here

pytestmark = pytest.mark.timeout(600)
SETTINGS = {
    "ranking": {"top": 40, "permutations": 200, "resamples": 50, "bootstrap": 200},
    "output": {"features": 2, "sentences": 6, "controls": 19, "bootstrap": 200},
    "shown": 4,
    "layers": [9, 17],
}
CHANGES = [word for name, value in SETTINGS.items() for word in ("--set", f"{name}={json.dumps(value)}")]


@pytest.fixture(scope="module")
def scanned(
    mini_workspace: Path,
    prefect_server: str,
    tmp_path_factory: pytest.TempPathFactory,
    copy_databases: CopyDatabases,
) -> Path:
    """A workspace in which aggression was scanned for in two layers of the mini study."""
    workspace = tmp_path_factory.mktemp("scanned") / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    ended = saeflow_here(workspace, "concept", "scan", "aggression", "--study", "mini", *CHANGES, api=prefect_server)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return workspace


def record_file(workspace: Path) -> Path:
    (path,) = (workspace / "scans").glob("concept-aggression*.json")
    return path


def record(workspace: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(record_file(workspace).read_text("utf-8"))
    return found


def folders(workspace: Path, step: str) -> list[Path]:
    store = ArtifactStore(workspace / "artifacts")
    return [store.path(artifact) for artifact in store if artifact.step == step]


def test_it_goes_from_sentences_to_a_report(scanned: Path) -> None:
    sentences = pl.read_parquet(folders(scanned, "read_sentences")[0] / "sentences.parquet", glob=False)
    assert len(folders(scanned, "encode_sae")) == 2
    (ranking,) = folders(scanned, "rank_concept")
    summary = json.loads((ranking / "summary.json").read_text("utf-8"))
    assert summary["saes"] == 2 and summary["features"] == 256
    assert sum(summary["sentences"].values()) == sentences.height
    report = scanned / "reports"
    (page,) = report.glob("concept-aggression*/report.html")
    text = page.read_text("utf-8")
    assert "Concept scan" in text and "What was found" in text and "mini/layer_17" in text
    assert (page.parent / "figures" / "layers.png").stat().st_size > 5000


def test_its_top_features_are_those_of_the_ranking(scanned: Path) -> None:
    told = saeflow_here(scanned, "concept", "top", "aggression", "--n", "3", "--json")
    rows = json.loads(told.stdout)["tables"]["top features"]
    (ranking,) = folders(scanned, "rank_concept")
    table = pl.read_parquet(ranking / "ranking.parquet", glob=False)
    best = table.sort(pl.col("spearman").abs(), descending=True, maintain_order=True).head(3)
    assert [(row["sae"], row["feature"]) for row in rows] == list(best.select("sae", "feature").iter_rows())
    assert all(row["auroc_3_0_held_out_low"] <= row["auroc_3_0_held_out"] for row in rows)


def test_output_scores_have_controls_and_an_interval(scanned: Path) -> None:
    (examined,) = folders(scanned, "examine_features")
    scores = pl.read_parquet(examined / "output_scores.parquet", glob=False)
    assert scores.height == 2
    for row in scores.iter_rows(named=True):
        assert row["low"] <= row["score"] <= row["high"]
        if row["draws"]:
            assert 0 < row["p"] <= row["q"] <= 1 and row["control_low"] <= row["control"] <= row["control_high"]
        else:
            assert row["p"] is row["q"] is row["control"] is None
    matches = pl.read_parquet(examined / "matches.parquet", glob=False)
    assert matches.is_empty()  # layers 9 and 17 are no neighbours


def test_mlflow_has_the_scan_with_its_numbers(scanned: Path) -> None:
    client = MlflowClient(f"sqlite:///{scanned / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("saeflow-concepts")
    (run,) = client.search_runs([experiment.experiment_id], "attributes.status = 'FINISHED'")
    assert run.data.tags["saeflow.concept"] == "aggression"
    assert run.data.metrics["saes"] == 2 and "feature.auroc_3_0" in run.data.metrics


def test_what_is_there_is_never_made_again(scanned: Path, prefect_server: str) -> None:
    words = ("concept", "scan", "aggression", "--study", "mini", *CHANGES)
    assert "everything is there already" in saeflow_here(scanned, *words).stdout
    encoded = folders(scanned, "encode_sae")
    finished = {path.name: (path / "manifest.json").stat().st_mtime_ns for path in encoded}
    lost, kept = encoded
    files = {path.name: path.read_bytes() for path in lost.glob("c*.npy")}
    shutil.rmtree(lost)
    ended = saeflow_here(scanned, *words, api=prefect_server)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert (kept / "manifest.json").stat().st_mtime_ns == finished[kept.name]
    assert (lost / "manifest.json").stat().st_mtime_ns != finished[lost.name]
    assert {path.name: path.read_bytes() for path in lost.glob("c*.npy")} == files


def test_a_scan_that_is_there_has_its_report_and_names_its_own_ranking(scanned: Path) -> None:
    (link,) = (scanned / "reports").glob("concept-aggression*")
    own, other = link.readlink(), (scanned / "reports" / "mini").readlink()
    link.unlink()
    link.symlink_to(other)  # as after a scan of other sentences
    told = saeflow_here(scanned, "concept", "scan", "aggression", "--study", "mini", *CHANGES).stdout
    assert link.readlink() == own
    key = record_file(scanned).stem
    assert f"saeflow concept top {shlex.quote(key)}" in " ".join(told.split())
    assert saeflow_here(scanned, "concept", "top", key).returncode == 0


def test_a_registry_of_a_model_that_is_not_here_asks_for_it(scanned: Path, registry: Path, tmp_path: Path) -> None:
    raw = yaml.safe_load(registry.read_text("utf-8")) | {"model": "gemma-2-2b"}
    (tmp_path / "lens.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    ended = saeflow_here(scanned, "concept", "scan", "aggression", "--registry", str(tmp_path / "lens.yaml"))
    assert ended.returncode == 1 and "name a folder, a hub name or package:NAME with --model" in ended.stderr


def test_a_wrong_table_is_told_before_anything_starts(scanned: Path, tmp_path: Path) -> None:
    (tmp_path / "calm.yaml").write_text("name: calm\ndescription: Calm.\nsentences: calm.csv\n", encoding="utf-8")
    (tmp_path / "calm.csv").write_text("sentence,concept_strength_label\nAll is calm.,4\n", encoding="utf-8")
    ended = saeflow_here(scanned, "concept", "scan", str(tmp_path / "calm.yaml"), "--study", "mini")
    assert ended.returncode == 1 and "starting" not in ended.stdout
    assert ended.stderr.startswith("error: calm.csv, row 1: concept_strength_label is '4'; write 0, 1, 2 or 3")


def test_gc_keeps_what_a_scan_needs_and_lists_it_once_the_scan_is_forgotten(scanned: Path) -> None:
    store, file = ArtifactStore(scanned / "artifacts"), record_file(scanned)
    needed = [Artifact.from_ref(ref) for ref in record(scanned)["artifacts"]]
    for artifact in needed:
        for path in (store.path(artifact), *store.path(artifact).rglob("*")):
            os.utime(path, (1, 1))  # what is young is kept whoever needs it
    assert not any(artifact.ref in saeflow_here(scanned, "gc").stdout for artifact in needed)
    kept = file.read_bytes()
    assert saeflow_here(scanned, "gc", "--forget", file.stem).returncode == 0
    told = saeflow_here(scanned, "gc").stdout
    file.write_bytes(kept)
    assert all(artifact.ref in told for artifact in needed)


def test_a_scan_is_listed_with_its_state_and_verified_by_its_key(scanned: Path) -> None:
    key, ranking = record_file(scanned).stem, folders(scanned, "rank_concept")[0]
    rows = json.loads(saeflow_here(scanned, "concept", "list", "--json").stdout)["tables"]["scans"]
    assert [(row["key"], row["state"]) for row in rows] == [(key, "complete")]
    told = saeflow_here(scanned, "status").stdout
    assert "concept scan aggression · study=mini" in told and "aggression+study=mini" in told and key in told
    count = len(record(scanned)["artifacts"])
    assert f"{count} artefacts equal their manifests" in saeflow_here(scanned, "verify", key).stdout
    table = ranking / "ranking.parquet"
    whole = table.read_bytes()
    table.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    told = saeflow_here(scanned, "verify", key)
    table.write_bytes(whole)
    assert told.returncode == 1 and f"{ranking.name}/ranking.parquet: content changed" in told.stderr


def test_a_record_that_is_no_scan_s_is_named(tmp_path: Path) -> None:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scans" / "odd.json").write_text('{"time": 1, "artifacts": []}', encoding="utf-8")
    for words in (("list",), ("top", "aggression")):
        told = saeflow_here(tmp_path, "concept", *words)
        assert told.returncode == 1 and "odd.json: damaged (no 'scan'); remove it" in " ".join(told.stderr.split())


def best(scanned: Path) -> tuple[str, str]:
    """The first feature of the ranking: its SAE's key and its number."""
    told = saeflow_here(scanned, "concept", "top", "aggression", "--n", "1", "--json")
    (row,) = json.loads(told.stdout)["tables"]["top features"]
    return row["sae"], str(row["feature"])


def test_a_feature_is_found_by_its_key_with_the_commands_that_go_on(scanned: Path) -> None:
    sae, feature = best(scanned)
    told = saeflow_here(scanned, "concept", "feature", "aggression", sae, feature, "--json")
    assert told.returncode == 0, told.stderr
    answer = json.loads(told.stdout)
    (ranking,) = folders(scanned, "rank_concept")
    top = pl.read_parquet(ranking / "top_features.parquet", glob=False).row(0, named=True)
    first = answer["tables"]["scores"][0]
    assert (first["selection"], first["q"]) == (top["spearman"], top["q_spearman"])
    assert answer["tables"]["scores"][1]["held_out"] == top["auroc_3_0_held_out"]
    assert answer["lines"][0].startswith("Rank 1 of ")
    shown = "goes with the label (" in answer["lines"][1]
    assert shown == (top["q_spearman"] <= 0.05)
    assert {row["label"] for row in answer["tables"]["examples, held-out"]} == {0, 1, 2, 3}
    (going_on,) = [line for line in answer["lines"] if "saeflow feature overview" in line]
    command = shlex.split(going_on.partition(":  saeflow ")[2])
    opened = saeflow_here(scanned, *command, "--json")
    assert opened.returncode == 0, opened.stderr
    assert f"feature {feature}" in json.loads(opened.stdout)["title"].lower()


def test_a_feature_that_is_not_tested_says_so(scanned: Path) -> None:
    (ranking,) = folders(scanned, "rank_concept")
    tested = pl.read_parquet(ranking / "ranking.parquet", glob=False).filter(sae="mini/layer_17")["feature"].to_list()
    silent = next(number for number in range(128) if number not in tested)
    told = saeflow_here(scanned, "concept", "feature", "aggression", "mini/layer_17", str(silent), "--json")
    answer = json.loads(told.stdout)
    assert answer["lines"][0].startswith("Not tested: ") and "scores" not in answer["tables"]


def test_a_feature_steers_and_at_dose_0_changes_nothing(scanned: Path) -> None:
    words = ("concept", "feature", "aggression", *best(scanned), "--prompt", "In the park, a", "--json", "--steer")
    found = {}
    for dose in ("0", "20"):
        told = saeflow_here(scanned, *words, dose)
        assert told.returncode == 0, told.stderr
        answer = json.loads(told.stdout)
        (found[dose],) = answer["tables"]["continuations"]
        assert "no effect follows" in answer["lines"][-1]
    assert found["0"]["clean"] == found["0"]["steered"] == found["20"]["clean"] != found["20"]["steered"]


@pytest.fixture(scope="module")
def registry(scanned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The mini study's SAEs as a file, that of layer 17 with NaN in its weights, which its headers do not tell."""
    folder = tmp_path_factory.mktemp("registry")
    written = saeflow_here(scanned, "concept", "registry", "--study", "mini", "--out", str(folder / "mini.yaml"))
    assert written.returncode == 0, written.stdout + written.stderr
    raw = yaml.safe_load((folder / "mini.yaml").read_text("utf-8"))
    (entry,) = [one for one in raw["entries"] if one["layer"] == 17]
    shutil.copytree(entry["path"], folder / "broken")
    weights = load_file(folder / "broken" / "sae_weights.safetensors")
    weights["W_enc"][0, 0] = np.nan
    save_file(weights, folder / "broken" / "sae_weights.safetensors")
    entry["path"] = str(folder / "broken")
    (folder / "mini.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return folder / "mini.yaml"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("scan", "agression", "--study", "mini"), "did you mean aggression?"),
        (("scan", "aggression"), "name the SAEs: --registry FILE, or --study NAME"),
        (("scan", "aggression", "--study", "mini", "--registry", "a"), "--registry, --study: name one of them"),
        (("scan", "aggression", "--study", "mnii"), "did you mean mini?"),
        (("scan", "aggression", "--study", "mini", "--set", "ranking.tp=3"), "did you mean 'top'?"),
        (("scan", "aggression", "--study", "mini", "--set", "layers=[99]"), "layers: layer 99 is out of range"),
        (("scan", "aggression", "--registry", "nowhere"), "registry: 'nowhere"),
        (("top", "bravery"), "was not scanned in"),
        (("feature", "bravery", "mini/layer_17", "3"), "was not scanned in"),
        (("feature", "aggression", "mini/layer_18", "3"), "did you mean mini/layer_17?"),
        (("feature", "aggression", "mini/layer_17", "128"), "has no feature 128; it has features 0-127"),
        (("feature", "aggression", "mini/layer_17", "3", "--steer", "1"), "--steer, --prompt: give both"),
        (("feature", "aggression", "mini/layer_17", "3", "--prompt", "A man"), "--steer, --prompt: give both"),
    ],
)
def test_what_cannot_be_scanned_is_told_in_a_line(scanned: Path, words: tuple[str, ...], told: str) -> None:
    ended = saeflow_here(scanned, "concept", *words)
    assert ended.returncode == 1
    assert told in " ".join(ended.stderr.split()) and "Traceback" not in ended.stderr


def test_a_broken_sae_fails_alone_and_is_named(scanned: Path, registry: Path, prefect_server: str) -> None:
    # The last one: from here on the latest scan of aggression is this.
    before = set(folders(scanned, "encode_sae"))
    words = ("concept", "scan", "aggression", "--registry", str(registry), *CHANGES)
    ended = saeflow_here(scanned, *words, api=prefect_server)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert set(folders(scanned, "encode_sae")) == before  # the other one was there
    text = max((scanned / "reports").glob("*mini.yaml*/report.md"), key=lambda path: path.stat().st_mtime).read_text()
    assert "## SAEs left out" in text and "mini/layer_17: encoding failed" in text
