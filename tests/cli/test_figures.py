"""`saeflow figures` and `saeflow.open(…).figure(…)`, on a planted study with two analyses' figures and its report's."""

import json
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import altair as alt
import polars as pl
import pytest

import saeflow
from core.figures import Figure, write_figure
from core.store.artifacts import Artifact
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.flows.commands import saeflow_here
from tests.planted_studies import STUDY

SUMMARY = {"metrics": {}, "shown": {}, "notes": [], "estimates": []}


def drawn(caption: str) -> Figure:
    table = pl.DataFrame({"word": ["معلمة", "doctor"], "shift": [1.0, 2.0]})
    return Figure(alt.Chart(table).mark_bar().encode(y="word:N", x="shift:Q"), caption)


def publish(workspace: Workspace, step: str, figures: Sequence[str]) -> Artifact:
    unit = Unit(step, 1, "", {"study": STUDY})
    staged = workspace.store.staging(unit.artifact)
    (staged / "summary.json").write_text(json.dumps(SUMMARY))
    (staged / "report.html").write_text("<!doctype html>")
    for name in figures:
        write_figure(drawn(f"Figure {name} [nats]."), name, staged / "figures")
    workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": step, "study": "cats"})
    return unit.artifact


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """`cats`, finished, and `dogs`, whose report is missing."""
    workspace = Workspace(tmp_path_factory.mktemp("figures"))
    made = [publish(workspace, "ablation", ["effects", "curve"]), publish(workspace, "overview", ["emergence"])]
    report = publish(workspace, "report", ["study-fvu"])
    for name, ended in (("cats", report), ("dogs", Artifact("report", "0" * 32))):
        record = {"study": {**STUDY, "name": name}, "artifacts": [one.ref for one in made], "report": ended.ref}
        workspace.remember(f"{name}-{ended.fingerprint[:8]}", record)
    return workspace


ALL = ["ablation-curve", "ablation-effects", "overview-emergence", "study-fvu"]


def test_python_names_the_figures_and_saves_one(workspace: Workspace, tmp_path: Path) -> None:
    study = saeflow.open("cats", workspace=workspace.root)
    assert list(study.figures) == ALL
    figure = study.figure("ablation-effects")
    assert figure.caption == "Figure effects [nats]."
    root = ElementTree.parse(figure.save(tmp_path / "effects.svg")).getroot()
    assert root.tag == "{http://www.w3.org/2000/svg}svg" and not root.findall(".//{*}text")
    assert figure.save(str(tmp_path / "effects.pdf")).read_bytes().startswith(b"%PDF-")
    assert saeflow.open("dogs", workspace=workspace.root).figures == tuple(ALL[:3])


def test_the_command_lists_and_writes_them(workspace: Workspace, tmp_path: Path) -> None:
    listed = saeflow_here(workspace.root, "figures", "cats")
    assert listed.returncode == 0, listed.stderr
    assert all(name in listed.stdout for name in ALL) and "Figure effects [nats]." in listed.stdout
    written = saeflow_here(workspace.root, "figures", "cats", "--out", str(tmp_path / "new" / "here"))
    assert written.returncode == 0 and "4 figures as svg, pdf" in written.stdout, written.stderr
    found = sorted(path.name for path in (tmp_path / "new" / "here").iterdir())
    assert found == [f"{name}.{format_}" for name in ALL for format_ in ("pdf", "svg")]
    words = ("figures", "dogs", "ablation-curve", "--format", "SVG,json", "--out", str(tmp_path / "one"))
    assert saeflow_here(workspace.root, *words).returncode == 0
    assert sorted(path.name for path in (tmp_path / "one").iterdir()) == ["ablation-curve.json", "ablation-curve.svg"]


def test_help_tells_how(workspace: Workspace) -> None:
    told = saeflow_here(workspace.root, "figures", "--help").stdout
    assert "saeflow figures demo --out paper/figures" in told and "svg, pdf, png, html, json" in " ".join(told.split())


def test_what_cannot_be_written_is_told_in_one_line(workspace: Workspace, tmp_path: Path) -> None:
    taken, out = tmp_path / "taken", str(tmp_path / "out")
    taken.write_text("")
    for words, told in [
        (("cats", "--format", "eps"), "'eps' is no format of a figure; there are svg, pdf, png, html, json"),
        (("cats", "ablation-efects"), "no figure 'ablation-efects' is there (did you mean 'ablation-effects'?)"),
        (("dogs", "study-fvu"), "the study is unfinished: saeflow run dogs"),
        (("dogs",), "is unfinished, name the figures to write"),
        (("cts",), "did you mean cats?"),
        (("cats", "--out", str(taken)), "is a file; name a folder"),
    ]:
        result = saeflow_here(workspace.root, "figures", *words, *(() if "--out" in words else ("--out", out)))
        assert result.returncode == 1 and told in result.stderr, result.stderr
        assert result.stderr.count("\n") == 1, result.stderr
    assert not Path(out).exists()
