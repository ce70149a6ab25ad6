from dataclasses import replace

import numpy as np
import polars as pl
import pytest
import torch

from core.analysis.ablation import Config as AblationConfig
from core.analysis.ablation.figures import figures
from core.analysis.ablation.findings import estimates
from core.analysis.ablation.run import run as ablation
from core.analysis.result import Result
from core.causal.controls import matched_controls
from core.causal.interventions import Ablation, Steering, during_generation, open_edit_site
from core.causal.pairs import choose_samples, find_pairs
from core.data.gender_concept import GENDER
from core.lm.agreement import logits_of
from core.lm.hooks import edit
from core.lm.outcomes import word_ends
from core.lm.patched import LAST_PROMPT, build_batch, clean_run, run_full
from tests.core.causal.causal_world import LAYER, MALE, SAID, SEEN, CausalWorld
from tests.core.causal.sourced import assert_sourced

CONFIG = AblationConfig(layers=(LAYER,), features=2, images=6, draws=19, bootstrap=100, curve=True, lexicon=True)


@pytest.fixture(scope="session")
def world(shared_causal_world: CausalWorld) -> CausalWorld:
    return shared_causal_world


@pytest.fixture(scope="module")
def result(world: CausalWorld) -> Result:
    return ablation(world.inputs, CONFIG)


def primary(result: Result, intervention: str = "zero ablation") -> pl.DataFrame:
    effects = result.tables["effects"]
    return effects.filter((pl.col("intervention") == intervention) & (pl.col("outcome") == "first-gendered"))


def test_the_planted_features_are_chosen_and_move_the_word_in_both_languages(result: Result) -> None:
    assert set(result.tables["features"]["feature"]) == {SAID, MALE + SAID}
    rows = primary(result)
    assert set(rows["language"]) == {"en", "ar", "all"}
    assert (rows["low"] > 0).all()
    assert (rows["p"] <= 0.05).all()
    assert rows["language"][-1] == "all"
    assert all(one.verdict == "found" for one in result.estimates if one.answers)


def test_by_dose_the_planted_features_move_the_word_further_at_the_controls_kl(result: Result) -> None:
    own = result.tables["curve"].filter(set="chosen features", dose=1.0)
    assert own["effect"].to_list() == pytest.approx(primary(result)["effect"][:2].to_list(), rel=1e-4)
    assert (result.tables["curve"].filter(set="chosen features", dose=0.5)["effect"] < own["effect"]).all()
    compared = result.tables["at_control_kl"]
    assert (compared["low"] > compared["control_high"]).all()
    assert {"at_control_kl.en", "at_control_kl.ar"} < {one.name for one in result.estimates}


def test_random_features_do_not(result: Result) -> None:
    rows = primary(result)
    assert (rows["draws"] == 19).all()
    assert (rows["control"].abs().to_numpy() < 0.2 * rows["effect"].to_numpy()).all()


def test_interchange_with_the_twin_is_the_ceiling_and_ablation_about_half_of_it(result: Result) -> None:
    """Setting ±c to 0 is half of turning it into ∓c, up to the head's softmax."""
    ceiling = primary(result, "interchange, every position")
    assert (ceiling["effect"].to_numpy() > primary(result)["effect"].to_numpy()).all()
    shares = primary(result)["share"]
    assert (shares > 0.3).all()
    assert (shares < 0.8).all()
    assert ceiling["share"].is_null().all()


def test_the_last_prompt_token_alone_is_left_out_where_no_sae_is_trained_on_its_rows(result: Result) -> None:
    """The chat template ends in a control token; 0.0 [0, 0] there is no measurement."""
    assert primary(result, "zero ablation, last prompt token only").is_empty()
    assert primary(result, "zero ablation, image only").height == 3
    assert any("last prompt token" in note and "no SAE is trained" in note for note in result.notes)


