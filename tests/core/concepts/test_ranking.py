"""The ranking as a whole: planted features are found, and labels that say nothing lead to no claim."""

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from core.concepts.beside import BASELINES, COMPARISONS, FEATURE, Beside
from core.concepts.chosen import TOP_FEATURES
from core.concepts.full_sentences import HELD_OUT, SELECTION, FullSentences
from core.concepts.permuted import NULLS, PERMUTATION
from core.concepts.ranking import ConceptRanking, rank_concept
from core.concepts.scores import RANKING, score_features
from core.errors import BadInput
from core.report.sentences import sentence
from core.stats.estimate import Estimate, as_table
from core.study.concept_scan import RankingSettings
from tests.core.concepts.planted_sentences import FALLS, RISES, labelled, scan

QUICK = RankingSettings(top=40, permutations=300, resamples=20, bootstrap=200)
SCHEMAS = {
    "ranking": RANKING,
    "top_features": TOP_FEATURES,
    "baselines": BASELINES,
    "comparisons": COMPARISONS,
    "permutation": PERMUTATION,
}


@pytest.fixture(scope="module")
def planted() -> ConceptRanking:
    return rank_concept(*scan(0, planted=True), QUICK)


def by_name(found: ConceptRanking) -> dict[str, Estimate]:
    return {one.name: one for one in found.estimates}


def test_tables_have_their_schemas_and_the_summary_is_json(planted: ConceptRanking) -> None:
    assert {name: table.schema for name, table in planted.tables.items()} == SCHEMAS
    summary = json.loads(json.dumps(planted.summary))
    assert summary["features"] == 900
    assert summary["silent"] + summary["rare"] + summary["tested"] == 900
    assert summary["tests_in_family"] == 3 * planted.tables["ranking"].height
    assert summary["sentences"] == summary["families"] == {"selection": 80, "held_out": 80}


def test_planted_features_are_the_first_two(planted: ConceptRanking) -> None:
    top = planted.tables["top_features"]
    assert top.height == 40 and top["rank"].to_list() == list(range(1, 41))
    assert top["sae"][:2].to_list() == ["sae 1", "sae 1"]
    assert set(top["feature"][:2]) == {RISES, FALLS}
    first = {row["feature"]: row for row in top.head(2).iter_rows(named=True)}
    assert first[RISES]["auroc_3_0_held_out_low"] > 0.9
    assert first[FALLS]["auroc_3_0_held_out_high"] < 0.1
    assert (top["q_spearman"][:2] < 1e-4).all() and (top["q_spearman"][2:] > 0.05).all()
    assert top["p_best"][:2].to_list() == pytest.approx([1 / 301] * 2)
    assert (top["stability"][:2] == 1).all()
    assert first[RISES]["kendall"] > 0.6 and first[FALLS]["kendall"] < -0.6
    assert first[RISES]["isotonic_r2"] > 0.6 and abs(first[RISES]["partial_spearman"]) > 0.7


def test_the_planted_feature_is_found_and_the_sentences_say_so(planted: ConceptRanking) -> None:
    estimates = by_name(planted)
    for name in (
        "feature.auroc_3_0",
        "feature.auroc_23_01",
        "best.spearman",
        "feature_less_random_dictionary.auroc_3_0",
    ):
        assert estimates[name].verdict == "found", name
    assert "feature 7 of sae 1" in sentence(estimates["feature.auroc_3_0"])
    assert estimates["discoveries"].verdict == "not tested"
    assert len({one.family for one in planted.estimates if one.q is not None}) == 1


def test_every_estimate_stands_in_its_table(planted: ConceptRanking) -> None:
    for one in planted.estimates:
        if one.name == "discoveries":
            continue
        row = planted.tables[one.source.table].filter(**one.source.key)
        assert row.height == 1, one.name
        assert row[one.source.column][0] == one.value
    assert as_table(planted.estimates).height == len(planted.estimates)


def test_baselines_stand_beside_the_feature_with_one_chosen_setting_each(planted: ConceptRanking) -> None:
    baselines = planted.tables["baselines"]
    methods = [FEATURE, "random dictionary", "difference of means", "bag of words", "length"]
    for (_,), part in baselines.group_by("measure"):
        assert part.filter("chosen")["method"].to_list() == methods
        assert part.filter(method="difference of means")["layer"].to_list() == [2, 5]
        assert part.filter("chosen", method="difference of means")["layer"].to_list() == [2]
        assert (part["low"] <= part["auroc"]).all() and (part["auroc"] <= part["high"]).all()
    assert planted.tables["comparisons"]["method"].to_list() == methods[1:] * 2


def test_a_feature_that_falls_is_scored_in_its_direction() -> None:
    sentences, beside = scan(0, planted=True)
    without = sentences.active.tolil()
    without[:, 300 + RISES] = 0
    found = rank_concept(replace(sentences, active=without.tocsc()), beside, QUICK)
    one = by_name(found)["feature.auroc_3_0"]
    assert f"feature {FALLS} of" in one.chosen and one.value > 0.9 and one.verdict == "found"


