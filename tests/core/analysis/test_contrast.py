"""What is planted along one direction carries over from language to language; along two it does not."""

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.analysis.contrast import Config
from core.analysis.contrast.figures import figures
from core.analysis.contrast.run import run
from core.analysis.result import Result
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.report.sentences import verdicts
from tests.core.features.planted_world import (
    Index,
    Table,
    World,
    activations_of,
    make_codes,
    make_inputs,
    read_planted_sets,
)

CONFIG = Config(ks=(1, 2), draws=99, layers=(0, 2), position_sets=("last-prompt",))
WORLD = World(images=120)


def moved(view: LayerView, apart: bool) -> LayerView:
    """The layer with Arabic rows shifted along the concept's direction, or with the concept along another one."""
    decoder, codes = view.sae.W_dec.numpy(), activations_of(view).toarray()
    arabic = (view.table.tokens["language"] == "ar").fill_null(False).to_numpy()
    stream = view.table.block(0, len(view.table)).numpy().copy()
    if apart:
        stream[arabic] += codes[arabic][:, :2] @ (decoder[[5, 6]] - decoder[:2])
        codes[np.ix_(arabic, [5, 6])], codes[np.ix_(arabic, [0, 1])] = codes[np.ix_(arabic, [0, 1])], 0
    else:
        stream[arabic] += 9 * (decoder[0] - decoder[1])
    table: Any = Table(view.table.tokens, stream)
    index: Any = Index(sparse.csr_array(codes))
    return replace(view, table=table, index=index)


def planted(apart: bool = False, shuffled_by: int | None = None) -> AnalysisInputs:
    inputs = make_inputs(WORLD)
    samples = inputs.samples
    if shuffled_by is not None:
        order = np.random.default_rng(shuffled_by).permutation(samples.height)
        samples = samples.with_columns(samples[name][order].alias(name) for name in ("gender_en", "gender_ar"))
    views = {layer: replace(moved(inputs.open_layer(layer), apart), samples=samples) for layer in (0, 2)}

    def frozen(layer: int) -> LayerView:
        nobody = np.zeros(len(views[layer].table), dtype=bool)
        index: Any = Index(make_codes(World(born=99), views[layer].table.tokens, nobody, 50 + layer))
        return replace(views[layer], index=index)

    return replace(inputs, samples=samples, open_layer=views.__getitem__, open_frozen=frozen)


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.features.row_groups.position_sets", read_planted_sets)
        return run(planted(), CONFIG)


def test_a_shared_direction_carries_over_both_ways(result: Result) -> None:
    assert verdicts(result.estimates) == {"en": "found", "ar": "found"}
    chosen = result.tables["chosen"].filter(read="stream")
    assert set(chosen["layer"]) == {2} and chosen["auroc"].min() > 0.8
    names = {one.name for one in result.estimates if one.answers}
    assert names == {"transfer.last-prompt.en-ar", "transfer.last-prompt.ar-en"}


def test_centring_puts_the_threshold_right_and_moves_no_order(result: Result) -> None:
    across = result.tables["chosen"].filter(pl.col("source") != pl.col("target"), read="stream")
    assert across["accuracy"].max() < 0.6 < 0.7 < across["centred"].min()
    within = result.tables["transfer"].filter(pl.col("source") == pl.col("target"))
    assert (within["accuracy"] - within["centred"]).abs().max() < 1e-9
    found = {one.name: one for one in result.estimates}
    assert found["accuracy.last-prompt.en-ar"].verdict == "found"


def test_features_of_one_language_read_the_other_better_than_a_dictionary_that_knows_nothing(result: Result) -> None:
    found = {one.name: one for one in result.estimates}
    one = found["beyond_frozen.2.last-prompt.en-ar"]
    assert one.verdict == "found" and one.value > 0.2
    own = result.tables["comparisons"].filter(against="the target's own probe")
    assert own.height == 2 and own["excess"].abs().max() < 0.1


def test_directions_apart_do_not_carry_over(planted_sets: None) -> None:
    apart = run(planted(apart=True), CONFIG)
    chosen = apart.tables["chosen"].filter(read="stream", layer=2)
    assert chosen.filter(pl.col("source") == pl.col("target"))["auroc"].min() > 0.9
    assert chosen.filter(pl.col("source") != pl.col("target"))["auroc"].max() < 0.75
    lost = [one for one in apart.estimates if one.name.startswith("beside_own")]
    assert all(one.value < -0.2 and one.verdict == "found" for one in lost)


def test_every_estimate_is_an_entry_of_its_table_and_figures_are_drawn(result: Result) -> None:
    for one in result.estimates:
        row = result.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name
    drawn = figures(result.tables)
    assert set(drawn) == {"transfer", "centring"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_no_random_directions_are_drawn(planted_sets: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("core.features.readings.LayerReadings._projected")
    assert run(planted(), CONFIG.model_copy(update={"layers": (2,)})).tables["transfer"].height > 0


def test_shuffled_labels_are_found_nowhere(planted_sets: None) -> None:
    config = CONFIG.model_copy(update={"layers": (2,)})
    told = [run(planted(shuffled_by=seed), config).estimates for seed in range(2)]
    assert sum(any(one.verdict == "found" and one.answers for one in found) for found in told) <= 1


def test_one_language_has_no_contrast_and_no_other_place_is_known(world: AnalysisInputs) -> None:
    alone = run(make_inputs(World(images=16, languages=("en",))), CONFIG)
    assert alone.notes == ("One language: nothing to contrast.",) and figures(alone.tables) == {}
    with pytest.raises(BadInput, match="'nowhere' is no position set; there are image"):
        run(world, CONFIG.model_copy(update={"position_sets": ("nowhere",)}))
