from pathlib import Path

from core.store.artifacts import Artifact
from core.store.workspace import Workspace


def test_a_report_s_folder_that_was_copied_without_its_link_makes_way(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    artifact = Artifact("report", "0" * 20)
    made = workspace.store.path(artifact)
    made.mkdir(parents=True)
    (made / "report.html").write_text("new")
    copied = workspace.report("mine")
    copied.mkdir(parents=True)
    (copied / "report.html").write_text("old")
    for _ in range(2):
        assert workspace.publish_report("mine", artifact).read_text() == "new"
    (kept,) = copied.parent.glob("mine.copied-*")
    assert (kept / "report.html").read_text() == "old"
