"""Persistence is compared with rate-matched features, on rows of test images, against permuted rows."""

from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.evolution import Config
from core.analysis.evolution.figures import figures
from core.analysis.evolution.findings import findings, summary_table
from core.analysis.evolution.lifetimes import flow_table, survival
from core.analysis.evolution.persistence import RANKED, Beyond, Chosen, Step, beyond_matched
from core.analysis.evolution.run import draw_rows, find_rows, read_codes, run
from core.analysis.result import Result
from core.data.gender_concept import GENDER
from core.features.inputs import AnalysisInputs
from core.features.ranking import Ranking
from core.stats.intervals import bootstrap_mean, wilson
from core.stats.matching import MIN_ROWS, Pairs, chain
from core.stats.rate_matching import RateMatched
from core.stats.similarity import pick_images
from tests.core.features.planted_world import World, activations_of, make_inputs, read_planted_sets
from tests.promises.test_layer_matching import ROWS, codes_of


def ranking_of(features: int, associated: tuple[int, ...] = (), unsupported: tuple[int, ...] = ()) -> Ranking:
    """Feature 0 ranks first, then 1, and so on; the `associated` have a small p."""
    tested = [feature for feature in range(features) if feature not in unsupported]
    table = pl.DataFrame(
        {
            "language": ["en"] * len(tested),
            "position_set": ["last-prompt"] * len(tested),
            "feature": pl.Series(tested, dtype=pl.UInt32),
            "auroc": [0.9 - 0.001 * feature for feature in tested],
            "p": [0.01 if feature in associated else 0.5 for feature in tested],
        }
    )
    return Ranking(GENDER, ("en",), features, table)


def step_of(layer: int, kept: np.ndarray, chosen: Chosen) -> Step:
    return Step(layer, layer + 1, chosen, kept)


def alone(layers: tuple[int, ...], features: int) -> pl.DataFrame:
    """Tracks without any match."""
    live = [np.ones(features, dtype=bool)] * len(layers)
    none = Pairs(np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0))
    return chain(layers, live, [none] * (len(layers) - 1))


# What is chosen, and what it is compared with


def test_followed_features_are_the_first_that_are_live() -> None:
    rates = np.full(80, 0.1)
    rates[[0, 3]] = (MIN_ROWS - 1) / ROWS
    chosen = Chosen.of(ranking_of(80), codes_of(rates))
    assert chosen.live == (1, 2, *range(4, RANKED + 2))
    assert chosen.matched.features == chosen.live


def test_candidates_are_live_supported_not_associated_and_as_active() -> None:
    rates = np.full(60, 0.1)
    rates[30] = (MIN_ROWS - 1) / ROWS
    rates[[40, 41]] = 0.13, 0.07
    chosen = Chosen.of(ranking_of(60, associated=(50, 51), unsupported=(55,)), codes_of(rates))
    expected = set(range(RANKED, 60)) - {30, 40, 41, 50, 51, 55}
    assert all(set(found.tolist()) == expected for found in chosen.matched.candidates)


def test_a_feature_without_candidates_is_compared_with_nothing() -> None:
    rates = np.full(60, 0.1)
    rates[0] = 0.5
    chosen = Chosen.of(ranking_of(60), codes_of(rates))
    assert chosen.matched.unmatched == (0,) and chosen.matched.features == tuple(range(1, RANKED))
    table = step_of(3, np.ones(60, dtype=bool), chosen).table()
    assert table["candidates"].to_list() == [0] + [40] * (RANKED - 1)
    assert table["rate"][0] == 0.5 and table["rate"][1] == pytest.approx(table["control_rate"][1])


