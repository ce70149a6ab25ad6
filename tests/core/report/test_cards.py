"""Cards and tables of the report: one card per feature, the gallery, and what of a table is shown."""

import re
from dataclasses import replace

import polars as pl
import pytest

from core.data.studied_concept import studied_concept
from core.report import ReportInputs, collect
from core.report.cards import feature_cards
from core.report.columns import table_view
from core.report.gallery import gallery_cards
from core.report.model import Gallery, Section, ShownTable
from core.report.page import render_page
from core.report.pictures import Pictures
from core.study.concept import StudiedConcept
from tests.core.report.sample_study import STUDY, SampleStudy


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    study = SampleStudy(tmp_path_factory.mktemp("study"))
    return collect(study.store, STUDY, study.inputs, study.skipped)


def test_a_card_says_what_the_feature_writes_and_what_it_does_beside_its_control(inputs: ReportInputs) -> None:
    promoted = {"direction": ["promoted", "suppressed"], "rank": [1, 1], "token": ["▁she", "▁he"]}
    effects = {"intervention": ["zero ablation"], "outcome": ["first-gendered"], "language": ["ar"]}
    numbers = {"effect": [1.461], "low": [1.07], "high": [1.88]}
    controls = {"control": [-0.0], "control_low": [-0.08], "control_high": [0.01]}
    interpreted = {"promoted": pl.DataFrame({"layer": 19, "feature": 311, **promoted})}
    ablated = {
        "features": pl.DataFrame({"layer": [19, 19], "feature": [311, 40]}),
        "effects": pl.DataFrame({"layer": 19, **effects, **numbers, **controls}),
    }
    named = {section.name: section for section in inputs.sections}
    sections = [replace(named["interpretation"], beside=interpreted), Section("ablation", "", beside=ablated)]
    cards = {card.key: card for card in feature_cards(sections, Pictures(None)).cards}
    card = cards["feature-19-311"]
    assert [(name, re.sub("<[^>]+>", "", words)) for name, words in card.words] == [
        ("Promotes", "she"),
        ("Suppresses", "he"),
    ]
    assert card.effects == (
        (
            "Taken out",
            "together with 40: Arabic: shift of the word toward the other side 1.46 [1.07, 1.88] nats "
            "(random features 0.00 [−0.08, 0.01])",
        ),
    )
    assert cards["feature-19-7"].effects == () and cards["feature-19-7"].words == ()


def test_with_several_concepts_a_card_says_of_which_and_words_once() -> None:
    key = {"layer": [3], "feature": [7]}
    shown = [{"token": "▁she", "value": 1.0}]
    examples = ShownTable("examples", "Examples", pl.DataFrame({**key, "rank": [1], "strip": [shown]}))
    words = pl.DataFrame({**key, "direction": ["promoted"], "rank": [1], "token": ["▁she"]})
    row = {"layer": [3], "intervention": ["zero ablation"], "outcome": ["first"], "language": ["en"], "effect": [0.5]}

    def sections(part: str, auroc: float) -> list[Section]:
        facts = ShownTable("features", "Features", pl.DataFrame({**key, "auroc": [auroc]}))
        told = {"part": part, "tables": (facts,), "examples": (examples,), "beside": {"promoted": words}}
        taken_out = {"features": pl.DataFrame(key), "effects": pl.DataFrame(row)}
        return [Section("interpretation", "", **told), Section("ablation", "", part=part, beside=taken_out)]

    (card,) = feature_cards([*sections("place", 0.9), *sections("colour", 0.6)], Pictures(None)).cards
    assert [heading for heading, _ in card.facts] == ["AUROC, place", "AUROC, colour"]
    assert [heading for heading, _ in card.effects] == ["Taken out, place", "Taken out, colour"]
    assert [heading for heading, _ in card.words] == ["Promotes"]
    (alone,) = feature_cards(sections("", 0.9), Pictures(None)).cards
    assert [heading for heading, _ in (*alone.facts, *alone.effects)] == ["AUROC", "Taken out"]


def test_labels_are_coloured_and_named_in_the_sections_own_concept(inputs: ReportInputs) -> None:
    asked = StudiedConcept(name="place", column="place", positive="kitchen", negative="garden")
    place = studied_concept(asked, pl.DataFrame({"place": ["kitchen", "garden"]}))
    table = pl.DataFrame({"place": ["kitchen", "garden"], "said": ["place_ar = kitchen", "x"], "value": [1, 2]})
    section = Section("overview", "", concept=place, tables=(ShownTable("t", "T", table, stored=False),))
    page = render_page(replace(inputs, sections=(section,), concepts=(place,)), {})
    assert f'background:{place.colours["kitchen"]}"></i>kitchen' in page and "place (Arabic) = kitchen" in page
    other = table_view(ShownTable("t", "T", table, stored=False), Pictures(None))
    assert "<i" not in other.rows[0][0], "a column of another concept is no label"


def test_a_value_stands_with_its_interval_and_the_rest_is_named_and_stored() -> None:
    numbers = {"auroc": [0.913, 0.884], "low": [0.80, 0.7], "high": [0.95, 0.9], "q": [0.02, 0.5]}
    more = {f"more_{place}": [0.5, 1.5] for place in range(9)}
    table = pl.DataFrame({"layer": [17, 17], "language": ["en", "ar"], **more, **numbers})
    view = table_view(ShownTable("tests", "Tests", table), Pictures(None))
    assert [re.sub("<[^>]+>", "", value) for _, value in view.same] == ["17"], "what holds for all rows is told once"
    assert len(view.columns) == 9 and view.columns[-1].name == "q" and view.folded == ("More 7", "More 8", "AUROC")
    whole = table_view(ShownTable("tests", "Tests", table, stored=False), Pictures(None))
    entries = [re.sub("<[^>]+>", "", value) for value in whole.rows[0]]
    assert "0.913 [0.800, 0.950]" in entries and whole.folded == () == whole.same


def test_a_p_that_its_draws_cannot_undercut_is_a_bound_in_tables_too() -> None:
    table = pl.DataFrame({"value": [0.5, 0.1], "p": [1 / 101, 0.02], "draws": [100, 100], "low": [9e-6, None]})
    view = table_view(ShownTable("tests", "Tests", table.with_columns(high=0.9), stored=False), Pictures(None))
    entries = [[re.sub("<[^>]+>", "", value) for value in row] for row in view.rows]
    assert [row[1] for row in entries] == ["≤ 0.0099", "0.020"]
    view = table_view(ShownTable("t", "T", table.select("value", "low", high=0.9), stored=False), Pictures(None))
    assert view.rows[0][0] == "<span>0.500 [9.0·10<sup>−6</sup>, 0.900]</span>"


def test_where_an_intervention_changes_nothing_one_line_says_so(inputs: ReportInputs) -> None:
    assert inputs.gallery is not None
    table = inputs.gallery.table.with_columns(ablated="clean", rule=pl.lit("failure"))
    card = gallery_cards(Gallery(table), Pictures(None))[0]
    assert [caption.kind for caption in card.spoken[0].captions] == ["reference", "clean", "amplified"]
    assert card.spoken[0].unchanged == "Ablated: the same words as clean"
    assert "away from the other side" in card.why
