"""Features that fire on the same images in the other language: planted, at random, and alike through twins."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats

from core.errors import BadInput
from core.features.counterparts import CaptionMeans, caption_means, counterparts, shuffled_units
from core.features.index import FeatureIndex
from core.features.indexed_layer import IndexedLayer
from tests.core.features.planted_layer import Layer

N, F = 80, 30
NAMES = [f"i{n:02d}" for n in range(N)]
ALONE = {name: number for number, name in enumerate(NAMES)}


def random_means(seed: int, names: list[str] = NAMES) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.random((len(names), F)) * (rng.random((len(names), F)) < 0.4)


def means(dense: np.ndarray, names: list[str] = NAMES) -> CaptionMeans:
    return CaptionMeans(names, sparse.csc_array(dense))


@pytest.mark.parametrize("language", ["en", "ar"])
def test_means_are_those_of_the_dense_activations(layer: Layer, index: FeatureIndex, language: str) -> None:
    found = caption_means(IndexedLayer(0, index, layer.tokens), language)
    ours = (pl.col("segment") == "caption") & (pl.col("language") == language) & ~pl.col("special")
    for feature in (4, 7, 11):
        kept = layer.tokens.with_columns(value=pl.Series(layer.dense[:, feature])).filter(ours)
        expected = kept.group_by("image_id").agg(pl.col("value").cast(pl.Float64).mean()).sort("image_id")
        assert found.images == expected["image_id"].to_list()
        np.testing.assert_allclose(found.means[:, [feature]].toarray().ravel(), expected["value"], rtol=2e-3, atol=1e-6)


def test_a_language_without_captions_is_refused(layer: Layer, index: FeatureIndex) -> None:
    with pytest.raises(BadInput, match="no row is of a caption in 'fr'"):
        caption_means(IndexedLayer(0, index, layer.tokens), "fr")


def test_a_planted_counterpart_is_found_with_numpys_correlation() -> None:
    """The other language has fewer images, in another order."""
    en, ar = random_means(0), random_means(1)
    ar[:, 12] = en[:, 3] + 0.1 * np.random.default_rng(2).random(N) * (en[:, 3] > 0)
    order = np.random.default_rng(3).permutation(N)[:70]
    found = counterparts(means(en), 3, means(ar[order], [NAMES[n] for n in order]), ALONE)
    first = found.table.row(0, named=True)
    assert found.images == 70 and found.firing == np.count_nonzero(en[order, 3])
    assert first["feature"] == 12 and first["p"] == 1 / 200 and first["images"] == np.count_nonzero(ar[order, 12])
    every = np.corrcoef(en[order, 3], ar[order], rowvar=False)[0, 1:]
    np.testing.assert_allclose(found.table["correlation"], np.sort(every)[::-1][:5], rtol=1e-9)
    assert found.table["p"][1:].min() > 0.05 and found.shuffled.max() < first["correlation"]


def test_noise_has_a_counterpart_no_more_often_than_it_may() -> None:
    small = [
        counterparts(means(random_means(n)), 0, means(random_means(100 + n)), ALONE).table["p"][0] for n in range(60)
    ]
    assert sum(p <= 0.05 for p in small) <= stats.binom.ppf(0.999, 60, 0.05)


def test_images_that_are_alike_through_their_twins_count_once() -> None:
    """Each unit's two images have one value, so that shuffles of single images would find too little."""
    units = {name: number // 2 for number, name in enumerate(NAMES)}
    half = NAMES[::2]
    small = []
    for n in range(60):
        en, ar = (np.repeat(random_means(seed, half), 2, axis=0) for seed in (n, 100 + n))
        small.append(counterparts(means(en), 0, means(ar), units).table["p"][0])
    assert sum(p <= 0.05 for p in small) <= stats.binom.ppf(0.999, 60, 0.05)


def test_units_trade_places_with_units_of_their_size() -> None:
    units = np.array([5, 5, 7, 9, 9, 8, 2, 2])
    orders = shuffled_units(units, 50)
    assert (np.sort(orders, axis=1) == np.arange(8)).all() and len({tuple(order) for order in orders}) > 20
    pairs = [{0, 1}, {3, 4}, {6, 7}]
    assert all({int(order[a]), int(order[b])} in pairs for order in orders for a, b in ((0, 1), (3, 4), (6, 7)))


def test_what_fires_on_too_few_images_or_on_all_alike_has_none() -> None:
    en, ar = random_means(0), random_means(1)
    en[:, 0], en[:, 1] = 0, 1
    en[:4, 0] = 1
    for feature, firing in ((0, 4), (1, N)):
        found = counterparts(means(en), feature, means(ar), ALONE)
        assert found.table.is_empty() and found.firing == firing
