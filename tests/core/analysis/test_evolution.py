"""Features that persist are matched, features drawn anew are not; CKA against its definition."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch
from scipy import sparse

from core.analysis.evolution import Config as EvolutionConfig
from core.analysis.evolution.figures import figures
from core.analysis.evolution.run import draw_rows, find_rows, read_codes
from core.analysis.evolution.run import run as evolution
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.stats.matching import Codes, Pairs, chain, match_activations, match_decoders, permuted_threshold
from core.stats.similarity import centred_gram, cka
from tests.core.features.planted_world import World, reordered

CONFIG = EvolutionConfig(permutations=10, rows=1500)
FEW = EvolutionConfig(permutations=3, rows=600)


def test_planted_features_persist_and_features_drawn_anew_are_born_and_die(world: AnalysisInputs):
    tables = evolution(world, CONFIG).tables
    matched = tables["matches"]
    assert (matched["feature"] == matched["next_feature"]).all()
    reborn = set(World().reborn)
    for layer in (1, 2):
        kept = set(matched.filter(pl.col("layer") == layer)["feature"].to_list())
        assert kept & reborn == set()
        assert len(kept) == World().features - len(reborn)
    flow = tables["flow"]
    assert (flow["matched"] + flow["births"] == flow["next_live"]).all()
    assert (flow["matched"] + flow["deaths"] == flow["live"]).all()
    assert tables["lifetimes"]["tracks"].sum() == tables["tracks"]["track"].n_unique()


def test_survival_findings_and_figures(world: AnalysisInputs):
    result = evolution(world, CONFIG)
    own = result.tables["survival"].filter(pl.col("layer") == pl.col("later_layer"))
    assert (own["share"] == 1).all()
    assert [one.name for one in result.estimates] == ["persistence", "persistence.live", "lifetime"]
    assert any("seed ceiling" in note for note in result.notes)
    drawn = figures(result.tables)
    assert set(drawn) == {"flow", "persistence", "survival", "lifetimes", "cka"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_two_seeds_of_a_layer_are_the_ceiling_of_persistence(world: AnalysisInputs):
    same = {layer: reordered(world.open_layer(layer)) for layer in world.layers}
    result = evolution(replace(world, open_sibling=same.__getitem__), FEW)
    ceiling, flow = result.tables["ceiling"], result.tables["flow"]
    assert ceiling["share"].to_list() == [1.0] * len(world.layers)
    below = ceiling.filter(pl.col("layer") < 3)
    np.testing.assert_allclose(below["across"].to_numpy(), flow["matched"].to_numpy(), atol=1)
    assert below["of_ceiling"].to_list() == below["across_share"].to_list()
    assert (below["births_beyond"] == ceiling["matched"][1:] - below["across"]).all()
    assert ceiling["of_ceiling"][-1] is None
    found = {one.name: one for one in result.estimates}
    assert found["seed_ceiling"].value == 1 and found["of_ceiling"].value == pytest.approx(
        flow["persistence"].mean(), abs=0.03
    )
    chains = result.tables["tracks"]["track"].n_unique()
    assert found["lifetime.mean"].value == pytest.approx(result.tables["tracks"].height / chains)
    assert found["lifetime.of_ceiling"].value == pytest.approx(found["lifetime.mean"].value, rel=0.1)
    assert "100.0% in a second SAE of their own layer" in found["persistence"].caveats[0]
    assert "seed ceiling is the share" in result.notes[0]
    assert "another seed" in figures(result.tables)["persistence"].caption


def on_other_rows(opened: LayerView) -> SimpleNamespace:
    """An SAE like the layer's, whose features fire on rows that have nothing to do with the layer's."""
    own = reordered(opened)
    mixed = torch.Generator().manual_seed(0)
    return SimpleNamespace(**{**vars(own), "encode": lambda x: own.encode(x[torch.randperm(len(x), generator=mixed)])})


def test_a_second_seed_that_shares_nothing_explains_all_deaths_and_changes_no_other_table(world: AnalysisInputs):
    other = replace(world, open_sibling=lambda layer: on_other_rows(world.open_layer(layer)))
    plain, result = evolution(world, FEW), evolution(other, FEW)
    ceiling = result.tables["ceiling"]
    assert ceiling["share"].max() < 0.1 and ceiling["across_share"].max() < 0.1
    assert ceiling["deaths_beyond"].head(3).abs().max() <= 4
    changed = [name for name, table in plain.tables.items() if not table.equals(result.tables[name])]
    assert changed == ["summary"] and set(result.tables) - set(plain.tables) == {"ceiling"}
    assert plain.tables["summary"].equals(result.tables["summary"].head(plain.tables["summary"].height))


def test_one_layer_cannot_evolve(world: AnalysisInputs):
    with pytest.raises(BadInput, match=r"analyses\.evolution\.layers"):
        evolution(world, EvolutionConfig(layers=(2,)))


def codes(seed: int, rows: int = 400, features: int = 12, density: float = 0.2) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.gamma(2, 1, (rows, features)) * (rng.random((rows, features)) < density)


def test_correlations_equal_numpys():
    lower, upper = codes(0), codes(1)
    upper[:, 5] = lower[:, 7] + 0.1 * codes(2)[:, 0]
    pairs = match_activations(Codes.of(sparse.csr_array(lower)), Codes.of(sparse.csr_array(upper)))
    full = np.corrcoef(lower.T, upper.T)[:12, 12:]
    assert (7, 5) in zip(pairs.first.tolist(), pairs.second.tolist())
    for first, second, value in zip(pairs.first, pairs.second, pairs.value):
        assert value == pytest.approx(full[first, second])
        assert value == full[first].max().round(12) or full[first].argmax() == second


def test_strata_hold_what_segments_share_below_the_threshold():
    segment = np.repeat([0, 1], 200)
    lower, upper = codes(0) * (segment == 1)[:, None], codes(1) * (segment == 1)[:, None]
    below, above = (Codes.of(sparse.csr_array(part)) for part in (lower, upper))
    within = permuted_threshold(below, above, segment, 20, seed=0)
    mixed = permuted_threshold(below, above, np.zeros(400, int), 20, seed=0)
    assert within > mixed  # features of one segment correlate across layers without being the same
    assert (match_activations(below, above).value > within).sum() == 0


def test_silent_features_match_nothing():
    empty = Codes.of(sparse.csr_array(np.zeros((50, 3))))
    assert match_activations(empty, empty).value.size == 0
    assert permuted_threshold(empty, empty, np.zeros(50, int), 3, 0) == float("inf")


def test_decoders_match_by_cosine_over_blocks(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("core.stats.matching._BLOCK", 3)
    rng = np.random.default_rng(0)
    lower, order = rng.normal(size=(10, 6)), rng.permutation(10)
    live = np.ones(10, dtype=bool)
    pairs = match_decoders(lower, 2 * lower[order], (live, live))
    assert pairs.first.tolist() == list(range(10))
    assert (order[pairs.second] == pairs.first).all()
    assert pairs.value == pytest.approx(np.ones(10))


def test_tracks_follow_matches():
    live = [np.array([True, True, False]), np.array([True, True, True]), np.array([False, True, True])]
    matches = [
        Pairs(np.array([0]), np.array([2]), np.array([0.9])),
        Pairs(np.array([2]), np.array([1]), np.array([0.8])),
    ]
    tracks = chain((4, 6, 8), live, matches)
    followed = tracks.filter(pl.col("track") == 0).select("layer", "feature").rows()
    assert followed == [(4, 0), (6, 2), (8, 1)]
    assert tracks["track"].n_unique() == 5
    assert tracks.height == 7


def hsic_by_definition(x: np.ndarray, y: np.ndarray) -> float:
    """The unbiased estimator as Song et al. 2012 (eq. 5) write it."""
    k, m, n = x @ x.T, y @ y.T, len(x)
    np.fill_diagonal(k, 0)
    np.fill_diagonal(m, 0)
    ones = np.ones(n)
    cross = ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
    return float((np.trace(k @ m) + cross - 2 / (n - 2) * ones @ k @ m @ ones) / (n * (n - 3)))


def test_cka_equals_its_definition_and_is_unbiased():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(60, 8)), rng.normal(size=(60, 40))
    y[:, :8] += x
    grams = [centred_gram(part) for part in (x, y, rng.normal(size=(60, 40)))]
    matrix = cka(grams)
    reference = hsic_by_definition(x, y) / np.sqrt(hsic_by_definition(x, x) * hsic_by_definition(y, y))
    assert matrix[0, 1] == pytest.approx(reference, rel=1e-4)
    assert abs(matrix[0, 2]) < 0.15  # the biased estimate of two independent wide layers is about 0.35
    assert np.diag(matrix) == pytest.approx(1)


def test_a_massive_dimension_does_not_decide_cka():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(80, 10)), rng.normal(size=(80, 10))
    shared = 1000 * rng.normal(size=80)
    x[:, 0], y[:, 0] = shared, shared
    assert cka([centred_gram(x), centred_gram(y)])[0, 1] < 0.4


def test_rows_that_are_outliers_in_a_layer_are_missing_there(world: AnalysisInputs):
    tokens = world.open_layer(0).table.tokens
    rows = draw_rows(tokens, world.samples, 200, 0)
    there = find_rows(tokens, rows)
    lost = there[[3, 50]]
    marked = tokens.with_columns(outlier=pl.int_range(pl.len()).is_in(lost.tolist()))
    found = find_rows(marked, rows)
    assert found[[3, 50]].tolist() == [-1, -1]
    assert np.delete(found, [3, 50]).tolist() == np.delete(there, [3, 50]).tolist()
    codes = read_codes(world.open_layer(0), found)
    assert codes[[3, 50]].nnz == 0