def test_frequent_features_that_persist_are_no_finding() -> None:
    # All frequent features have a match, rare ones seldom; the ranked ones are frequent.
    random = np.random.default_rng(0)
    rates = np.r_[np.full(RANKED + 50, 0.3), np.full(200, 0.05)]
    chosen = Chosen.of(ranking_of(rates.size), codes_of(rates))
    kept = np.r_[random.random(RANKED + 50) < 0.9, random.random(200) < 0.3]
    steps = [step_of(layer, kept, chosen) for layer in (1, 2, 3)]
    found = beyond_matched(steps, alone((1, 2, 3, 4), rates.size), 200, 0)
    assert kept[list(chosen.live)].mean() > kept.mean() + 0.3
    assert abs(found.value) < 0.15 and found.p is not None and found.p > 0.05
    assert found.control == pytest.approx(kept[RANKED : RANKED + 50].mean(), abs=0.05)


@pytest.mark.parametrize(("chosen_share", "others"), [(1.0, 0.3), (0.0, 0.7)])
def test_what_persists_more_or_less_than_its_match_is_found(chosen_share: float, others: float) -> None:
    random = np.random.default_rng(1)
    rates = np.full(100, 0.1)
    chosen = Chosen.of(ranking_of(100), codes_of(rates))
    kept = np.r_[np.full(RANKED, bool(chosen_share)), random.random(80) < others]
    found = beyond_matched([step_of(1, kept, chosen)], alone((1, 2), 100), 500, 0)
    assert found.ranked == chosen_share and found.value == pytest.approx(chosen_share - found.control)
    assert found.draws == 1000 and found.p == pytest.approx(1 / 1001)
    assert found.features == RANKED and found.chains == RANKED


def test_features_like_the_others_are_seldom_significant() -> None:
    random, hits = np.random.default_rng(2), 0
    chosen = Chosen.of(ranking_of(100), codes_of(np.full(100, 0.1)))
    for _ in range(60):
        steps = [step_of(layer, random.random(100) < 0.6, chosen) for layer in (1, 2)]
        hits += (beyond_matched(steps, alone((1, 2, 3), 100), 20, 0).p or 1) <= 0.05
    assert hits <= 6


def test_features_linked_by_matches_are_one_unit() -> None:
    matched = RateMatched((0, 1), (np.arange(2, 8), np.arange(2, 8)), ())
    chosen = Chosen((0, 1), matched, np.full(8, 0.1))
    kept = np.array([True, False, True, True, True, False, False, False])
    live = [np.ones(8, dtype=bool)] * 4
    tracks = chain((1, 2, 3, 4), live, [Pairs(np.array([0]), np.array([0]), np.array([0.9]))] * 3)
    found = beyond_matched([step_of(layer, kept, chosen) for layer in (1, 2, 3)], tracks, 500, 0)
    assert found.chains == 4 and found.features == 6
    values = np.array([0.5, -0.5] * 3)
    expected = bootstrap_mean(values, 500, 0, np.array([0, 1, 0, 2, 0, 3]))
    assert (found.low, found.value, found.high) == pytest.approx(tuple(expected))


def test_draws_follow_the_seed_and_the_layer() -> None:
    random = np.random.default_rng(3)
    chosen = Chosen.of(ranking_of(100), codes_of(np.full(100, 0.1)))
    kept = random.random(100) < 0.5
    first, second = step_of(1, kept, chosen), step_of(2, kept, chosen)
    assert (first.drawn(0) == first.drawn(0)).all()
    assert (first.drawn(0) != first.drawn(1)).any() and (first.drawn(0) != second.drawn(0)).any()
    assert first.drawn(0).shape == (1000, RANKED)


# Rows, and chains


def test_only_rows_of_test_images_are_compared_and_special_ones_are_not(planted: AnalysisInputs) -> None:
    tokens = planted.open_layer(0).table.tokens
    rows = draw_rows(tokens, planted.samples, 10_000, 0)
    drawn = rows.join(planted.samples, on="sample_id")
    assert set(drawn["split"]) == {"test"} and rows.height == drawn.height
    test = planted.samples.filter(pl.col("split") == "test")["image_id"]
    usable = tokens.filter(pl.col("image_id").is_in(test.implode()) & ~pl.col("special"))
    assert rows.height == usable.height < 10_000
    assert rows["stratum"].n_unique() == 3  # image rows, captions in two languages
    few, other = (draw_rows(tokens, planted.samples, 50, seed) for seed in (0, 1))
    assert few.height == 50 and not few.equals(other)


