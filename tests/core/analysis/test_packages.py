"""Analyses of installed packages: what is refused, and with which words."""

import subprocess
import sys
from pathlib import Path

import pytest

from core.analysis.packages import GROUP, differences, registered
from core.analysis.registry import declared, planned
from core.entry_points import Registered
from core.errors import BadInput
from tests.packages import leave

GOOD = "POINT = Analysis(Config, 'mine.run:run', 'mine.run:figures', 1, 'Mine', 'What?')"
HEAD = "from core.analysis.declaration import Analysis\nfrom core.study.section import Section\n"
HEAD += "class Config(Section):\n    'Mine.'\n"


def install(site: Path, point: str, code: str = GOOD, package: str = "saeflow-mine", version: str = "1.0") -> None:
    """What pip leaves of a package of one analysis."""
    leave(site, GROUP, point, HEAD + code + "\n", package, version)


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    declared()  # this process has looked before the package is there
    monkeypatch.syspath_prepend(str(tmp_path))
    for name in ("saeflow_mine", "saeflow_other"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    return tmp_path


def found() -> dict[str, object]:
    return dict(declared.__wrapped__())


def test_an_installed_package_s_analysis_is_declared_with_its_name_and_version(site: Path) -> None:
    install(site, "mine")
    analysis = found()["mine"]
    assert analysis.distribution == ("saeflow-mine", "1.0")  # type: ignore[attr-defined]
    assert analysis.default() is None  # type: ignore[attr-defined]
    assert registered() == (("mine", "saeflow-mine", "1.0"),)
    assert "mine" not in declared()


@pytest.mark.parametrize(
    ("point", "code", "told"),
    [
        ("mine", "import nobody_has_this", "cannot be imported (ModuleNotFoundError: No module named 'nobody_has_this"),
        (
            "mine",
            "raise RuntimeError('first\\nsecond')",
            "cannot be imported (RuntimeError: first); correct or uninstall",
        ),
        ("mine", "OTHER = 1", "cannot be imported (AttributeError: "),
        ("mine", "POINT = 3", "saeflow_mine:POINT is a int; it must be a saeflow.Analysis"),
        ("mine", GOOD.replace("Config,", "dict,"), "config must be a subclass of saeflow.Section"),
        ("mine", GOOD.replace("mine.run:run", "mine.run"), "run is 'mine.run'; write it as 'module:function'"),
        ("Mine", GOOD, "an entry point's name must be lower-case letters, digits and _; rename it"),
        ("capture", GOOD, "'capture' is a name of saeflow's own; rename the entry point"),
        ("model_dump", GOOD, "'model_dump' is a name of saeflow's own; rename the entry point"),
    ],
)
def test_a_bad_package_is_told_in_one_line(site: Path, point: str, code: str, told: str) -> None:
    install(site, point, code)
    with pytest.raises(BadInput) as raised:
        found()
    line = str(raised.value)
    assert line.startswith(f"analysis {point} of saeflow-mine 1.0: ") and told in line and "\n" not in line


def test_a_name_that_is_taken_is_refused(site: Path) -> None:
    install(site, "ablation")
    with pytest.raises(
        BadInput, match=r"^analysis ablation: saeflow-mine registers a name that saeflow has; uninstall"
    ):
        found()


def test_two_packages_of_one_name_are_refused(site: Path) -> None:
    install(site, "mine")
    install(site, "mine", package="saeflow-other")
    with pytest.raises(BadInput, match=r"^analysis mine: saeflow-other registers a name that saeflow-mine has"):
        found()


def test_every_command_tells_of_a_bad_package_in_one_line(site: Path) -> None:
    install(site, "mine", "import nobody_has_this")
    for words in (["plan", "mini"], ["run", "mini"], ["serve"]):
        command = [sys.executable, "-m", "cli", "--workspace", str(site / "workspace"), *words]
        ended = subprocess.run(command, env={"PYTHONPATH": str(site)}, capture_output=True, text=True, timeout=60)
        assert ended.returncode == 1 and ended.stdout == ""
        (line,) = ended.stderr.splitlines()
        assert line.startswith("error: analysis mine of saeflow-mine 1.0: saeflow_mine:POINT cannot be imported")


def test_a_unit_is_made_by_the_package_that_it_was_planned_with(site: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    install(site, "mine")
    monkeypatch.setattr("core.analysis.registry.declared", found)
    assert planned("mine", ["saeflow-mine", "1.0"]).name == "mine"
    assert planned("ablation", None).distribution is None
    wrong = {
        f"planned with saeflow-mine 2.0, and {sys.prefix} has saeflow-mine 1.0; install saeflow-mine 2.0 there": "mine",
        f"planned with saeflow-gone 1.0, and {sys.prefix} lacks it; install saeflow-gone 1.0 there": "gone",
        f"planned with saeflow-mine 1.0, and {sys.prefix} has saeflow itself; install saeflow-mine 1.0": "ablation",
    }
    for told, name in wrong.items():
        with pytest.raises(BadInput, match=f"^analysis {name}: {told}"):
            planned(name, told.partition(",")[0].split()[2:])


def test_what_another_machine_lacks_or_has_otherwise_is_named() -> None:
    here = [Registered("a", "pkg-a", "1"), Registered("b", "pkg-b", "2"), Registered("c", "pkg-c", "3")]
    there = [Registered("a", "pkg-a", "1"), Registered("b", "pkg-b", "1"), Registered("d", "pkg-d", "4")]
    assert differences(here, there) == ["b of pkg-b 2 is pkg-b 1 there", "c of pkg-c 3 is not installed there"]
    assert differences(here, here) == [] == differences([], there)
