"""`saeflow compare`, `status` and `verify` on studies that no file describes: they are known by what ran here."""

import json
from pathlib import Path

import pytest

from cli.compare import compare_
from cli.look import status
from cli.store import verify
from cli.terminal import console
from core.errors import BadInput
from core.reading.records import open_by_name
from core.reading.study import OpenedStudy
from core.store.workspace import Workspace
from tests.planted_studies import estimate, plant, plant_concepts


@pytest.fixture
def workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Workspace:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(tmp_path))
    for name in ("PREFECT_API_URL", "SAEFLOW_MLFLOW_URL", "SAEFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(console, "width", 200)
    return plant(tmp_path)


def test_settings_and_estimates_stand_side_by_side(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    compare_("cats", "cats·sae.k=32", every=False, as_json=False)
    told = capsys.readouterr().out
    lines = [line.split() for line in told.splitlines()]
    assert ["sae.k", "8", "32"] in lines
    assert "0.5 [0.4, 0.6] found" in told and "0.9 [0.8, 1] found" in told and "apart" in told
    assert "onset.3.en" not in told and "1 further estimates: --all" in told
    assert "make serve" in told and "compare-runs" not in told  # no server answers
    compare_("cats", "cats+sae.k=32", every=True, as_json=False)
    assert "onset.3.en" in capsys.readouterr().out


def test_json_holds_the_same(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    compare_("cats", "cats+sae.k=32", every=False, as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert told["right"] == {
        "title": "cats · sae.k=32",
        "key": open_by_name(workspace, "cats+sae.k=32").key,
        "layer": None,
    }
    assert told["settings"] == {"sae.k": {"left": 8, "right": 32}} and told["mlflow"] is None
    shift = next(row for row in told["estimates"] if row["name"] == "shift.en")
    assert shift["left"]["value"] == 0.5 and shift["right"]["high"] == 1.0 and shift["intervals_overlap"] is False


def test_verdicts_that_differ_are_told_by_question_in_words_and_json(
    workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    compare_("cats", "cats+sae.k=32", every=False, as_json=False)
    told = capsys.readouterr().out
    assert "Verdicts agree on 1 of 1 answers that both sides have." in told and "differ" not in told.lower()
    assert "On one side alone: 1 answer." in told
    weak = estimate("shift.en", 0.9, language="en", p=0.2)
    clean = OpenedStudy.found
    monkeypatch.setattr(
        OpenedStudy, "found", lambda study: {"ablation": (weak,)} if "k=32" in study.title else clean(study)
    )
    compare_("cats", "cats+sae.k=32", every=False, as_json=False)
    told = capsys.readouterr().out
    assert "Verdicts differ  ablation (English): found in A, weak in B: What happens" in told
    assert "agree on 0 of 1" in told
    compare_("cats", "cats+sae.k=32", every=False, as_json=True)
    rows = {(row["analysis"], row["language"]): row for row in json.loads(capsys.readouterr().out)["verdicts"]}
    ablation, overview = rows["ablation", "en"], rows["overview", "all"]
    assert (ablation["left"], ablation["right"], ablation["differs"]) == ("found", "weak", True)
    assert (overview["right"], overview["differs"]) == (None, False)


def test_the_same_study_twice_says_that_nothing_differs(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    compare_("cats:3", "cats:7", every=False, as_json=False)
    told = capsys.readouterr().out
    assert "No setting differs." in told and "cats · layer 7" in told


def test_mlflow_s_comparison_is_linked_where_its_server_answers(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("SAEFLOW_MLFLOW_URL", "http://127.0.0.1:5099")
    monkeypatch.setattr("cli.addresses.healthy", lambda url: url == "http://127.0.0.1:5099/health")
    compare_("cats", "cats+sae.k=32", every=False, as_json=True)
    runs = [open_by_name(workspace, name).mlflow[-6:] for name in ("cats", "cats+sae.k=32")]
    link = json.loads(capsys.readouterr().out)["mlflow"]
    pages, asked = "http://127.0.0.1:5099/#/compare-runs?workflowType=machine_learning", "%22%2C%20%22".join(runs)
    assert link == f"{pages}&runs=%5B%22{asked}%22%5D&experiments=%5B%221%22%5D"


def test_status_lists_variants_by_title_and_only_those_that_are_asked(
    workspace: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    status(None, limit=10)
    told = capsys.readouterr().out
    for title in ("cats", "cats · sae.k=32", "cats · layer 7"):
        assert f"{title}  {open_by_name(workspace, title).key}" in told
    assert "MLflow  http" not in told and "Prefect  http" not in told  # no server answers
    status("cats+sae.k=32", limit=10)
    told = capsys.readouterr().out
    assert "cats · sae.k=32" in told and "layer 7" not in told
    with pytest.raises(BadInput, match="did you mean cats"):
        status("cat", limit=10)


def test_verify_reads_the_artefacts_of_one_study(workspace: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    variant = open_by_name(workspace, "cats+sae.k=32")
    verify("cats+sae.k=32", mend=False)
    assert f"{len(variant.artifacts)} artefacts equal" in capsys.readouterr().out
    own = open_by_name(workspace, "cats").report
    own.write_text("<!doctype htmx>", encoding="utf-8")
    verify("cats+sae.k=32", mend=False)
    with pytest.raises(SystemExit):
        verify("cats", mend=False)
    with pytest.raises(BadInput, match="has not run in"):
        verify("dogs", mend=False)


def test_of_several_concepts_each_row_and_verdict_names_its_own(
    tmp_path: Path, workspace: Workspace, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAEFLOW_WORKSPACE", str(tmp_path / "concepts"))
    plant_concepts(tmp_path / "concepts")
    compare_("homes", "paints", every=False, as_json=False)
    told = capsys.readouterr().out
    assert "ablation shift.en of place" in told and "ablation shift.en of colour" in told
    compare_("paints", "paints", every=False, as_json=False)
    assert "of colour" not in capsys.readouterr().out