def test_codes_are_in_the_order_of_the_rows_and_lost_rows_are_silent(planted: AnalysisInputs) -> None:
    opened = planted.open_layer(1)
    rows = draw_rows(opened.table.tokens, planted.samples, 60, 0)
    places = find_rows(opened.table.tokens, rows).copy()
    places[4] = -1
    codes: Any = read_codes(opened, places).toarray()
    whole = activations_of(opened).toarray()
    kept = places >= 0
    np.testing.assert_array_equal(codes[kept], whole[places[kept]])
    assert not codes[4].any()


def test_survival_compares_the_same_features() -> None:
    live = [np.array([True] * 8)] * 3
    both = Pairs(np.array([0, 2, 3]), np.array([0, 2, 3]), np.ones(3))
    tracks = chain((1, 2, 3), live, [both, both])
    matched = RateMatched((0,), (np.array([2, 3, 4, 5, 6]),), (1,))
    chosen = Chosen((0, 1), matched, np.full(8, 0.1))
    found = survival(tracks, {1: chosen, 2: chosen, 3: chosen}, (1, 2, 3))
    shares = {(row[0], row[2]): (row[3], row[4]) for row in found.filter(pl.col("layer") == 1).rows()}
    assert shares["ranked", 3] == (1, 1.0)
    assert shares["matched", 3] == (1, pytest.approx(0.4))
    assert shares["all", 3] == (8, pytest.approx(3 / 8))


# The tables and the findings


@pytest.fixture
def planted(monkeypatch: pytest.MonkeyPatch) -> AnalysisInputs:
    monkeypatch.setattr("core.features.row_groups.position_sets", read_planted_sets)
    return make_inputs(World(images=120, layers=3))


@pytest.fixture
def result(planted: AnalysisInputs) -> Result:
    return run(planted, Config(permutations=5, rows=1500))


def test_the_tables_say_the_same(result: Result, planted: AnalysisInputs) -> None:
    tables = result.tables
    matches, flow, followed = tables["matches"], tables["flow"], tables["followed"]
    assert (matches["feature"] == matches["next_feature"]).all()
    assert set(World().reborn).isdisjoint(matches["feature"])
    with_match = followed.join(matches, on=["layer", "next_layer", "feature"], how="semi")
    assert followed["kept"].sum() == with_match.height
    known = tables["tracks"].rename({"track": "_"})
    assert followed.join(known, on=["layer", "feature"], how="anti").is_empty(), "followed features are live"
    assert (matches["correlation"] > matches.join(flow, on="layer")["threshold"]).all()
    for row in flow.rows(named=True):
        low, share, high = wilson(row["matched"], row["live"])
        assert (row["persistence_low"], row["persistence"], row["persistence_high"]) == (low, share, high)
        own = followed.filter((pl.col("layer") == row["layer"]) & (pl.col("candidates") > 0))
        assert row["ranked_features"] == own.height
        assert row["ranked_persistence"] == pytest.approx(own["kept"].mean())
        assert row["control_persistence"] == pytest.approx(own["control_kept"].mean())
        assert row["control_low"] <= row["control_persistence"] <= row["control_high"]


def test_the_question_is_answered_by_the_difference_alone(result: Result) -> None:
    one, *described = result.estimates
    assert one.name == "persistence" and one.answers and not one.described and one.sides == 2
    assert all(other.described and not other.answers for other in described)
    assert one.control is not None and one.control.draws == one.draws == 1000
    assert "significant" in one.condition and "persist" not in one.quantity
    for estimate in result.estimates:
        rows = result.tables[estimate.source.table].filter(**estimate.source.key)
        assert rows.height == 1 and rows[estimate.source.column][0] == estimate.value
    assert set(figures(result.tables)) == {"flow", "persistence", "survival", "lifetimes", "cka"}


