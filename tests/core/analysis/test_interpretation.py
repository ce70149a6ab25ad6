"""Descriptions name what was planted, and explanations are scored on images they were not made from."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import balanced_accuracy_score

from core.analysis.interpretation import Config as InterpretationConfig
from core.analysis.interpretation.figures import figures
from core.analysis.interpretation.run import run as interpretation
from core.features.examples import EXAMPLES
from core.features.influence import PROMOTED
from core.features.inputs import AnalysisInputs
from core.lm.loading import load_model
from core.stats.enrichment import balanced_accuracy, enrich
from tests.core.features.planted_world import World, make_inputs

CONFIG = InterpretationConfig(features=3, promoted=4)


@pytest.fixture
def study(planted_sets: None, tiny_text_gemma: Path) -> AnalysisInputs:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    return make_inputs(World(images=240, layers=2, d_model=loaded.unembedding.shape[1]), lambda: loaded)


def test_planted_features_are_described_by_gender_and_held_out_scores_say_so(study: AnalysisInputs):
    result = interpretation(study, CONFIG)
    tables = result.tables
    planted = tables["explanations"].filter((pl.col("layer") == 1) & pl.col("feature").is_in([0, 1]))
    assert planted.height == 2
    assert planted["score"].min() > 0.65
    assert (planted["low"] <= planted["score"]).all() and (planted["score"] <= planted["high"]).all()
    assert tables["features"].filter(pl.col("layer") == 1)["feature"].to_list()[:2] in ([0, 1], [1, 0])
    gender = tables["enrichment"].filter(
        (pl.col("feature") == 0) & (pl.col("layer") == 1) & (pl.col("attribute") == "gender_en")
    )
    assert gender.sort("z")["value"].to_list() == ["male", "female"]
    assert {one.name for one in result.estimates if one.answers} >= {"passing.decision.en"}


def test_tables_have_their_columns_and_figures_draw(study: AnalysisInputs):
    tables = interpretation(study, CONFIG).tables
    assert tables["contexts"].columns == ["layer", *EXAMPLES.names(), "image"]
    assert tables["contexts"]["image"].null_count() == 0
    assert tables["promoted"].columns == ["layer", *PROMOTED.names()]
    assert tables["promoted"].height == 2 * 3 * 2 * 4
    drawn = figures(tables)
    assert set(drawn) == {"explanations", "promoted"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_a_study_of_text_without_supported_features_is_described_as_such(study: AnalysisInputs):
    bare = make_inputs(World(images=12, layers=1, image_rows=0), study.open_model)
    bare = replace(bare, samples=bare.samples.drop("image"))
    result = interpretation(bare, CONFIG)
    assert result.tables["features"].height == 0
    assert figures(result.tables) == {}
    assert {"Text only", "No feature passed"} <= {note[: len("Text only")] for note in result.notes} | {
        note[: len("No feature passed")] for note in result.notes
    }


def test_enrichment_follows_monroe_and_ignores_rare_values():
    values = np.array([0] * 40 + [1] * 60 + [2])
    active = np.array([True] * 30 + [False] * 10 + [True] * 10 + [False] * 50 + [True])
    found = enrich(values, active, 3)
    prior, inside, outside = 10 * np.array([40, 60, 1]) / 101, np.array([30, 10, 1]), np.array([10, 50, 0])

    def logit(counts: np.ndarray, value: int) -> float:
        total = counts.sum() + prior.sum()
        return math.log((counts[value] + prior[value]) / (total - counts[value] - prior[value]))

    assert found.log_odds[0] == pytest.approx(logit(inside, 0) - logit(outside, 0))
    error = math.sqrt(1 / (30 + prior[0]) + 1 / (10 + prior[0]))
    assert found.z[0] == pytest.approx(found.log_odds[0] / error)
    assert found.best(3) == [0]


def test_balanced_accuracy_equals_scikit_learns():
    rng = np.random.default_rng(0)
    active, predicted = rng.random(300) < 0.3, rng.random(300) < 0.5
    interval = balanced_accuracy(predicted, active, np.arange(300) // 5, 100, seed=1)
    assert interval.mean == pytest.approx(balanced_accuracy_score(active, predicted))
    assert interval.low < interval.mean < interval.high
    assert math.isnan(balanced_accuracy(predicted, np.ones(300, bool), np.arange(300), 10, seed=1).mean)