def test_the_null_of_the_best_has_its_quantiles(planted: ConceptRanking) -> None:
    table = planted.tables["permutation"]
    assert table["measure"].to_list() == ["spearman", "auroc_3_0", "auroc_23_01"]
    assert (table["p"] <= 1 / 301 + 1e-12).all() and (table["draws"] == 300).all()
    quantiles = table.select(NULLS).to_numpy()
    assert (np.diff(quantiles, axis=1) >= 0).all()
    assert (quantiles[:, -1] < table["distance"].to_numpy()).all()


def test_labels_that_say_nothing_lead_to_no_claim() -> None:
    settings = RankingSettings(top=5, permutations=400, resamples=2, bootstrap=100)
    claims, discoveries = 0, 0
    for seed in range(16):
        size = 1 + 2 * (seed % 2)  # every second scan has families of three copies
        sentences, beside = scan(seed, size=size, count=80 * size)
        found = rank_concept(sentences, replace(beside, streams={2: beside.streams[2]}), settings)
        claims += any(one.verdict == "found" for one in found.estimates)
        discoveries += any(found.summary["discoveries"].values())
    assert claims <= 2 and discoveries <= 2


def test_without_a_random_dictionary_and_streams_the_others_remain() -> None:
    sentences, beside = scan(1)
    found = rank_concept(sentences, Beside(beside.texts, {}, None), QUICK)
    assert set(found.tables["baselines"]["method"]) == {FEATURE, "bag of words", "length"}


def test_ranking_by_an_auroc_and_the_same_seed_give_the_same_tables() -> None:
    sentences, beside = scan(2, planted=True)
    settings = QUICK.model_copy(update={"by": "auroc_23_01"})
    first, second = (rank_concept(sentences, beside, settings) for _ in range(2))
    distance = (first.tables["top_features"]["auroc_23_01"] - 0.5).abs().to_numpy()
    assert (np.diff(distance) < 1e-12).all()
    assert all(first.tables[name].equals(second.tables[name]) for name in SCHEMAS)
    assert by_name(first)["feature.auroc_3_0"].chosen.count("AUROC furthest from ½")


def test_the_ranking_does_not_depend_on_held_out_labels(planted: ConceptRanking) -> None:
    sentences, beside = scan(0, planted=True)
    labels = np.where(sentences.is_held_out, 3 - sentences.labels, sentences.labels)
    turned = rank_concept(replace(sentences, labels=labels), beside, QUICK)
    assert turned.tables["ranking"].equals(planted.tables["ranking"])
    assert turned.tables["permutation"].equals(planted.tables["permutation"])
    assert by_name(turned)["feature.auroc_3_0"].value < 0.1
    assert by_name(turned)["feature.auroc_3_0"].verdict == "not found"


def changed(sentences: FullSentences, name: str, value: int | str, where: np.ndarray) -> FullSentences:
    column = getattr(sentences, name).copy()
    column[where] = value
    return replace(sentences, **{name: column})


def first_of_each_split(sentences: FullSentences) -> list[int]:
    return [int(np.argmax(sentences.split == name)) for name in (SELECTION, HELD_OUT)]


@pytest.mark.parametrize(
    "name, value, where, message",
    [
        ("labels", 4, lambda s: [0], "concept_strength_label: 4 is none of 0, 1, 2, 3"),
        ("labels", 1, lambda s: s.is_held_out & (s.labels == 2), "no held-out sentence has 2"),
        ("split", "test", lambda s: [0], "split: 'test' is neither"),
        ("families", -1, first_of_each_split, "family: -1 is in both splits"),
        ("families", 999, lambda s: s.split == SELECTION, "all selection sentences are of one family"),
    ],
)
def test_what_cannot_be_ranked_is_refused_in_one_line(name: str, value: object, where, message: str) -> None:
    sentences, beside = scan(0)
    with pytest.raises(BadInput, match=message) as raised:
        rank_concept(changed(sentences, name, value, where(sentences)), beside, QUICK)
    assert "\n" not in str(raised.value)


def test_no_feature_that_fires_often_enough_is_refused() -> None:
    sentences, beside = scan(0)
    with pytest.raises(BadInput, match="min_support: no feature fires on 81 selection sentences"):
        rank_concept(sentences, beside, QUICK.model_copy(update={"min_support": 81}))


def test_activations_by_row_are_read_as_those_by_column() -> None:
    sentences, _ = scan(0, planted=True)
    by_row = replace(sentences, active=sentences.active.tocsr())
    assert by_row.active.format == "csc"
    tables = [score_features(part.selection, 5).table() for part in (sentences, by_row)]
    assert tables[0].equals(tables[1])


def test_shapes_that_do_not_match_are_refused() -> None:
    one = labelled(np.ones((8, 2)), np.arange(8) % 4)
    with pytest.raises(ValueError, match="8 × 2 activations"):
        replace(one, labels=np.arange(7) % 4)


def test_features_keep_their_names_when_columns_are_left_out() -> None:
    sentences, _ = scan(0)
    table = score_features(sentences.selection, 5).table()
    for row in table.sample(20, seed=0).iter_rows(named=True):
        column = 300 * int(row["sae"].removeprefix("sae ")) + row["feature"]
        own = sentences.selection.active[:, [column]].toarray()[:, 0]
        assert row["support"] == np.count_nonzero(own)
        assert row["mean_3"] == pytest.approx(own[sentences.selection.labels == 3].mean())
    assert isinstance(table, pl.DataFrame)
