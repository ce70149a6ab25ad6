"""Features of two layers are matched by what they fire on, against permuted rows."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.analysis.evolution.lifetimes import lifetimes
from core.stats.matching import MIN_ROWS, Codes, Pairs, chain, match_activations, permute_within, permuted_threshold

ROWS = 400


def codes_of(rates: np.ndarray, seed: int = 0) -> Codes:
    """Features that fire on a share of the rows, exactly."""
    random = np.random.default_rng(seed)
    active = np.zeros((ROWS, rates.size))
    for feature, rate in enumerate(rates):
        rows = random.permutation(ROWS)[: round(rate * ROWS)]
        active[rows, feature] = 1 + random.random(rows.size)
    return Codes.of(sparse.csr_array(active))


def test_a_match_is_the_nearest_both_ways() -> None:
    random = np.random.default_rng(4)
    base = random.gamma(2, 1, (ROWS, 3)) * (random.random((ROWS, 3)) < 0.3)
    upper = base[:, [2, 0]] + 0.3 * base[:, [1, 1]]
    pairs = match_activations(Codes.of(sparse.csr_array(base)), Codes.of(sparse.csr_array(upper)))
    assert dict(zip(pairs.first.tolist(), pairs.second.tolist(), strict=True)) == {2: 0, 0: 1}
    expected = np.corrcoef(base[:, 0], upper[:, 1])[0, 1]
    assert pairs.value[pairs.first.tolist().index(0)] == pytest.approx(expected)


def test_features_on_fewer_than_ten_rows_are_matched_with_nothing() -> None:
    active = np.zeros((ROWS, 2))
    active[: MIN_ROWS - 1, 0] = active[100 : 100 + MIN_ROWS, 1] = 1
    codes = Codes.of(sparse.csr_array(active))
    assert codes.live.tolist() == [False, True]
    assert codes.rates.tolist() == [(MIN_ROWS - 1) / ROWS, MIN_ROWS / ROWS]
    assert match_activations(codes, codes).first.tolist() == [1]


def test_the_threshold_comes_from_permuted_rows_within_strata() -> None:
    codes = codes_of(np.full(12, 0.2))
    strata = np.repeat([0, 1], ROWS // 2)
    threshold = permuted_threshold(codes, codes, strata, 20, 0)
    assert 0.05 < threshold < 0.5  # unpermuted, every feature matches itself with 1
    pooled = np.concatenate(
        [
            match_activations(codes, codes, permute_within(strata, random)).value
            for random in [np.random.default_rng(0)]
            for _ in range(20)
        ]
    )
    assert threshold == pytest.approx(np.quantile(pooled, 0.999))
    moved = permute_within(strata, np.random.default_rng(0))
    assert sorted(moved.tolist()) == list(range(ROWS)) and (moved != np.arange(ROWS)).any()
    np.testing.assert_array_equal(strata[moved], strata)
    # Features of one stratum alone are alike there whatever the rows.
    half = Codes.of(sparse.csr_array(codes.active.toarray() * (strata == 1)[:, None]))
    other = Codes.of(sparse.csr_array(codes_of(np.full(12, 0.2), 9).active.toarray() * (strata == 1)[:, None]))
    within = permuted_threshold(half, other, strata, 20, 0)
    assert within > permuted_threshold(half, other, np.zeros(ROWS, int), 20, 0)


def test_chains_follow_matches_and_are_born_where_there_is_none() -> None:
    live = [np.array([True, True, False]), np.array([True, True, True]), np.array([False, True, True])]
    matches = [
        Pairs(np.array([0]), np.array([2]), np.array([0.9])),
        Pairs(np.array([2]), np.array([1]), np.array([0.8])),
    ]
    tracks = chain((4, 6, 8), live, matches)
    assert tracks.filter(pl.col("track") == 0).select("layer", "feature").rows() == [(4, 0), (6, 2), (8, 1)]
    table = lifetimes(tracks, (4, 6, 8))
    assert table.rows() == [(1, 4, 2), (3, 1, 1)]
