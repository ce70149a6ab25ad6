"""Each statistic of a feature against a plain loop over the dense activations."""

import copy
import math
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.activations.positions import position_sets
from core.data.gender_concept import GENDER
from core.features.build import build_index
from core.features.examples import examples
from core.features.index import FeatureIndex
from core.features.statistics import BINS, FEATURES, LANGUAGES, POSITIONS, QUANTILES, SEGMENTS
from core.features.token_rows import TokenRows
from core.study.model import IndexConfig
from tests.core.features.planted_layer import Layer


@pytest.fixture(params=[0, 3, 4, 7, 39])
def feature(request: pytest.FixtureRequest) -> int:
    return int(request.param)


def _active(layer: Layer, feature: int) -> tuple[np.ndarray, np.ndarray, pl.DataFrame]:
    """Rows that are not special and on which the feature is active, its values there, and their tokens."""
    rows = np.flatnonzero((layer.dense[:, feature] > 0) & ~layer.tokens["special"].to_numpy())
    return rows, layer.dense[rows, feature].astype(np.float64), layer.tokens[rows]


def test_the_table_has_the_declared_schema(index: FeatureIndex) -> None:
    assert index.features.schema == FEATURES
    assert index.features["feature"].to_list() == list(range(40))
    assert index.positions.schema == POSITIONS


def test_counts_leave_special_rows_out(index: FeatureIndex, layer: Layer, feature: int) -> None:
    rows, _, tokens = _active(layer, feature)
    found = index.features.row(feature, named=True)
    assert found["count"] == len(rows)
    assert found["density"] == pytest.approx(len(rows) / (~layer.tokens["special"]).sum())
    assert found["samples"] == tokens["sample_id"].n_unique()
    assert found["images"] == tokens["image_id"].n_unique()
    assert found["idf"] == pytest.approx(math.log((1 + 12) / (1 + found["samples"])) + 1)
    for language in LANGUAGES:
        assert found[f"count_{language}"] == (tokens["language"].fill_null("shared") == language).sum()


def test_strengths_when_active(index: FeatureIndex, layer: Layer, feature: int) -> None:
    rows, values, _ = _active(layer, feature)
    found = index.features.row(feature, named=True)
    if not len(rows):
        assert found["mean"] is found["max"] is found["q50"] is None
        assert found["top_rows"] == []
        assert found["histogram"] == [0] * BINS
        return
    assert found["mean"] == pytest.approx(values.mean(), rel=1e-5)
    assert found["max"] == pytest.approx(values.max(), rel=1e-5)
    for name, q in QUANTILES.items():
        assert found[name] == pytest.approx(np.quantile(values, q), rel=1e-5)
    assert found["top_rows"] == rows[np.argsort(-values, kind="stable")][:6].tolist()
    assert found["top_values"] == pytest.approx(np.sort(values)[::-1][:6], rel=1e-5)
    assert sum(found["histogram"]) == len(rows)
    assert found["histogram"][-1] == (values >= values.max() * (1 - 1 / BINS)).sum()


def test_share_and_mean_square_by_segment(index: FeatureIndex, layer: Layer, feature: int) -> None:
    found = index.features.row(feature, named=True)
    for segment in SEGMENTS:
        inside = ((layer.tokens["segment"] == segment) & ~layer.tokens["special"]).to_numpy()
        values = layer.dense[inside, feature].astype(np.float64)
        assert found[f"rate_{segment}"] == pytest.approx((values > 0).mean())
        assert found[f"mean_square_{segment}"] == pytest.approx((values**2).mean(), rel=1e-5)


def test_position_sets_by_language(index: FeatureIndex, layer: Layer, feature: int) -> None:
    names = position_sets(layer.tokens, layer.samples, GENDER)
    special = layer.tokens["special"]
    expected = {}
    for language in (None, "en", "ar"):
        for name in names.unique():
            inside = (
                layer.tokens["language"].eq_missing(pl.Series([language], dtype=pl.String)) & (names == name)
            ).to_numpy()
            inside &= (~special | (names == "last-prompt")).to_numpy()  # the decision point counts, special or not
            values = layer.dense[inside, feature].astype(np.float64)
            active = values[values > 0]
            if len(active):
                expected[language, name] = (len(active), len(active) / len(values), active.mean(), active.max())
    found = index.positions.filter(pl.col("feature") == feature)
    assert {row[1:3] for row in found.iter_rows()} == set(expected)
    for row in found.iter_rows():
        assert row[3:] == pytest.approx(expected[row[1:3]], rel=1e-5)
    assert feature != 4 or ("ar", "last-prompt") in expected


def test_outliers_are_in_no_statistic_and_no_example(layer: Layer, tmp_path: Path) -> None:
    loudest = np.flatnonzero(layer.dense[:, 7])[:3]
    marked = copy.copy(layer.table)
    marked.tokens = layer.tokens.with_columns(outlier=pl.int_range(pl.len()).is_in(loudest.tolist())).with_columns(
        special=pl.col("special") | pl.col("outlier")
    )
    build_index(layer.sae, marked, layer.samples, IndexConfig(), tmp_path)
    index = FeatureIndex.open(tmp_path)
    active = np.flatnonzero((layer.dense[:, 7] > 0) & ~marked.tokens["special"].to_numpy())
    found = index.features.row(7, named=True)
    assert found["count"] == len(active)
    assert not set(found["top_rows"]) & set(loudest)
    assert index.positions.filter(feature=7)["count"].sum() == len(active) + _of_decision_points(layer, marked.tokens)
    assert not set(examples(index, TokenRows(marked.tokens), 7)["row"]) & set(loudest)
    assert set(index.csc(7)[0].tolist()) >= set(loudest.tolist()), "the index itself has them"


def _of_decision_points(layer: Layer, tokens: pl.DataFrame) -> int:
    sets = position_sets(tokens, layer.samples, GENDER)
    return int((layer.dense[:, 7] > 0)[(tokens["special"] & (sets == "last-prompt")).to_numpy()].sum())
