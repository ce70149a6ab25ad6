"""One byte of an SAE's weights changes: what `plan`, `run` and `layer` make of it."""

from pathlib import Path

import pytest

from core.store.artifacts import ArtifactStore
from tests.core.store.test_checked import flip
from tests.databases import CopyDatabases, linked_copy
from tests.flows.commands import saeflow_here

pytestmark = pytest.mark.timeout(600)


def test_a_changed_byte_is_a_miss_for_plan_and_run_and_is_recomputed(
    mini_workspace: Path, tmp_path: Path, prefect_server: str, copy_databases: CopyDatabases
) -> None:
    workspace = tmp_path / "workspace"
    linked_copy(mini_workspace, workspace, copy_databases)
    store = ArtifactStore(workspace / "artifacts")
    sae = next(made for made in store if made.step == "train_sae" and store.manifest(made)["unit"]["name"] == "17")
    weights, was = store.path(sae) / "sae_weights.safetensors", store.manifest(sae)["files"]
    before = set(store)
    weights.write_bytes(_unlinked(weights))
    flip(weights)
    planned = saeflow_here(workspace, "plan", "mini")
    told = f"train_sae[17] is damaged; a run recomputes it: {sae.ref}/{weights.name}: content changed"
    assert told in planned.stderr
    (row,) = [line.split() for line in planned.stdout.splitlines() if line.startswith("train_sae")]
    assert row[1:4] == ["4", "3", "1"]
    made = saeflow_here(workspace, "layer", "mini", "17", api=prefect_server)
    assert made.returncode == 0, made.stdout + made.stderr
    assert store.manifest(sae)["files"] == was and store.verify(sae) == []
    assert set(store) == before, "what was made from the right bytes stays"
    assert "everything is there already" in saeflow_here(workspace, "run", "mini").stdout


def _unlinked(file: Path) -> bytes:
    """A file's bytes, when it is no longer the other workspace's too."""
    data = file.read_bytes()
    file.unlink()
    return data
