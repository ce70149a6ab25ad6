"""Two sides are joined on what they measured: by name, of a layer without its number, with their intervals."""

from dataclasses import replace
from pathlib import Path

import pytest

from core.errors import BadInput
from core.reading.comparison import Row, Side, Value, compare, open_side
from core.reading.made import AskedOf
from core.reading.records import open_by_name, records_of
from core.reading.verdicts import answered
from core.store.artifacts import Artifact
from core.store.workspace import Workspace
from tests.planted_studies import estimate, plant, plant_concepts


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return plant(tmp_path)


def rows(workspace: Workspace, left: str, right: str) -> dict[tuple[str, str], Row]:
    found = compare(open_side(workspace, left), open_side(workspace, right))
    return {(row.analysis, row.name): row for row in found.rows}


def test_a_name_is_the_study_and_a_title_folder_or_key_its_variant(workspace: Workspace) -> None:
    assert open_by_name(workspace, "cats").title == "cats"
    variant = open_by_name(workspace, "cats · sae.k=32")
    for asked in ("cats·sae.k=32", "cats+sae.k=32", variant.key):
        assert open_by_name(workspace, asked).key == variant.key
    assert open_by_name(workspace, "cats+layer=7").of_layer == 7
    assert len(records_of(workspace, "cats")) == 3 and len(records_of(workspace, "cats+sae.k=32")) == 1


def test_a_name_whose_study_has_not_run_is_its_latest_variant(workspace: Workspace) -> None:
    (workspace.studies / f"{open_by_name(workspace, 'cats').key}.json").unlink()
    assert open_by_name(workspace, "cats").title == "cats · sae.k=32"


def test_variants_differ_in_a_setting_and_share_estimates_by_name(workspace: Workspace) -> None:
    found = compare(open_side(workspace, "cats"), open_side(workspace, "cats+sae.k=32"))
    assert found.settings == {"sae.k": (8, 32)} and not found.same_settings_other_results
    shift = rows(workspace, "cats", "cats+sae.k=32")["ablation", "shift.en"]
    assert shift.left == Value(0.5, 0.4, 0.6, "found") and shift.right == Value(0.9, 0.8, 1.0, "found")
    assert shift.overlap is False and shift.unit == "nats" and shift.answers


def test_only_other_artefacts_are_other_results(workspace: Workspace) -> None:
    study = open_by_name(workspace, "cats")
    renamed = Artifact("report", "0")
    report = replace(study, report_artifact=renamed, artifacts=(*study.artifacts[:-1], renamed))
    assert not compare(Side(study), Side(report)).same_settings_other_results
    other = replace(study, artifacts=(*study.artifacts[:-1], Artifact("capture", "0"), study.artifacts[-1]))
    assert compare(Side(study), Side(other)).same_settings_other_results


def test_what_only_one_side_measured_stands_alone(workspace: Workspace) -> None:
    row = rows(workspace, "cats+sae.k=32", "cats")["overview", "onset.7.en"]
    assert row.left is None and row.right is not None and row.overlap is None


def test_the_saes_of_all_layers_are_compared_by_their_medians(workspace: Workspace) -> None:
    row = rows(workspace, "cats", "cats+sae.k=32")["sae", "held_out_fvu"]
    assert (row.left, row.right) == (Value(pytest.approx(0.35)), Value(pytest.approx(0.15)))
    assert "median of layers" in row.quantity


def test_two_layers_are_compared_by_their_own_estimates_and_saes(workspace: Workspace) -> None:
    found = rows(workspace, "cats:3", "cats:7")
    assert found["sae", "held_out_fvu"].left == Value(pytest.approx(0.33))
    assert found["ablation", "onset.layer.en"].right is None and found["overview", "onset.layer.en"].left is None
    own = found["ablation", "shift.en"]  # of the report of layer 7; the study's own is of another layer
    assert own.left is None and own.right == Value(0.7, pytest.approx(0.6), pytest.approx(0.8), "found")


def test_each_question_has_the_verdicts_of_both_sides(workspace: Workspace) -> None:
    found = compare(open_side(workspace, "cats"), open_side(workspace, "cats+sae.k=32"))
    told = {(one.analysis, one.language): (one.left, one.right, one.differs) for one in found.answers}
    assert told == {("ablation", "en"): ("found", "found", False), ("overview", "all"): ("found", None, False)}
    assert all(one.question.endswith("?") for one in found.answers)


