"""The settings that are off by default, in the planted world: what only `SAID` moves, and what captions cost."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.analysis.amplification import Config
from core.analysis.amplification.figures import figures
from core.analysis.amplification.fluency import CLEAN
from core.analysis.amplification.run import run
from core.analysis.result import Result
from core.causal.interventions import Steering
from core.causal.pairs import choose_samples, find_pairs
from core.causal.steering import FEATURES
from core.causal.steering_vectors import LDA, PROBE, fitted_directions
from core.causal.written import clean_costs, prompt_of, written, written_each
from core.lm.agreement import logits_of
from core.lm.patched import build_batch, run_full
from tests.core.causal.causal_world import INSTRUCTIONS, LAYER, MALE, SAID, CausalWorld, causal_world
from tests.core.causal.sourced import assert_sourced

CONFIG = Config(
    layers=(LAYER,),
    features=2,
    images=3,
    doses=(-1, -0.5, 0, 0.5, 1),
    draws=19,
    bootstrap=50,
    vectors=True,
    random_curves=1,
    logistic=20,
    written=2,
    written_random=1,
    max_new_tokens=3,
    prompting={"en": "Describe the image in English."},
)
TABLES = {"vector_response", "vector_slopes", "mid_dose", "written", "fluency", "prompting"}


@pytest.fixture(scope="module")
def world(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    pairs = {"train": 6, "select": 13, "test": 4}
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", pairs) as opened:
        yield opened


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return run(world.inputs, CONFIG)


def test_settings_that_are_off_are_in_no_fingerprint() -> None:
    assert set(Config().model_dump()) == {"layers", "features", "images", "doses", "draws", "bootstrap"}
    asked = CONFIG.model_dump()
    assert Config.model_validate(asked) == CONFIG and {"vectors", "written", "prompting", "logistic"} <= set(asked)


def test_every_estimate_stands_in_its_table(result: Result) -> None:
    assert set(result.tables) >= TABLES
    assert_sourced(result)
    assert [one.name for one in result.estimates if one.answers] == ["slope.en", "slope.ar"]


def test_each_feature_the_discriminant_and_the_probe_move_the_word(result: Result) -> None:
    slopes = result.tables["vector_slopes"]
    singles = {f"feature {SAID}", f"feature {MALE + SAID}"}
    assert set(slopes["vector"]) == {FEATURES, "difference of means", LDA, PROBE} | singles
    assert (slopes["slope"] > 0).all() and (slopes["draws"] == 19).all()
    planted = slopes.filter(pl.col("vector").is_in([FEATURES, *singles]))
    assert (planted["slope"] > planted["isotropic_high"]).all()
    # Either feature is the planted direction, and so is their sum: vectors of one length, one slope.
    for language in ("en", "ar"):
        own = slopes.filter(pl.col("language") == language, pl.col("vector").is_in([FEATURES, *singles]))
        assert own["slope"].to_numpy() == pytest.approx(own["slope"][0], rel=1e-3)


def test_all_vectors_add_the_same_norm_at_a_dose(result: Result) -> None:
    norms = result.tables["vector_response"].group_by("dose", "language").agg(pl.col("relative_norm"))
    for row in norms.rows(named=True):
        np.testing.assert_allclose(row["relative_norm"], row["relative_norm"][0], rtol=1e-3)
    random = result.tables["vector_response"]["vector"].unique().to_list()
    assert {"isotropic 1", "residual covariance 1"} < set(random)


def test_the_directions_point_to_what_was_planted(world: CausalWorld) -> None:
    for vector in fitted_directions(world.inputs.open_layer(LAYER), 0).values():
        assert float(vector @ world.basis[SAID]) > 0.5


def test_captions_are_written_at_every_dose(result: Result) -> None:
    captions = result.tables["written"]
    assert captions.filter(vector=CLEAN).height == 4  # two images, two languages
    assert set(captions.filter(vector=FEATURES)["dose"]) == {-1, -0.5, 0.5, 1}
    fluency = result.tables["fluency"]
    assert set(fluency["dose"]) == set(CONFIG.doses) and set(fluency["language"]) == {"en", "ar"}
    assert fluency.filter(pl.col("dose") != 0, pl.col("measure") == "words")["draws"].min() == 3


def test_an_instruction_that_is_the_studys_own_changes_nothing(result: Result) -> None:
    table = result.tables["prompting"]
    assert set(table["language"]) == {"en"}  # no instruction was given for Arabic
    own = table.filter(method="prompting").row(0, named=True)
    assert own["how"] == INSTRUCTIONS["en"] and own["rate"] == 0 and own["said"] == 0
    steered, apart = (table.filter(method=name) for name in ("steering", "steering less prompting"))
    assert steered.height == apart.height == 1
    assert apart["rate"].item() == steered["rate"].item()
    rates = result.tables["rates"].filter(language="en")
    assert steered["rate"].item() == pytest.approx(rates["change"].item())
    assert any("ar: no instruction" in note for note in result.notes)


def test_a_captions_cost_is_the_models_own_loss(world: CausalWorld) -> None:
    inputs, loaded = world.inputs, world.loaded
    captions = choose_samples(inputs, 2).captions
    pairs, _ = find_pairs(inputs, loaded, captions, "en")
    prompts = [prompt_of(inputs, loaded, pair) for pair in pairs]
    costs = clean_costs(inputs, loaded, [*prompts, prompts[0]], [*(pair.caption.caption for pair in pairs), ""])
    assert np.isnan(costs[-1].all)
    for pair, cost in zip(pairs, costs, strict=False):
        batch = build_batch(loaded, [pair.caption])
        log_probs = logits_of(loaded, run_full(loaded, batch))[0].float().log_softmax(dim=-1)
        ids, start = torch.tensor(pair.caption.ids), pair.caption.prefix_length
        each = -log_probs[torch.arange(start - 1, len(ids) - 1), ids[start:]]
        assert cost.all == pytest.approx(float(each.mean()), rel=1e-4)
        gendered = [text in (" woman", " man") for text in map(loaded.tokenizer.decode, ids[start:].tolist())]
        assert any(gendered)
        kept = each[~torch.tensor(gendered)]
        assert cost.other == pytest.approx(float(kept.mean()), rel=1e-4)


def test_a_vector_of_length_0_writes_the_clean_caption(world: CausalWorld) -> None:
    inputs, loaded, opened = world.inputs, world.loaded, world.inputs.open_layer(LAYER)
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 2).captions, "en")
    prompts = [prompt_of(inputs, loaded, pair) for pair in pairs]
    nothing = Steering(torch.zeros(32))
    assert written(loaded, opened, prompts, 3) == written(loaded, opened, prompts, 3, nothing)


def test_each_caption_has_its_own_vector(world: CausalWorld) -> None:
    inputs, loaded, opened = world.inputs, world.loaded, world.inputs.open_layer(LAYER)
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 2).captions, "en")
    prompts = [prompt_of(inputs, loaded, pair) for pair in pairs]
    vectors = torch.stack([world.basis[SAID] * 90, world.basis[MALE - 1] * -60])
    together = written_each(loaded, opened, prompts, vectors, 4)
    for prompt, vector, text in zip(prompts, vectors, together, strict=True):
        assert written(loaded, opened, [prompt], 4, Steering(vector)) == [text]


def test_figures_are_valid(result: Result) -> None:
    drawn = figures(result.tables)
    assert {"vectors", "vector_slopes", "effect_and_fluency"} < set(drawn)
    assert all(figure.chart.to_dict() and figure.caption for figure in drawn.values())


def test_without_images_no_caption_is_generated(world: CausalWorld) -> None:
    config = Config(**{**CONFIG.model_dump(), "vectors": False, "logistic": 0, "prompting": {}})
    samples = world.samples.drop("image")
    found = run(replace(world.inputs, images=None, samples=samples), config)
    assert "written" not in found.tables
