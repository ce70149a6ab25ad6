"""Steering across languages: one direction carries over wholly, and what a language learnt from rows that decide
nothing carries nothing."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.contrast import Config, Interventions
from core.analysis.contrast.figures import figures
from core.analysis.contrast.run import run
from core.analysis.contrast.vectors import vectors_of
from core.analysis.result import Result
from core.causal.steering import DIFFERENCE, FEATURES
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.features.inputs import AnalysisInputs
from core.study.model import IndexConfig
from tests.core.causal.causal_world import DECOYS, LAYER, SAID, CausalWorld
from tests.core.causal.sourced import assert_sourced
from tests.core.features.planted_world import Table

STEER = Interventions(layers=(LAYER,), features=2, images=6, draws=19, bootstrap=200)
CONFIG = Config(layers=(LAYER,), ks=(1, 2), draws=19, interventions=STEER)
ACROSS = pl.col("source") != pl.col("target")


@pytest.fixture(scope="module")
def result(shared_causal_world: CausalWorld) -> Result:
    return run(shared_causal_world.inputs, CONFIG)


@pytest.fixture(scope="module")
def apart(shared_causal_world: CausalWorld, tmp_path_factory: pytest.TempPathFactory) -> Iterator[AnalysisInputs]:
    """In the rows that vectors are fitted on, Arabic says the gender along a direction that the head is blind to."""
    yield learnt_apart(shared_causal_world, tmp_path_factory.mktemp("apart"))


def learnt_apart(world: CausalWorld, folder: Path) -> AnalysisInputs:
    view = world.inputs.open_layer(LAYER)
    stream = view.table.block(0, len(view.table)).numpy().copy()
    arabic = (view.table.tokens["language"] == "ar").fill_null(False).to_numpy()
    english = ((view.table.tokens["language"] == "en") & (view.table.tokens["segment"] == "caption")).fill_null(False)
    female = view.table.tokens["image_id"].str.ends_with("-female").to_numpy()
    means = [stream[english.to_numpy() & side].mean(axis=0) for side in (female, ~female)]
    blind = DECOYS.start + int(np.abs(world.basis[DECOYS].numpy() @ (means[0] - means[1])).argmin())
    basis = world.basis[[SAID, blind]].numpy()
    stream[arabic] += stream[arabic] @ basis.T @ (basis[::-1] - basis)
    table: Any = Table(view.table.tokens, stream)
    build_index(view.sae, table, world.samples, IndexConfig(), folder)
    opened = replace(view, table=table, index=FeatureIndex.open(folder))
    return replace(world.inputs, open_layer={LAYER: opened}.__getitem__)


def test_a_direction_of_both_languages_carries_over_wholly(result: Result) -> None:
    across = result.tables["steered"].filter(ACROSS)
    assert across.height == 4 and set(across["vector"]) == {FEATURES, DIFFERENCE}
    assert across["share"].is_between(0.9, 1.1).all() and (across["cosine"] > 0.95).all()
    assert (across["share_control_high"] < 0.9).all() and (across["p"] <= 0.05).all()
    assert (result.tables["steered"]["low"] > 0).all()


def test_effects_are_signed_toward_the_first_side_and_of_one_norm(
    shared_causal_world: CausalWorld, result: Result
) -> None:
    """Up and down differ by twice the added length along what the head reads."""
    half = CONFIG.model_copy(update={"interventions": STEER.model_copy(update={"norm": 0.1, "draws": 0})})
    table = run(shared_causal_world.inputs, half).tables["steered"]
    ratio = result.tables["steered"]["effect"] / table["effect"]
    assert ratio.is_between(1.6, 2.2).all()


def test_what_was_learnt_from_rows_that_decide_nothing_carries_nothing(apart: AnalysisInputs) -> None:
    found = run(apart, CONFIG)
    rows = {(row["source"], row["target"], row["vector"]): row for row in found.tables["steered"].iter_rows(named=True)}
    for kind in (FEATURES, DIFFERENCE):
        english, arabic = rows["en", "ar", kind], rows["ar", "en", kind]
        assert english["effect"] > 4 * abs(arabic["effect"]) and english["p"] <= 0.05 < arabic["p"]
        assert english["share"] is None or abs(english["share"]) > 4  # of next to nothing
        assert abs(arabic["share"]) < 0.25
    told = {one.name: one for one in found.estimates}
    assert told["steered.features.en-ar"].beyond_control and not told["steered.features.ar-en"].beyond_control


def test_vectors_of_a_language_know_nothing_of_the_other(
    shared_causal_world: CausalWorld, apart: AnalysisInputs
) -> None:
    view, clean = apart.open_layer(LAYER), vectors_of(apart.open_layer(LAYER), "en", 2, 19, 0)
    arabic = vectors_of(view, "ar", 2, 19, 0)
    assert not set(clean.features) & set(arabic.features)
    said = (abs(float(one.own[DIFFERENCE] @ shared_causal_world.basis[SAID])) for one in (clean, arabic))
    assert next(said) > 4 * next(said)


def test_estimates_are_sourced_tested_and_drawn(result: Result) -> None:
    assert_sourced(result)
    own = [one for one in result.estimates if one.name.startswith("steered")]
    assert len(own) == 12 and not any(one.answers for one in own)
    assert all(one.control is not None and one.q is not None and one.interval is not None for one in own)
    assert all(one.verdict == "found" for one in own)
    assert not any("not interventions" in note for note in result.notes)
    assert set(figures(result.tables)) == {"steered"} and figures(result.tables)["steered"].chart.to_dict()


def test_without_interventions_no_model_is_opened(shared_causal_world: CausalWorld) -> None:
    def refuse() -> Any:
        raise AssertionError("the model was opened")

    plain = run(
        replace(shared_causal_world.inputs, open_model=refuse), CONFIG.model_copy(update={"interventions": None})
    )
    assert "steered" not in plain.tables and any("not interventions" in note for note in plain.notes)
    assert "interventions" not in Config().model_dump()