def test_effects_equal_the_same_ablation_by_a_hook_in_the_full_model(world: CausalWorld, result: Result) -> None:
    """One word at a time, the whole model, features removed by projection: no code of the runs."""
    inputs, loaded = world.inputs, world.loaded
    ends = word_ends(loaded)
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, CONFIG.images).captions, "en")
    found = result.tables["images"].filter(
        (pl.col("language") == "en")
        & (pl.col("intervention") == "zero ablation")
        & (pl.col("outcome") == "first-gendered")
    )
    said = world.basis[SAID]
    for pair in pairs:
        odds = {}
        for patched in (False, True):
            scores = []
            for word in (pair.positive, pair.negative):
                batch = build_batch(loaded, [word.sample])
                reach = batch.patchable()[..., None] * float(patched)
                removed = lambda stream, reach=reach: stream - (stream @ said)[..., None] * said * reach  # noqa: E731
                with edit(loaded.blocks, LAYER, removed):
                    table = logits_of(loaded, run_full(loaded, batch))[0].log_softmax(dim=-1)
                ids = word.sample.ids
                spelled = sum(float(table[i - 1, ids[i]]) for i in range(word.start, len(ids)))
                scores.append(spelled + float(table[-1, ends].logsumexp(0)))
            odds[patched] = scores[0] - scores[1]
        row = found.filter(pl.col("image_id") == pair.image_id)
        assert row["clean"].item() == pytest.approx(odds[False], abs=1e-3)
        assert row["effect"].item() == pytest.approx(pair.sign * (odds[True] - odds[False]), abs=1e-3)


def test_all_words_of_the_language_shift_with_the_captions_own(result: Result) -> None:
    rows = result.tables["lexicon"]
    assert rows["language"].to_list() == ["en", "ar", "all"]
    assert (rows["low"] > rows["control_high"]).all() and (rows["p"] <= 0.05).all()
    assert (rows["held"] > 0.99).all() and (rows["missed"] < 0.05).all()
    assert rows["own"].to_list() == pytest.approx(primary(result)["effect"].to_list(), abs=1e-4)
    found = {one.name: one for one in result.estimates}
    assert [found[f"lexicon.{one}"].verdict for one in ("en", "ar")] == ["found", "found"]
    assert not found["lexicon.en"].answers
    listed = result.tables["lexicon_words"].filter(language="ar", side="female")
    assert listed["word"][0] == "امرأة" and listed["share"][0] > 0.9


def test_test_images_are_one_of_each_twin_pair_and_balanced(world: CausalWorld) -> None:
    rows = choose_samples(world.inputs, 6).rows
    assert set(rows["split"]) == {"test"}
    assert not set(rows["sample_id"]) & set(rows["twin_id"])
    assert rows["gender_en"].value_counts()["count"].to_list() == [3, 3]


def test_people_who_show_no_gender_are_left_out_and_counted(world: CausalWorld) -> None:
    samples = world.samples.with_columns(pl.lit("neutral").alias("visible_gender"))
    chosen = choose_samples(replace(world.inputs, samples=samples), 6)
    assert chosen.rows.is_empty()
    assert chosen.left_out == {"person shows no gender": 16}


def test_without_any_pair_the_result_says_so(world: CausalWorld) -> None:
    samples = world.samples.with_columns(pl.lit("neutral").alias("visible_gender"))
    found = ablation(replace(world.inputs, samples=samples), CONFIG)
    assert found.estimates == ()
    assert found.tables["effects"].is_empty()
    assert any("No ablation" in note for note in found.notes)
    assert figures(found.tables) == {}


def test_the_same_run_gives_the_same_tables(world: CausalWorld, result: Result) -> None:
    again = ablation(world.inputs, CONFIG)
    assert all(again.tables[name].equals(table) for name, table in result.tables.items())


