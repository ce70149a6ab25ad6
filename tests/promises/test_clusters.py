"""Clusters of features are claimed only where they are more stable than those of features without a pattern."""

import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.analysis.visual_patterns import Config, clusters
from core.analysis.visual_patterns.cluster_figure import cluster_figure
from core.analysis.visual_patterns.clusters import Clustered, cluster_estimate, cluster_layer, cluster_tables
from core.analysis.visual_patterns.described import Attributes, Described, Firing
from core.analysis.visual_patterns.image_maps import ImageGrid
from core.analysis.visual_patterns.run import run
from core.stats.clusters import adjusted_rand
from core.stats.enrichment import enrich
from tests.core.features.planted_world import Index
from tests.promises.image_world import make_inputs

SIDE, IMAGES, EACH = 4, 60, 8
PLACES = ("beach", "city", "forest")
TRUTH = np.repeat(range(3), EACH)
CELLS = (0, 7, 13)


@pytest.fixture(autouse=True)
def few_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, count in (("RESAMPLES", 20), ("NULL_RESAMPLES", 5), ("DRAWS", 39)):
        monkeypatch.setattr(clusters, name, count)


def make_samples() -> pl.DataFrame:
    """Pairs of twins; each pair is at one place."""
    names = [f"t{number:02d}" for number in range(IMAGES)]
    places = [PLACES[number // 2 % 3] for number in range(IMAGES)]
    return pl.DataFrame({"sample_id": names, "image_id": names, "place": places, "split": "test"})


def make_firing(planted: bool, seed: int = 0) -> Firing:
    """Three groups of features: each at its own cell, and strong at its own place; or all anywhere at any place."""
    random = np.random.default_rng(seed)
    codes = np.zeros((IMAGES, SIDE**2, TRUTH.size), np.float32)
    places = np.arange(IMAGES) // 2 % 3
    for feature, group in enumerate(TRUTH):
        cells = random.integers(SIDE**2, size=IMAGES)
        strength = 1 + random.random(IMAGES)
        if planted:
            cells = np.where(random.random(IMAGES) < 0.6, CELLS[group], cells)
            strength = strength + 2 * (places == group)
        codes[np.arange(IMAGES), cells, feature] = strength
    images = tuple(make_samples()["image_id"])
    grid = ImageGrid(images, np.repeat(np.arange(IMAGES), SIDE**2), np.tile(np.arange(SIDE**2), IMAGES), SIDE)
    index: Any = Index(sparse.csr_array(codes.reshape(-1, TRUTH.size)))
    return Firing.read(index, grid, 64)


def clustered(planted: bool, seed: int = 0) -> Clustered:
    attributes = Attributes.read(make_samples(), make_samples()["image_id"].to_list())
    found = cluster_layer(3, make_firing(planted, seed), attributes, np.arange(IMAGES) // 2, 0)
    assert found is not None
    return found


def test_planted_clusters_are_found_by_where_and_what_and_are_stable() -> None:
    found = clustered(True)
    labels = np.zeros(TRUTH.size, np.int64)
    for row in found.clusters:
        labels[row["members"]] = row["cluster"]
    assert adjusted_rand(labels, TRUTH) == 1
    assert {row["what"].partition(" (")[0] for row in found.clusters} == {f"place: {name}" for name in PLACES}
    assert {int(np.argmax(row["map"])) for row in found.clusters} == set(CELLS)
    (estimate,) = cluster_estimate(cluster_tables([found])["cluster_stability"], 3, "")
    assert estimate.verdict == "found" and estimate.value > 0.9


def test_where_features_share_nothing_clusters_are_no_more_stable_than_without_a_pattern() -> None:
    claimed, found = 0, []
    for seed in range(4):
        stability = cluster_tables([clustered(False, seed)])["cluster_stability"]
        claimed += cluster_estimate(stability, 3, "")[0].verdict == "found"
        found.append(stability["p"][0])
    assert claimed == 0 and max(found) > 0.1


def test_without_a_pattern_maps_are_shifted_and_twins_keep_the_same_attributes() -> None:
    attributes = Attributes.read(make_samples(), make_samples()["image_id"].to_list())
    described = Described.of(make_firing(True), attributes, np.ones((1, IMAGES)))
    units = np.arange(IMAGES) // 2
    shuffled = described.without_pattern(units, np.random.default_rng(0))
    np.testing.assert_allclose(np.sort(shuffled.maps, axis=2), np.sort(described.maps, axis=2))
    assert len({int(np.argmax(one)) for one in shuffled.maps[0][:EACH]}) > 3
    values = shuffled.attributes.values
    np.testing.assert_array_equal(values[::2], values[1::2])
    assert (values != attributes.values).any()
    np.testing.assert_array_equal(values.sum(axis=0), attributes.values.sum(axis=0))


def test_log_odds_are_those_of_the_enrichment_of_one_feature() -> None:
    samples, firing = make_samples(), make_firing(True)
    attributes = Attributes.read(samples, samples["image_id"].to_list())
    found = attributes.log_odds(firing.strong.astype(float), np.ones(IMAGES))
    values = np.array([PLACES.index(place) for place in samples["place"]])
    for feature in (0, 9, 23):
        expected = enrich(values, firing.strong[feature], 3)
        np.testing.assert_allclose(found[feature], expected.log_odds, atol=1e-9)


def test_the_map_of_a_resample_is_the_one_of_its_images() -> None:
    firing = make_firing(True)
    weights = np.zeros(IMAGES)
    weights[[4, 4, 9]] = [0, 2, 1]
    dense = firing.codes.toarray().reshape(IMAGES, SIDE**2, -1)
    expected = (2 * dense[4] + dense[9]).T
    np.testing.assert_allclose(firing.where(weights), expected / expected.sum(axis=1, keepdims=True), rtol=1e-6)


def test_the_whole_analysis_says_it_only_where_it_is_asked(tmp_path_factory: pytest.TempPathFactory) -> None:
    inputs = make_inputs(tmp_path_factory.mktemp("world"))
    off = Config(layers=(3,), features=2, occluded_images=0, bootstrap=50)
    assert "clusters" not in off.model_dump()
    plain, asked = run(inputs, off), run(inputs, off.model_copy(update={"clusters": 24}))
    assert set(asked.tables) - set(plain.tables) == {"clusters", "cluster_stability"}
    for name, table in plain.tables.items():
        assert table.equals(asked.tables[name]), name
    assert [one.name for one in asked.estimates if one not in plain.estimates] == ["clusters"]
    figure = cluster_figure(asked.tables["clusters"])
    assert "features" in json.dumps(figure.chart.to_dict())