def test_a_verdict_differs_where_the_strongest_of_a_language_does() -> None:
    weak = {"p": 0.2, "draws": 0}
    left = [
        estimate("a.en", 0.5, language="en"),
        estimate("b.en", 0.5, language="en", **weak),
        estimate("a.ar", 0, language="ar", p=0.9),
    ]
    right = [
        estimate("a.en", 0.5, language="en", **weak),
        estimate("a.ar", 0, language="ar", p=0.9),
        estimate("c", 1, answers=False),
    ]
    asked = AskedOf("ablation", "place")
    sides = ({(asked, one.name): one for one in side} for side in (left, right))
    found = {one.language: (one.left, one.right, one.differs) for one in answered(*sides, {asked: "?"})}
    assert found == {"en": ("found", "weak", True), "ar": ("not found", "not found", False)}


def test_results_of_different_concepts_are_not_joined(tmp_path: Path) -> None:
    workspace = plant_concepts(tmp_path)
    found = compare(open_side(workspace, "cats"), open_side(workspace, "homes"))
    rows = [row for row in found.rows if row.analysis == "ablation"]
    assert {(row.concept, row.left is None, row.right is None) for row in rows} == {
        ("gender", False, True),
        ("place", True, False),
        ("colour", True, False),
    }
    assert all(row.overlap is None for row in rows) and found.concepts == ("colour", "gender", "place")
    told = {one.concept: (one.question, one.left, one.right) for one in found.answers}
    assert told["place"] == ("What does ablation find of place?", None, "found")
    assert told["gender"] == ("What happens in ablation?", "found", None)


def test_one_concept_is_joined_whether_it_is_a_studys_first_or_second(tmp_path: Path) -> None:
    workspace = plant_concepts(tmp_path)
    found = compare(open_side(workspace, "homes"), open_side(workspace, "paints"))
    (colour,) = (row for row in found.rows if row.concept == "colour")
    assert colour.left == Value(0.9, 0.8, 1.0, "found") and colour.right and colour.right.value == 0.8
    assert [(one.concept, one.left, one.right) for one in found.answers if one.concept == "colour"] == [
        ("colour", "found", "found")
    ]
    assert all(one.question for one in found.answers)


def test_overlap_is_that_of_the_intervals() -> None:
    def overlap(*ends: float) -> bool | None:
        return Row("a", "n", "q", "", True, Value(0, *ends[:2]), Value(0, *ends[2:])).overlap

    assert overlap(0, 1, 1, 2) and overlap(1, 2, 0, 1) and overlap(0, 3, 1, 2) and overlap(1, 2, 0, 3)
    assert overlap(0, 1, 2, 3) is False and overlap(2, 3, 0, 1) is False


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ("cats:4", r"cats:4: layer 4 of cats is not there \(there are 3, 7\)"),
        ("cts", "did you mean cats"),
        ("cats+sae.k=33", "has not run in"),
    ],
)
def test_a_side_that_is_not_there_is_told(workspace: Workspace, asked: str, told: str) -> None:
    with pytest.raises(BadInput, match=told):
        open_side(workspace, asked)


def test_estimates_of_all_analyses_are_one_table(workspace: Workspace) -> None:
    study = open_by_name(workspace, "cats")
    table = study.estimates()
    assert table.columns[0] == "analysis" and table.columns[-1] == "artifact"
    assert table["analysis"].to_list() == ["ablation", "ablation", "overview"]
    row = table.row(0, named=True)
    assert (row["name"], row["value"], row["verdict"], row["table"]) == ("shift.en", 0.5, "found", "effects")
    (ref,) = set(table.filter(analysis="overview")["artifact"])
    assert ref.startswith("overview/") and ref in {artifact.ref for artifact in study.artifacts}


def test_a_study_without_results_has_an_empty_table_of_the_same_columns(workspace: Workspace) -> None:
    study = open_by_name(workspace, "cats")
    columns = study.estimates().columns
    for artifact in study.artifacts:
        if artifact.step in ("ablation", "overview"):
            workspace.store.set_aside(artifact)
    empty = open_by_name(workspace, "cats").estimates()
    assert empty.height == 0 and empty.columns == columns
