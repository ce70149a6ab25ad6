"""Concepts of a study share what comes before them, and a study without any keeps every fingerprint."""

import json
from collections import Counter
from typing import Any

import polars as pl
import pytest

from core.data.known_concepts import LABEL_RULES, concept_of
from core.planning.one_layer import plan_layer
from tests.core.planning.test_graph import Plan, changed, plan

WORDS = {"garden": {"en": ["garden"], "ar": ["حديقة"]}, "forest": {"en": ["forest"], "ar": ["غابة"]}}
PLACE = {"name": "place", "column": "place", "positive": "garden", "negative": "forest", "words": WORDS}
COLOUR = {"name": "colour", "column": "colour", "positive": "red", "negative": "blue"}
GENDER = {"name": "gender"}
BEFORE = {"prepare", "capture", "extract_layer", "train_sae", "index_features", "describe_features"}


def asking(*concepts: dict[str, Any]) -> Plan:
    return plan(f"concepts={json.dumps(concepts)}")


def test_a_study_that_names_no_concept_has_the_recipes_of_before() -> None:
    found = plan()
    assert found.stage("rank_features")[0].recipe == {"layer": 0, "concept": "gender"}
    assert not [unit.label for unit in found.stage("analyse") if "concept" in unit.recipe]
    assert "concepts" not in found.report.recipe["study"] and "concepts" not in found.record()["study"]


def test_the_concept_that_is_built_in_is_the_same_where_it_is_named() -> None:
    assert changed(plan(), asking(GENDER)) == {"report"}
    named = {unit.artifact for unit in asking(GENDER, COLOUR)}
    assert {unit.artifact for unit in plan() if unit.step != "report"} <= named


def test_another_concept_shares_samples_rows_saes_and_index() -> None:
    assert not changed(plan(), asking(PLACE)) & BEFORE
    assert {"rank_features", "overview", "ablation", "report"} <= changed(plan(), asking(PLACE))


def test_several_concepts_have_one_capture_and_an_analysis_each() -> None:
    one, both = asking(PLACE), asking(PLACE, COLOUR)
    for stage in ("prepare", "capture", "extract_layer", "train_sae", "index_features", "describe_features"):
        assert [unit.artifact for unit in both.stage(stage)] == [unit.artifact for unit in one.stage(stage)]
    assert len(both.stage("rank_features")) == 2 * len(one.stage("rank_features"))
    steps = Counter(unit.step for unit in both.stage("analyse"))
    assert steps["overview"] == 2 and steps["ablation"] == 1  # colour has no words
    labels = [unit.label for unit in both.stage("analyse")]
    assert len(labels) == len(set(labels)) and {"overview[place]", "overview[colour]"} <= set(labels)
    assert {unit.artifact for unit in one.stage("analyse")} < {unit.artifact for unit in both.stage("analyse")}


def test_other_rules_for_labels_make_a_described_concept_s_results_again_and_no_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = asking(GENDER, PLACE)
    samples = pl.DataFrame({"place": ["garden", "forest"]})
    assert concept_of(before.stage("rank_features")[-1].recipe["concept"], samples).sides == ("garden", "forest")
    monkeypatch.setitem(LABEL_RULES, "label_rules", 0)
    after = asking(GENDER, PLACE)
    own = [
        {unit.artifact for unit in found.stage("analyse") if "concept" not in unit.recipe} for found in (before, after)
    ]
    assert own[0] == own[1] and own[0]
    described = [
        {unit.artifact for unit in found.stage("analyse") if "concept" in unit.recipe} for found in (before, after)
    ]
    assert described[0] and not described[0] & described[1]


def test_every_unit_of_a_concept_reads_the_features_that_it_ranks() -> None:
    both = asking(PLACE, COLOUR)
    ranked = {unit.artifact: unit.recipe["concept"]["name"] for unit in both.stage("rank_features")}
    for unit in both.stage("analyse"):
        assert {ranked[artifact] for artifact in unit.inputs["ranked"]} == {unit.recipe["concept"]["name"]}


@pytest.mark.parametrize("field", ["column", "positive", "words"])
def test_every_field_of_a_concept_decides_its_results(field: str) -> None:
    other = {"column": "mood", "positive": "beach", "words": {"garden": {}, "forest": {}}}
    own = {**PLACE, field: other[field], **({"words": {}} if field == "positive" else {})}
    assert {"rank_features", "overview"} <= changed(asking(PLACE), asking(own))


def test_what_needs_words_is_left_out_without_them_with_the_reason() -> None:
    assert "colour has no words" in asking(COLOUR).skipped["ablation"]
    uneven = {**PLACE, "words": {**WORDS, "garden": {"en": ["garden", "yard"]}}}
    assert "differ in length" in asking(uneven).skipped["amplification"]
    assert "ablation" not in asking(PLACE).skipped
    lens = plan(f"concepts={json.dumps([COLOUR])}", "analyses.logit_lens={}").skipped["logit_lens"]
    assert lens == "it reads the words that captions name colour by; list them in concepts.colour.words"
    assert asking(PLACE, COLOUR).skipped["ablation"].startswith("for colour: it compares a word with its counterpart")


def test_analyses_of_the_built_in_concept_alone_say_so() -> None:
    alone = "it is about gender alone, and the study asks about place"
    assert asking(PLACE).skipped["qualitative"] == alone
    assert asking(GENDER, PLACE).skipped["qualitative"] == f"for place: {alone}"


def test_the_report_of_one_layer_has_every_concept() -> None:
    found = plan_layer(asking(PLACE, COLOUR), 9)
    assert [unit.recipe["concept"]["name"] for unit in found.ranked] == ["place", "colour"]
    assert {unit.name for unit in found.analyses} == {"place", "colour"}
