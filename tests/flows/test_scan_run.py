"""What becomes of a scan whose SAEs fail: the others are ranked, unless the scan is strict or none is left."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace

import pytest

from core.planning.scan_survey import ScanSurvey
from core.store.units import Unit
from core.store.workspace import Workspace
from flows.runtime.settings import Settings
from flows.scan_run import ScanRun
from flows.stages import StageFailed
from tasks.context import RunContext
from tests.core.planning.test_scan import SCAN, entry, plan, sources


class Failing(ScanRun):
    """A run in which the SAEs named in `broken` fail, and the others are made at once."""

    broken: tuple[str, ...] = ()

    def make(self, name: str, units: Sequence[Unit]) -> None:
        store = self.settings.workspace.store
        for unit in units:
            if unit.name not in self.broken:
                staged = store.staging(unit.artifact)
                store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": "s"})
        if self.broken:
            raise StageFailed(f"{name}: some failed")

    def remember(self) -> None:
        """Nothing is remembered here."""


@pytest.fixture
def start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Failing]:
    """Starts a run over two SAEs."""

    def started(broken: tuple[str, ...], **fields: object) -> Failing:
        scan, found = SCAN.model_copy(update=fields), sources(entry(3), entry(5))

        def seen(without: Mapping[str, str]) -> ScanSurvey:
            return ScanSurvey(scan, found, SimpleNamespace(units=()), plan(scan, found, dict(without)), without)  # type: ignore[arg-type]

        monkeypatch.setattr(ScanSurvey, "again", lambda self, workspace, without: seen(without))
        context = RunContext(workspace=str(tmp_path), study="s", data_base="", model_folder="")
        made = Failing(Settings(Workspace(tmp_path), "", ""), None, context, {}, seen({}))  # type: ignore[arg-type]
        made.broken = broken
        return made

    return started


def test_one_that_fails_is_left_out_and_named_with_its_log(start: Callable[..., Failing]) -> None:
    scan = start(("a5",))
    scan.encode()
    assert [unit.name for unit in scan.plan.encoded] == ["a3"]
    assert "encoding failed (log: " in scan.plan.report.recipe["left_out"]["a5"]


@pytest.mark.parametrize(("broken", "strict"), [(("a5",), True), (("a3", "a5"), False)])
def test_a_strict_scan_and_one_without_any_sae_end(
    start: Callable[..., Failing], broken: tuple[str, ...], strict: bool
) -> None:
    with pytest.raises(StageFailed):
        start(broken, strict=strict).encode()
