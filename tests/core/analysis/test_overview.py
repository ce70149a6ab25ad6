"""The overview finds what was planted, where it was planted, and nothing in shuffled labels."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from scipy import stats

from core.analysis.overview import Config as OverviewConfig
from core.analysis.overview.counts import attribute_odds
from core.analysis.overview.figures import figures
from core.analysis.overview.notes import outlier_notes
from core.analysis.overview.quality import quality, sum_groups
from core.analysis.overview.run import run as overview
from core.analysis.result import Result
from core.data.gender_concept import GENDER
from core.data.own_columns import other_attributes
from core.data.studied_concept import studied_concept
from core.features.associations import Labels
from core.features.inputs import AnalysisInputs
from core.features.row_groups import group_rows
from core.features.shuffles import shuffle_labels
from core.report.sentences import sentences, verdicts
from core.stats.curves import first_sustained
from core.stats.families import discoveries
from core.study.concept import StudiedConcept
from tests.core.features.planted_world import World, make_inputs, make_samples, make_tokens

CONFIG = OverviewConfig(bootstrap=50, spliced_images=0, shuffles=20, top_features=5)


@pytest.fixture(scope="module")
def result() -> Result:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.features.row_groups.position_sets", lambda tokens, samples, concept: tokens["position_set"])
        return overview(make_inputs(World(images=240)), CONFIG)


def test_gender_emerges_at_the_planted_layer_and_not_before(result: Result):
    summary = result.tables["emergence_summary"].filter("decision")
    assert summary.height == 4
    assert summary["onset"].to_list() == [1] * 4
    assert summary["layer"].to_list() == [1] * 4
    assert summary["q"].max() <= 0.05
    first = result.tables["emergence"].filter((pl.col("layer") == 0) & (pl.col("method") == "logistic"))
    assert first["auroc"].max() < 0.75
    assert (summary["auroc"] > summary["shuffled_high"]).all()


def test_the_planted_features_are_discovered_in_both_languages_and_shuffled_labels_find_nothing(result: Result):
    found = result.tables["associations"].filter(pl.col("q") <= 0.05)
    assert set(found["feature"].to_list()) <= {0, 1}
    assert set(found.select("layer", "language").unique().iter_rows()) == {
        (layer, language) for layer in (1, 2, 3) for language in ("en", "ar", "shared")
    }
    assert (
        found.filter(pl.col("feature") == 0)["auroc"].min() > 0.5 > found.filter(pl.col("feature") == 1)["auroc"].max()
    )
    runs = result.tables["false_discoveries"]
    by_run = runs.group_by("question", "draw").agg(pl.col("discoveries").sum())
    assert by_run.group_by("question").agg((pl.col("discoveries") > 0).sum())["discoveries"].max() <= 3


def test_every_question_is_a_family_of_its_own(result: Result):
    tested = result.tables["associations"]
    assert set(tested["question"]) == {"picture", "decision", "words"}
    for (question,), part in tested.group_by("question"):
        np.testing.assert_allclose(part["q"], stats.false_discovery_control(part["p"].to_numpy()))
        own = result.tables["false_discoveries"].filter(question=question)
        assert own.filter(draw=0)["tests"].sum() == part.height


def test_the_top_features_of_a_layer_are_the_planted_ones(result: Result):
    top = result.tables["top_features"].filter((pl.col("layer") > 0) & (pl.col("rank") <= 2))
    assert set(top["feature"].to_list()) == {0, 1}
    assert (top["low"] <= top["auroc"]).all() and (top["auroc"] <= top["high"]).all()


def test_one_sparse_feature_reads_what_a_planted_feature_carries(result: Result):
    table = result.tables["emergence"].filter((pl.col("layer") > 0) & (pl.col("method") == "2 features"))
    assert table.height == 12  # 3 layers × 2 languages × 2 sets
    assert table["auroc"].min() > 0.85


def test_every_estimate_is_an_entry_of_its_table(result: Result):
    assert result.estimates
    for one in result.estimates:
        row = result.tables[one.source.table].filter(pl.lit(True), **one.source.key)
        assert row.height == 1 and row[one.source.column].item() == one.value, one.name


def test_the_answers_are_by_language_and_found_where_planted(result: Result):
    answers = {one.name for one in result.estimates if one.answers}
    curves = {f"onset.{place}.{language}" for place in ("last-prompt", "pre-gender") for language in ("en", "ar")}
    assert answers == curves | {"features.en", "features.ar"}
    assert verdicts(result.estimates) == {"en": "found", "ar": "found"}
    assert all(one.layer == 1 for one in result.estimates if one.name in curves)
    told = sentences(result.estimates)
    assert any("layer 1, the first of 3 measured layers in a row beyond shuffled curves" in line for line in told)


def test_every_number_and_figure_is_there(result: Result):
    assert result.metrics["onset_layer_en_last_prompt"] == 1
    assert all(np.isfinite(value) for value in result.metrics.values())
    assert set(result.shown) <= set(result.tables)
    drawn = figures(result.tables)
    assert {"emergence", "probes", "top_features", "discoveries", "quality"} == set(drawn)
    assert all(figure.caption and figure.chart.to_dict() for figure in drawn.values())


def test_the_same_inputs_give_the_same_tables(world: AnalysisInputs):
    config = CONFIG.model_copy(update={"layers": (2,), "shuffles": 2})
    first, second = overview(world, config), overview(world, config)
    assert all(first.tables[name].equals(second.tables[name]) for name in first.tables)


def test_quality_equals_a_dense_computation(world: AnalysisInputs):
    layer = world.open_layer(2)
    measured = quality(sum_groups(layer, GENDER.image_labels(world.samples, "en")), 2)
    tokens = layer.table.tokens.join(world.samples.select("image_id", "split"), on="image_id", maintain_order="left")
    rows = np.flatnonzero(((tokens["split"] == "test") & ~tokens["special"]).to_numpy())
    x = layer.table.read(rows).numpy().astype(np.float64)
    codes = np.stack([_dense(layer.index, row) for row in rows])
    rebuilt = codes @ layer.sae.W_dec.numpy() + layer.sae.b_dec.numpy()
    held = measured.filter((pl.col("split") == "test") & (pl.col("segment") == "all")).row(0, named=True)
    assert held["rows"] == len(rows)
    assert held["fvu"] == pytest.approx(((x - rebuilt) ** 2).sum() / ((x - x.mean(axis=0)) ** 2).sum(), rel=1e-4)
    unexplained = (x - rebuilt).var(axis=0).sum() / x.var(axis=0).sum()
    assert held["explained_variance"] == pytest.approx(1 - unexplained, rel=1e-4)
    assert held["l0"] == pytest.approx((codes != 0).sum(axis=1).mean())
    assert held["dead"] == pytest.approx((codes == 0).all(axis=0).mean())
    cosine = (x * rebuilt).sum(axis=1) / np.linalg.norm(x, axis=1) / np.linalg.norm(rebuilt, axis=1)
    assert held["cosine"] == pytest.approx(cosine.mean(), rel=1e-4)


def _dense(index: object, row: int) -> np.ndarray:
    _, features, values = index.csr(row, row + 1)  # type: ignore[attr-defined]
    dense = np.zeros(index.num_features)  # type: ignore[attr-defined]
    dense[features] = values
    return dense


def test_special_rows_are_in_no_group_but_the_last_prompt_one(planted_sets: None):
    world = World(images=20)
    samples = make_samples(world)
    tokens = make_tokens(world, samples)
    tokens = tokens.with_columns(special=pl.col("special") | (pl.col("position_set") == "other"))
    groups = group_rows(tokens, samples, GENDER)
    assert "other" not in groups.table["position_set"].to_list()
    assert ((groups.of_row < 0) == (tokens["position_set"] == "other").to_numpy()).all()
    images, selection = groups.images("en", "image")
    assert len(images) == 20 and selection.sum() == 20


def test_shuffles_move_an_images_languages_together():
    samples = make_samples(World(images=40)).with_columns(
        gender_ar=pl.when(pl.col("gender_en") == "female").then(pl.lit("male")).otherwise(pl.lit("female"))
    )
    labels = {language: Labels.of(GENDER, samples, language) for language in ("en", "ar")}
    shuffled = shuffle_labels(labels, "test", 5, seed=0)
    english, arabic = (shuffled.of(shuffled.names, language) for language in ("en", "ar"))
    assert (english != arabic).all() and (english.sum(axis=0) == 5).all()
    assert len({column.tobytes() for column in english.T}) > 1


def test_discoveries_equal_a_full_benjamini_hochberg():
    p = np.concatenate([np.random.default_rng(0).random(500), np.full(20, 1e-4)])
    ordered = np.sort(p)
    reference = max(np.flatnonzero(ordered <= 0.05 * np.arange(1, 521) / 520), default=-1) + 1
    assert discoveries(p[p <= 0.05], p.size) == reference
    assert discoveries(np.zeros(0), 100) == 0


def test_emergence_must_last_three_layers():
    layers = [0, 5, 10, 15, 20]
    assert first_sustained(layers, [True, False, True, True, True]) == 10
    assert first_sustained(layers, [True, True, False, True, True]) is None
    assert first_sustained([3, 4], [True, True]) is None


def test_a_study_of_text_in_one_language_says_what_it_skipped(planted_sets: None):
    inputs = make_inputs(World(languages=("en",), image_rows=0, images=80, layers=2))
    result = overview(inputs, CONFIG)
    notes = " ".join(result.notes)
    assert "Text only" in notes and "One language" in notes
    assert result.tables["emergence"]["position_set"].eq("image").sum() == 0
    drawn = [figure.caption for figure in figures(result.tables).values()]
    assert any("test items" in line for line in drawn)
    assert not any("test images" in line for line in (*sentences(result.estimates), *drawn, *result.notes))


def test_two_layers_support_no_statement_about_a_layer(planted_sets: None):
    result = overview(make_inputs(World(images=160, layers=2)), CONFIG)
    curves = [one for one in result.estimates if one.name.startswith("onset.")]
    assert curves and {one.verdict for one in curves} == {"not tested"}
    assert result.tables["emergence_summary"]["onset"].null_count() == result.tables["emergence_summary"].height
    assert any(one.name == "peak.last-prompt.en" and one.verdict == "found" for one in result.estimates)


def test_too_few_labelled_images_leave_empty_tables_and_no_crash(planted_sets: None):
    inputs = make_inputs(World(images=16, layers=2))
    result = overview(inputs, CONFIG)
    assert result.tables["emergence"].height == 0
    assert "quality" in figures(result.tables)
    assert any("Too few images" in note for note in result.notes)


def test_image_rows_are_measured_once(result: Result):
    for name in ("associations", "emergence", "top_features"):
        on_image = result.tables[name].filter(position_set="image")
        assert on_image.height and on_image["language"].unique().to_list() == ["shared"], name


def test_outliers_are_noted_where_there_are_some(result: Result):
    assert not any("Outliers" in note for note in result.notes)
    (note,) = outlier_notes({0: 0, 9: 1200, 17: 3}, 3)
    assert note.startswith(
        "Outliers (1,203 rows in 2 of 3 layers; capture.max_norm_multiple) are in none of these figures"
    )


def test_odds_are_those_of_the_attributes_that_correlates_have():
    """A column that begins as the concept's name does is another attribute; what says the same as it does is none."""
    samples = pl.DataFrame(
        {
            "image_id": ["a", "b", "c", "d"],
            "split": ["train"] * 4,
            "caption_en": ["a caption"] * 4,
            "age": ["old", "young", "old", "young"],
            "age_group": ["1", "1", "2", "2"],
            "age_code": [7, 8, 7, 8],
        }
    )
    concept = studied_concept(StudiedConcept(name="age", column="age"), samples)
    inputs = replace(make_inputs(World(images=12)), samples=concept.labelled(samples), concept=concept)
    odds = attribute_odds(replace(inputs, languages=("en",)))
    assert set(odds["attribute"]) == set(other_attributes(inputs.samples, concept)) == {"age_group"}
