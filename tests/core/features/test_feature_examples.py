"""Examples and token ranks of a feature."""

import networkx
import numpy as np
import polars as pl
import pytest

from core.features.examples import EXAMPLES, example_rows, examples
from core.features.index import FeatureIndex
from core.features.pagerank import RANKED, token_pagerank
from core.features.token_rows import TokenRows
from tests.core.features.planted_layer import Layer

FEATURE = 4


def test_bands_hold_rows_of_their_strength_and_no_image_twice(index: FeatureIndex, layer: Layer) -> None:
    found = examples(index, TokenRows(layer.tokens), FEATURE, quantiles=4, contexts=3)
    assert found.schema == EXAMPLES
    assert found["quantile"].to_list() == [4, 4, 4, 3, 3, 3, 2, 2, 2, 1, 1, 1]
    values = layer.dense[~layer.tokens["special"].to_numpy(), FEATURE]
    bounds = np.quantile(values[values > 0], [0, 0.25, 0.5, 0.75, 1])
    for quantile in (1, 2, 3, 4):
        band = found.filter(quantile=quantile)
        assert band["image_id"].n_unique() == 3
        assert ((band["value"] >= bounds[quantile - 1] * 0.99) & (band["value"] <= bounds[quantile] * 1.01)).all()
    assert found["value"][0] == pytest.approx(bounds[-1], rel=1e-5)
    assert not layer.tokens[found["row"]]["special"].any()


@pytest.mark.parametrize("feature", [0, FEATURE, 39])
def test_rows_of_examples_are_those_of_their_table(index: FeatureIndex, layer: Layer, feature: int) -> None:
    assert (
        example_rows(index, TokenRows(layer.tokens), feature, 2, 5, 6)
        == examples(index, TokenRows(layer.tokens), feature, 2, 5, 6).to_dicts()
    )


def test_the_context_is_the_caption_around_the_row(index: FeatureIndex, layer: Layer) -> None:
    found = examples(index, TokenRows(layer.tokens), FEATURE, quantiles=1, contexts=40, window=4)
    for example in found.iter_rows(named=True):
        if example["segment"] == "image":
            assert example["context"] == []
            continue
        own = layer.tokens.filter(
            pl.col("sample_id") == example["sample_id"],
            pl.col("language") == example["language"],
            pl.col("segment") == example["segment"],
            pl.col("position").cast(pl.Int64).is_between(example["position"] - 2, example["position"] + 2),
        )
        assert [word["token"] for word in example["context"]] == own["token"].to_list()
        active = np.where(own["special"], 0, layer.dense[own["index"], FEATURE])
        np.testing.assert_allclose([word["value"] for word in example["context"]], active, rtol=1e-5)


def test_a_silent_feature_has_no_examples(index: FeatureIndex, layer: Layer) -> None:
    assert examples(index, TokenRows(layer.tokens), 3).height == 0
    assert token_pagerank(index, layer.tokens, 3).height == 0


def test_token_ranks_are_networkxs(index: FeatureIndex, layer: Layer) -> None:
    found = token_pagerank(index, layer.tokens, FEATURE)
    assert found.schema == RANKED
    graph = networkx.Graph()
    captions = layer.tokens.filter(pl.col("segment") == "caption").partition_by("sample_id", "language")
    for caption in captions:
        ids, values = caption["token_id"].to_list(), layer.dense[caption["index"], FEATURE].astype(float)
        active = [(token, value) for token, value in zip(ids, values) if value > 0]
        for one, a in active:
            for other, b in active:
                before = graph.get_edge_data(one, other, {"weight": 0.0})["weight"]
                graph.add_edge(one, other, weight=before + a * b * (0.5 if one != other else 1))
    expected = networkx.pagerank(graph, alpha=0.85, tol=1e-12, max_iter=500)
    assert found["rank"].sum() == pytest.approx(1)
    assert found["rank"].is_sorted(descending=True)
    for token, rank in found.select("token_id", "rank").iter_rows():
        assert rank == pytest.approx(expected[token], abs=1e-4)


def test_mean_and_lift_of_a_token_are_those_counted_by_hand(index: FeatureIndex, layer: Layer) -> None:
    captions = layer.tokens.filter((pl.col("segment") == "caption") & ~pl.col("special"))
    values = layer.dense[captions["index"], FEATURE]
    for row in token_pagerank(index, layer.tokens, FEATURE).iter_rows(named=True):
        own = (captions["token_id"] == row["token_id"]).to_numpy()
        active = values[own & (values > 0)]
        assert row["rows"] == len(active) and row["mean"] == pytest.approx(active.mean(), rel=1e-5)
        assert row["lift"] == pytest.approx(len(active) / (values > 0).sum() / own.mean())
