"""`saeflow verify`: what is damaged, what was made from it, in whichever study."""

from pathlib import Path

import pytest

from cli.store import set_aside_damaged
from core.store.artifacts import Artifact, ArtifactStore
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.core.store.test_checked import flip
from tests.flows.commands import saeflow_here

SHARD = Unit("import_activations", 1, "", {"content": "rows"})
TABLE = Unit("extract_layer", 1, "3", {"layer": 3}, {"shards": (SHARD.artifact,)})
SAE = Unit("import_sae", 1, "3", {"content": "theirs"}, {"layer": (TABLE.artifact,)})
REPORTS = {name: Unit("report", 1, "", {"study": name}, {"sae": (SAE.artifact,)}) for name in ("one", "two")}
APART = Unit("report", 1, "", {"study": "apart"}, {"layer": (TABLE.artifact,)})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    workspace = Workspace(tmp_path / "workspace")
    for unit in (SHARD, TABLE, SAE, *REPORTS.values(), APART):
        staged = workspace.store.staging(unit.artifact)
        (staged / "file.bin").write_bytes(unit.label.encode() * 100)
        study = unit.recipe.get("study", "one")
        workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": study})
    for study, unit in {**REPORTS, "apart": APART}.items():
        link = workspace.report(study)
        link.parent.mkdir(exist_ok=True)
        link.symlink_to(workspace.store.path(unit.artifact))
    return workspace


def place(workspace: Workspace, artifact: Artifact) -> Path:
    return workspace.store.path(artifact) / "file.bin"


def test_what_was_made_from_a_damaged_artefact_is_listed_and_set_aside_with_it(workspace: Workspace) -> None:
    assert "6 artefacts equal" in saeflow_here(workspace.root, "verify").stdout
    flip(place(workspace, SAE.artifact), keep_time=True)
    told = saeflow_here(workspace.root, "verify")
    assert told.returncode == 1
    lines = [line for line in told.stderr.splitlines() if line.startswith("error: ")]
    assert lines[0] == f"error: {SAE.artifact.ref}/file.bin: content changed"
    made = {
        f"error: {unit.artifact.ref}: made from what is damaged (report of {name})" for name, unit in REPORTS.items()
    }
    assert made == set(lines[1:3])
    assert [line.split(":")[1].strip() for line in lines[3:]] == ["reports/one", "reports/two"]
    assert len(list(workspace.store)) == 6, "without --mend nothing is moved"
    repaired = saeflow_here(workspace.root, "verify", "--mend")
    assert "3 artefacts are set aside" in repaired.stdout and repaired.returncode == 1
    assert set(ArtifactStore(workspace.store.root)) == {SHARD.artifact, TABLE.artifact, APART.artifact}
    assert [link.name for link in sorted((workspace.root / "reports").iterdir())] == ["apart"]
    assert saeflow_here(workspace.root, "verify").returncode == 0


def test_what_a_run_has_recomputed_meanwhile_is_left(workspace: Workspace) -> None:
    flip(place(workspace, REPORTS["one"].artifact))
    assert set_aside_damaged(workspace.store, [SAE.artifact, REPORTS["one"].artifact]) == [REPORTS["one"].artifact]
    assert len(list(workspace.store)) == 5
