"""Probes read what was planted, with as many features as carry it, and nothing in shuffled labels."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.analysis.probes import Config
from core.analysis.probes.figures import figures
from core.analysis.probes.run import run
from core.analysis.result import Result
from core.errors import BadInput
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.report.sentences import sentences, verdicts
from tests.core.features.planted_world import Index, World, make_codes, make_inputs, read_planted_sets

CONFIG = Config(ks=(1, 2), concluded=(1, 2), draws=99, layers=(0, 2))


def with_frozen(inputs: AnalysisInputs) -> AnalysisInputs:
    """A dictionary beside each layer's SAE in which no feature goes with the concept."""

    def frozen(layer: int) -> LayerView:
        view = inputs.open_layer(layer)
        codes: Any = make_codes(World(born=99), view.table.tokens, np.zeros(len(view.table), dtype=bool), 50 + layer)
        index: Any = Index(codes)
        return replace(view, index=index)

    return replace(inputs, open_frozen=frozen)


def planted(world: World, shuffled_by: int | None = None) -> AnalysisInputs:
    inputs = make_inputs(world)
    if shuffled_by is None:
        return with_frozen(inputs)
    order = np.random.default_rng(shuffled_by).permutation(inputs.samples.height)
    genders = [inputs.samples[name][order].alias(name) for name in inputs.samples.columns if "gender" in name]
    return with_frozen(replace(inputs, samples=inputs.samples.with_columns(genders)))


@pytest.fixture(scope="module", autouse=True)
def fewer_fits() -> Iterator[None]:
    """One strength and one draw of random labels per word type, for speed: tests/core/stats has the choice and the
    average."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.analysis.probes.run.CONTROLS", 1)
        patch.setattr("core.stats.probes.STRENGTHS", (0.01,))
        yield


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.features.row_groups.position_sets", read_planted_sets)
        return run(planted(World(images=120)), CONFIG.model_copy(update={"position_sets": ("pre-gender",)}))


def test_the_planted_features_read_the_label_where_it_was_born(result: Result) -> None:
    sparse = result.tables["probes"].filter(features=2, read="SAE")
    assert sparse.filter(layer=2)["auroc"].min() > 0.9
    assert sparse.filter(layer=0)["auroc"].max() < 0.85
    assert set(result.tables["best"]["layer"]) == {2}
    best = result.tables["best"].filter(features=2, read="SAE")
    assert (best["auroc"] > best["shuffled_high"]).all() and (best["majority"] < 0.75).all()
    assert best["control"].is_not_null().all()


def test_they_beat_a_dictionary_that_knows_nothing(result: Result) -> None:
    assert verdicts(result.estimates) == {"en": "found", "ar": "found"}
    found = {one.name: one for one in result.estimates}
    one = found["beyond_frozen.2.gender.pre-gender.en"]
    assert one.verdict == "found" and one.value > 0.2 and one.answers
    assert one.control is not None and abs(one.control.mean) < 0.05
    assert found["linear.gender.pre-gender.ar"].verdict == "found"
    assert any(
        "minus that of as many features of the frozen dictionary" in line for line in sentences(result.estimates)
    )


def test_every_estimate_is_an_entry_of_its_table(result: Result) -> None:
    for one in result.estimates:
        row = result.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name
    assert len({one.name for one in result.estimates}) == len(result.estimates)


def test_figures_have_captions_and_a_chart(result: Result) -> None:
    drawn = figures(result.tables)
    assert set(drawn) == {"probe_matrix", "few_features"}
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_shuffled_labels_are_found_nowhere(planted_sets: None) -> None:
    config = CONFIG.model_copy(update={"layers": (2,), "position_sets": ("last-prompt",)})
    told = [run(planted(World(images=120, languages=("en",)), seed), config).estimates for seed in range(2)]
    assert sum(any(one.verdict == "found" for one in found) for found in told) <= 1


def test_any_column_is_read_and_one_place_alone(planted_sets: None) -> None:
    inputs = make_inputs(World(images=80, languages=("en",)))
    config = Config(columns=("gender", "profession"), position_sets=("image",), ks=(1, 2), concluded=(1, 2), draws=19)
    found = run(inputs, config.model_copy(update={"layers": (2,)}))
    assert found.tables["probes"].select("label", "language", "position_set").unique().sort("label").rows() == [
        ("gender", "shared", "image"),
        ("profession", "shared", "image"),
    ]
    assert found.tables["best"].filter(label="profession")["classes"].max() > 2
    assert any("No frozen dictionary" in note for note in found.notes)
    assert set(figures(found.tables)) == {"probe_matrix", "labels", "few_features"}
    assert {one.name.partition(".")[0] for one in found.estimates} == {"linear", "sparse", "beyond_random"}


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"columns": ("shoe",)}, "no labels 'shoe'; there are gender"),
        ({"position_sets": ("nowhere",)}, "'nowhere' is no position set"),
        ({"concluded": (1, 3)}, r"3 is not in ks \[1, 2\]"),
    ],
)
def test_what_cannot_be_probed_is_refused_in_one_line(world: AnalysisInputs, fields: dict[str, Any], told: str) -> None:
    with pytest.raises(BadInput, match=told):
        run(world, Config.model_validate({"ks": (1, 2), "concluded": (1, 2), **fields}))