def test_estimates_answer_by_language_before_what_is_pooled(result: Result) -> None:
    assert_sourced(result)
    assert [one.name for one in result.estimates[:3]] == ["shift.en", "shift.ar", "shift.all"]
    assert [one.answers for one in result.estimates[:3]] == [True, True, False]
    shift = result.estimates[0]
    assert (shift.n, shift.counted, shift.draws, shift.sides) == (6, "test images", 19, 2)
    assert shift.control is not None and shift.control.draws == 19
    assert shift.condition.startswith("2 features associated with gender")
    assert {"share.en", "share.ar", "kl.en", "kl.ar"} <= {one.name for one in result.estimates}


def test_the_reported_layer_is_picked_without_the_test_images(result: Result) -> None:
    """A layer with a larger effect on test images loses against one whose features' association is larger elsewhere."""
    tables = dict(result.tables)
    for name, columns in (("effects", {"effect": 99.0}), ("features", {"association": 0.01}), ("specificity", {})):
        other = [pl.lit(value).alias(column) for column, value in columns.items()]
        moved = tables[name].with_columns(pl.lit(LAYER + 1, pl.UInt16).alias("layer"), *other)
        tables[name] = pl.concat([moved, tables[name]])
    found = estimates(tables, GENDER, "images")
    assert {one.layer for one in found} == {LAYER}
    assert found[0].chosen.startswith("of 2 layers the one whose features have the largest association")
    assert found[0].family == "2 layers × 2 languages"