def test_the_summary_takes_the_seed_and_names_what_was_not_measured() -> None:
    flow = pl.DataFrame({"persistence": [0.2, 0.5, 0.9, 0.33, 0.71, 0.64, 0.48, 0.85]})
    table = pl.DataFrame({"lifetime": [1, 3], "tracks": [3, 2], "cut_short": [1, 1]})
    nothing = beyond_matched([], alone((1, 2), 4), 100, 0)
    first, second = (summary_table({"flow": flow, "lifetimes": table}, nothing, seed) for seed in (0, 7))
    shares = flow["persistence"].to_numpy()
    for seed, summary in ((0, first), (7, second)):
        live = summary.filter(measure="live").row(0, named=True)
        assert (live["low"], live["value"], live["high"]) == tuple(bootstrap_mean(shares, 1000, seed))
        assert live["n"] == 8
    assert bootstrap_mean(shares, 1000, 0) != bootstrap_mean(shares, 1000, 7)
    assert second.filter(measure="lifetime")["value"][0] == 1
    one = findings(first, 2, "features", "images")[0]
    assert one.verdict == "not tested" and one.control is None and one.p is None and one.n == 0


def test_a_difference_is_found_only_beyond_its_control() -> None:
    flow, table = pl.DataFrame({"persistence": [0.5]}), pl.DataFrame({"lifetime": [1], "tracks": [3], "cut_short": [3]})
    shown = {"ranked": 0.9, "control": 0.6, "value": 0.3, "low": 0.2, "high": 0.4}
    null = {"null": 0.0, "null_low": -0.1, "null_high": 0.1}
    beyond = Beyond(**shown, **null, features=40, chains=30, draws=1000, p=0.001)
    found = findings(summary_table({"flow": flow, "lifetimes": table}, beyond, 0), 3, "features", "items")[0]
    assert found.verdict == "found" and (found.n, found.p) == (30, 0.001)
    assert found.interval == (0.2, 0.4) and found.counted == "chains of features on test items"
    assert found.caveats[0].startswith("SAEs of one seed start from the same directions")
    assert "90.0%" in found.caveats[1] and "60.0%" in found.caveats[1]
    wide = Beyond(**shown, **{**null, "null_high": 0.35}, features=40, chains=30, draws=1000, p=0.06)
    assert (
        findings(summary_table({"flow": flow, "lifetimes": table}, wide, 0), 3, "features", "items")[0].verdict
        != "found"
    )


def test_flow_counts_births_and_deaths_once() -> None:
    chosen = Chosen((), RateMatched((), (), ()), np.full(3, 0.1))
    step = Step(4, 6, chosen, np.array([True, False, False]))
    matched = pl.DataFrame(
        {"layer": [4], "correlation": [0.9], "cosine": [0.8], "decoder_agrees": [True]}, {"layer": pl.UInt16, **REST}
    )
    live = [np.array([True, True, False]), np.array([True, True, True])]
    row = flow_table([step], live, matched, [0.3], 0).row(0, named=True)
    assert [row[name] for name in ("live", "next_live", "matched", "births", "deaths")] == [2, 3, 1, 2, 1]
    assert row["ranked_features"] == 0 and row["ranked_persistence"] is None


REST = {"correlation": pl.Float64, "cosine": pl.Float64, "decoder_agrees": pl.Boolean}


def test_images_of_the_geometry_are_drawn_by_seed() -> None:
    first, again, other = pick_images(1500, 0), pick_images(1500, 0), pick_images(1500, 1)
    assert first.size == 1000 == np.unique(first).size
    assert (first == again).all() and (first != other).any()
