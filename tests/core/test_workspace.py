from pathlib import Path
from types import SimpleNamespace
from typing import Any

from core.artifacts import Artifact
from core.workspace import Workspace


def test_a_report_s_folder_that_was_copied_without_its_link_makes_way(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    artifact = Artifact("report", "0" * 20)
    made = workspace.store.path(artifact)
    made.mkdir(parents=True)
    (made / "report.html").write_text("new")
    copied = workspace.report("mine")
    copied.mkdir(parents=True)
    (copied / "report.html").write_text("old")
    # All that is read of a plan here.
    plan: Any = SimpleNamespace(study=SimpleNamespace(name="mine"), report=SimpleNamespace(artifact=artifact))
    for _ in range(2):
        assert workspace.publish_report(plan).read_text() == "new"
    (kept,) = copied.parent.glob("mine.copied-*")
    assert (kept / "report.html").read_text() == "old"