def test_without_a_match_there_is_no_control_and_no_claim(
    world: CausalWorld, result: Result, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("core.causal.controls.CALIPERS", (1 + 1e-9,))
    found = ablation(world.inputs, CONFIG)
    shift = next(one for one in found.estimates if one.name == "shift.en")
    assert shift.control is None and shift.p is None
    assert shift.verdict == "weak"
    assert "caliper" in shift.caveats[0]
    assert any("caliper" in note for note in found.notes)
    assert found.tables["draws"].is_empty()
    assert found.tables["draws"].schema == result.tables["draws"].schema  # of another layer, it stands in one table


def test_captions_of_an_image_are_averaged(world: CausalWorld) -> None:
    """A second caption of every image that is measured halves no image's weight."""
    extra = (
        world.samples.filter(pl.col("split") == "test")
        .with_columns(
            pl.lit("Here a woman is singing.").alias("caption_en"),
            (pl.col("sample_id") + "-b").alias("sample_id"),
            pl.lit(None, pl.String).alias("twin_id"),
        )
        .filter(pl.col("gender_en") == "female")
    )
    inputs = replace(world.inputs, samples=pl.concat([world.samples, extra]))
    found = ablation(inputs, replace_config(draws=19))
    captions = found.tables["images"].filter(language="en", intervention="zero ablation", outcome="first-gendered")
    assert captions.height > captions["image_id"].n_unique() == 6
    row = primary(found).filter(language="en")
    assert row["images"].item() == 6
    means = captions.group_by("image_id").agg(pl.col("effect").mean())
    assert row["effect"].item() == pytest.approx(means["effect"].mean())


def replace_config(**changed: object) -> AblationConfig:
    return CONFIG.model_copy(update=changed)


def test_balance_tells_how_alike_chosen_and_drawn_sets_are(result: Result) -> None:
    table = result.tables["balance"]
    assert set(table["measure"]) == {"firing rate", "mean squared contribution", "‖Δx‖", "‖Δx‖ / ‖x‖"}
    assert set(table["language"]) == {"en", "ar"}
    assert {"image", "prompt", "caption", "last prompt token"} <= set(table["segment"])
    assert table["drawn"].is_not_null().all()


def test_figures_are_valid(result: Result) -> None:
    drawn = figures(result.tables)
    assert set(drawn) == {"effect", "interventions", "specificity", "curve"}
    assert all(figure.chart.to_dict() and figure.caption for figure in drawn.values())


def test_controls_are_unassociated_distinct_and_seeded(world: CausalWorld) -> None:
    opened = world.inputs.open_layer(LAYER)
    control = matched_controls(opened, [SAID, MALE + SAID], 30, seed=4)
    assert control == matched_controls(opened, [SAID, MALE + SAID], 30, seed=4)
    assert all(len(set(features)) == 2 for features in control.draws)
    drawn = {feature for features in control.draws for feature in features}
    assert not drawn & {SAID, MALE + SAID, SEEN, MALE + SEEN}
    assert opened.ranking.signs([SAID, MALE + SAID]) == [1, -1]


def test_profiles_average_over_rows_of_a_segment_and_language(world: CausalWorld) -> None:
    opened = world.inputs.open_layer(LAYER)
    profile = opened.profile
    dense = opened.index.activations(list(range(64)))
    tokens = opened.table.tokens
    chosen = (
        tokens["image_id"].str.starts_with("select") & (tokens["segment"] == "caption") & (tokens["language"] == "ar")
    ).to_numpy()
    place = profile.languages.index("ar")
    np.testing.assert_allclose(profile.mean[2, place], dense[chosen].mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(profile.power[2, place], (dense[chosen] ** 2).mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(profile.rate[2, place], (dense[chosen] > 0).mean(axis=0), rtol=1e-6)


def test_ablation_replaces_activations_by_segment_and_keeps_the_rest(world: CausalWorld) -> None:
    inputs, loaded = world.inputs, world.loaded
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 2).captions, "en")
    batch = build_batch(loaded, [pair.caption for pair in pairs])
    stream = clean_run(loaded, batch, [LAYER])[LAYER]
    site = open_edit_site(inputs.open_layer(LAYER).sae, stream, batch.segments, batch.patchable())
    means = {3: torch.tensor([7.0, 2.0])}
    patched = Ablation((SAID, MALE + SAID), replacement=means, segments=(3,))(site)
    at = batch.segments == 3
    said = world.basis[SAID]
    torch.testing.assert_close(patched[~at], stream[~at], rtol=0, atol=0)
    torch.testing.assert_close(patched[at] @ said, torch.full((int(at.sum()),), 5.0), rtol=1e-4, atol=1e-3)
    rest = torch.eye(32) - torch.outer(said, said)
    torch.testing.assert_close(patched @ rest, stream @ rest, rtol=1e-4, atol=1e-3)


def test_no_patch_reaches_a_norm_beyond_the_limit_but_the_last_prompt_position(world: CausalWorld) -> None:
    inputs, loaded = world.inputs, world.loaded
    pairs, _ = find_pairs(inputs, loaded, choose_samples(inputs, 2).captions, "en")
    batch = build_batch(loaded, [pair.caption for pair in pairs])
    stream = clean_run(loaded, batch, [LAYER])[LAYER]
    last = batch.segments == LAST_PROMPT
    far = torch.zeros_like(last)
    far[:, -3:] = far[0, 2] = True
    stream[far | last] *= 100
    limit = float(stream[~(far | last)].norm(dim=-1).max())
    sae, reach = inputs.open_layer(LAYER).sae, batch.patchable()
    site = open_edit_site(sae, stream, batch.segments, reach, limit)
    assert (reach & far).any() and last.any()
    assert torch.equal(site.reach, reach & ~far)
    patched = Steering(torch.ones(32))(site)
    assert torch.equal(patched[far], stream[far])
    assert not torch.isclose(patched[last], stream[last]).all()
    written = during_generation(sae, Steering(torch.ones(32)), limit)(stream, reach)
    far[:, -1] = False  # where the caption is written from
    assert torch.equal(written[far], stream[far]) and not torch.equal(written[:, -1], stream[:, -1])


def test_a_patch_by_segment_is_refused_during_generation(world: CausalWorld) -> None:
    sae = world.inputs.open_layer(LAYER).sae
    with pytest.raises(ValueError, match="segments"):
        during_generation(sae, Ablation((0,), segments=(1,)))
    during_generation(sae, Steering(torch.zeros(32)))
