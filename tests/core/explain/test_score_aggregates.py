import math

import numpy as np
import polars as pl
import pytest

from core.explain.aggregates import AGGREGATES, aggregates, difference_interval, mean_interval
from core.explain.findings import estimates
from core.explain.tables import SCORES
from core.report.sentences import sentence

SAE = "demo/layer_8"


def scores(values: np.ndarray, sae: str = SAE, scorer: str = "detection", failed: int = 0) -> pl.DataFrame:
    rows = [
        {
            "feature_id": number,
            "sae_id": sae,
            "explainer": "llama",
            "scorer": scorer,
            "example_kind": "all",
            "language": "all",
            "metric": "balanced_accuracy",
            "value": None if math.isnan(value) else value,
            "n": 40,
            "n_failed": failed,
            "judge": "judge",
            "prompt_version": "",
        }
        for number, value in enumerate(values.tolist())
    ]
    return pl.DataFrame(rows, schema=SCORES)


def normal(mean: float, count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 0.1, count)


def test_scores_are_described_over_features_beside_the_frozen_dictionary() -> None:
    own, floor = normal(0.8, 60, 0), normal(0.6, 50, 1)
    table = aggregates(pl.concat([scores(own), scores(floor, f"{SAE}-frozen")]), draws=500, seed=0)
    assert table.schema == AGGREGATES and table["sae_id"].to_list() == [SAE, "all"]
    for row in table.iter_rows(named=True):
        assert row["n"] == 60 and row["frozen_n"] == 50 and row["chance"] == 0.5
        assert row["mean"] == pytest.approx(own.mean()) and row["sd"] == pytest.approx(own.std(ddof=1))
        assert row["median"] == pytest.approx(np.median(own)) and row["frozen_mean"] == pytest.approx(floor.mean())
        assert row["difference"] == pytest.approx(own.mean() - floor.mean())
        assert row["difference_low"] > 0.15 and row["difference_high"] < 0.25 and row["p"] == pytest.approx(1 / 501)
    found, gap = estimates(table)
    assert found.verdict == "found" and found.control is not None and gap.verdict == "not tested"
    assert gap.interval == (table["difference_low"][1], table["difference_high"][1])


def test_the_sentence_says_score_floor_and_answers_that_could_not_be_read() -> None:
    both = pl.concat([scores(normal(0.8, 30, 0), failed=2), scores(normal(0.6, 30, 1), f"{SAE}-frozen")])
    found, gap = estimates(aggregates(both, draws=200, seed=0))
    told = sentence(found)
    assert told.startswith("Found: mean balanced accuracy of explanations by llama under detection, 0.79 [")
    assert "beyond features of the frozen dictionary (0.59 [" in told
    assert told.endswith("The answer could not be read on 60 of 1,260 examples.")
    assert sentence(gap).startswith("Measured: difference of the mean balanced accuracy")
    assert "30 features beside 30 of the frozen dictionary" in sentence(gap)


def test_scores_like_the_frozen_dictionarys_are_not_found() -> None:
    same = pl.concat([scores(normal(0.6, 60, 2)), scores(normal(0.6, 60, 3), f"{SAE}-frozen")])
    found, _ = estimates(aggregates(same, draws=200, seed=0))
    assert found.verdict != "found" and found.p is not None and found.p > 0.05


def test_without_a_frozen_dictionary_there_is_no_difference_and_nothing_is_found() -> None:
    table = aggregates(scores(normal(0.8, 30, 0)), draws=200, seed=0)
    assert table["difference"].null_count() == table["p"].null_count() == table.height
    (only,) = estimates(table)
    assert only.verdict == "weak" and "no control" in sentence(only)


def test_features_without_a_score_are_left_out_and_their_failures_counted() -> None:
    values = np.array([0.5, np.nan, 0.7])
    row = aggregates(scores(values, failed=3), draws=50, seed=0).row(0, named=True)
    assert row["n"] == 2 and row["mean"] == pytest.approx(0.6) and row["n_failed"] == 9
    none = aggregates(scores(np.array([np.nan]), failed=3), draws=50, seed=0)
    assert none["n"][0] == 0 and none["mean"][0] is None and estimates(none) == ()


def test_one_feature_has_no_interval() -> None:
    row = aggregates(scores(np.array([0.7])), draws=50, seed=0).row(0, named=True)
    assert (row["mean"], row["low"], row["high"], row["sd"]) == (pytest.approx(0.7), None, None, None)
    assert math.isnan(difference_interval(np.array([0.7]), np.array([0.5]), 50, 0).low)


def test_intervals_of_many_features_are_normal_and_agree_with_the_bootstrap() -> None:
    many = normal(0.6, 5001, 4)
    wide, narrow = mean_interval(many[:4999], 1000, 0), mean_interval(many, 1000, 0)
    assert narrow.high - narrow.low == pytest.approx(wide.high - wide.low, rel=0.1)
    gap = difference_interval(many, normal(0.5, 5001, 5), 1000, 0)
    assert gap.low < 0.1 < gap.high and gap.high - gap.low < 0.01


def test_q_is_over_all_pairs_of_explainer_and_scorer() -> None:
    parts = [
        scores(normal(mean, 30, 0), f"{SAE}{end}", scorer)
        for scorer in ("detection", "fuzz")
        for end, mean in (("", 0.6), ("-frozen", 0.57))
    ]
    found = [one for one in estimates(aggregates(pl.concat(parts), draws=200, seed=0)) if one.p is not None]
    assert len(found) == 2 and all(one.q is not None and one.q >= (one.p or 1) for one in found)
    assert "over 2 explainer × scorer pairs" in sentence(found[0])


def test_each_sae_is_told_and_all_trained_ones_together() -> None:
    parts = [scores(normal(0.7, 20, seed), f"demo/layer_{seed}{end}") for seed in (1, 2) for end in ("", "-frozen")]
    table = aggregates(pl.concat(parts), draws=50, seed=0)
    counts = dict(table.select("sae_id", "n").iter_rows())
    assert counts == {"demo/layer_1": 20, "demo/layer_2": 20, "all": 40}
    assert dict(table.select("sae_id", "frozen_n").iter_rows())["all"] == 40
