"""Features are chosen on select and tested on test; words say what tests support."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats

import core.analysis.interpretation.run as analysis
from core.analysis.interpretation import Config
from core.analysis.interpretation.explaining import EXPLANATIONS
from core.analysis.interpretation.findings import SCORE_SUMMARY, estimates, score_summary
from core.analysis.interpretation.places import places, strengths
from core.analysis.interpretation.tested import ConceptTests
from core.analysis.interpretation.words import NONE_SIGNIFICANT
from core.data.gender_concept import GENDER
from core.features.influence import PROMOTED
from core.features.ranking import rank_features
from core.features.row_groups import FeatureSums, RowGroups
from core.report.sentences import sentence
from core.stats.intervals import bootstrap_auroc, wilson
from tests.core.features.planted_world import World, make_inputs, read_planted_sets
from tests.promises.interpretation_world import inputs_of, samples_of, third

GENDERED, ON_SELECT, TURNED, SHARED, PICTURED, ARABIC, NOISE = range(7)
IMAGES = 300


def planted(seed: int = 0, effect: float = 1.0) -> tuple[FeatureSums, pl.DataFrame]:
    """Seven features; rows before the word in both languages, at the end of the prompt, and in the picture."""
    rng = np.random.default_rng(seed)
    number = np.arange(IMAGES)
    split = np.array(["train", "select", "test"])[number % 3]
    female, place = rng.random(IMAGES) < 0.5, rng.integers(0, 3, IMAGES)
    arabic = rng.random(IMAGES) < 0.5
    blocks, keys = [], []
    ids = [f"i{n:03d}" for n in number]
    for language in ("ar", "en", None):
        for name in ("last-prompt", "pre-gender") if language else ("image",):
            values = rng.random((IMAGES, 7))
            spoken = arabic if language == "ar" else female
            if name == "pre-gender":
                values[:, GENDERED] += 0.8 * effect * spoken
                values[:, ON_SELECT] += 0.8 * spoken * (split == "select")
                values[:, TURNED] += 0.8 * np.where(split == "select", spoken, ~spoken)
                values[:, SHARED] += 0.5 * spoken + 2.0 * (place == 0)
                values[:, ARABIC] += 0.8 * arabic * (language == "ar")
            if name == "last-prompt":
                values[:, ON_SELECT] += 0.6 * spoken * (split == "test")
            if name == "image":
                values[:, PICTURED] += 0.8 * (female & (female == arabic)) - 0.4 * (~female & (female == arabic))
            blocks.append(np.maximum(values, 1e-3))
            keys.append(pl.DataFrame({"image_id": ids, "language": [language] * IMAGES, "position_set": name}))
    table = pl.concat(keys, how="vertical_relaxed").with_columns(rows=pl.lit(2, pl.UInt32))
    samples = samples_of(
        IMAGES,
        lambda n: str(split[n]),
        gender_en=np.where(female, "female", "male"),
        gender_ar=np.where(arabic, "female", "male"),
        place=np.array(["park", "street", "beach"])[place],
    )
    sums = sparse.csr_array(np.concatenate(blocks) * 2)
    fired = sparse.csr_array((sums.toarray() > 0) * 2.0)
    return FeatureSums(RowGroups(table, np.zeros(0, np.int64)), sums, fired), samples


def measured(
    sums: FeatureSums, samples: pl.DataFrame, draws: int = 60, features: tuple[int, ...] = tuple(range(7))
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    opened: Any = SimpleNamespace(
        layer=3, ranking=rank_features(sums, samples, ("en", "ar"), GENDER), feature_sums=sums
    )
    tests = ConceptTests(inputs_of(samples), draws)
    tests.add(opened, features)
    return tests.finish()


@pytest.fixture(scope="module")
def found() -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    return measured(*planted())


def passing(table: pl.DataFrame, language: str, column: str = "passes") -> set[int]:
    here = table.filter((pl.col("language") == language) & pl.col(column))
    return set(here["feature"].to_list())


def test_features_pass_on_test_images_on_the_side_that_select_says(found: Any) -> None:
    table = found[0]
    assert passing(table, "en") == {GENDERED, SHARED}
    assert passing(table, "ar") == {GENDERED, SHARED, ARABIC}
    turned = table.filter(feature=TURNED, language="en").row(0, named=True)
    assert turned["q"] < 0.05 and turned["selected"] > 0.5 > turned["auroc"]


def test_a_feature_that_another_attribute_explains_as_well_is_not_the_concepts(found: Any) -> None:
    table = found[0]
    assert passing(table, "en", "own") == {GENDERED}
    assert table.filter(feature=SHARED, language="en")["shared_with"].to_list() == ["place"]
    assert set(found[2].columns) >= {"layer", "language", "position_set", "feature", "attribute", "eta2_test"}


def test_a_feature_is_tested_where_the_selection_split_has_it_strongest(found: Any) -> None:
    sums, samples = planted()
    assert found[0].filter(feature=ON_SELECT, language="en")["position_set"].to_list() == ["pre-gender"]
    ranking = rank_features(sums, samples, ("en", "ar"), GENDER)
    every = places(ranking, [GENDERED, NOISE])
    chosen = next(place for place in every if place.feature == GENDERED and place.language == "en")
    area = ranking.associations.filter(feature=GENDERED, language="en", position_set="pre-gender")["auroc"].item()
    assert (chosen.position_set, chosen.selected) == ("pre-gender", pytest.approx(area))
    assert list(strengths(every, ("en", "ar"))) == [GENDERED, NOISE]
    order = sorted(range(7), key=lambda f: -strengths(places(ranking, range(7)), ("en", "ar"))[f])
    assert order == ranking.strongest()


def test_labels_are_those_of_the_language(found: Any) -> None:
    arabic = found[0].filter(feature=ARABIC)
    assert arabic.filter(language="ar")["auroc"].item() > 0.9
    assert not arabic.filter(language="en")["passes"].item()


def test_the_picture_is_tested_once_with_labels_on_which_languages_agree(found: Any) -> None:
    picture = found[0].filter(position_set="image")
    assert picture["language"].to_list() == ["shared"] * 7
    assert passing(found[0], "shared") == {PICTURED}
    _, samples = planted()
    agreed = samples.filter((pl.col("split") == "test") & (pl.col("gender_en") == pl.col("gender_ar"))).height
    assert picture["images"].unique().to_list() == [agreed]
    assert picture["auroc"].max() > 0.95


def test_q_is_corrected_over_the_question_s_features_and_languages_alone(found: Any) -> None:
    for question, size in (("decision", 14), ("picture", 7)):
        family = found[0].filter(question=question)
        assert family.height == size
        assert family["q"].to_numpy() == pytest.approx(stats.false_discovery_control(family["p"].to_numpy()))


def test_test_images_alone_give_auroc_p_and_interval(found: Any) -> None:
    sums, samples = planted()
    row = found[0].filter(feature=GENDERED, language="en").row(0, named=True)
    kept = (samples["split"] == "test").to_numpy()
    values = sums.by_image("en", "pre-gender").means[kept, GENDERED]
    female = (samples["gender_en"] == "female").to_numpy()[kept]
    reference = stats.mannwhitneyu(values[female], values[~female], method="asymptotic")
    interval = bootstrap_auroc(values, female.astype(int), 1000, 0, np.flatnonzero(kept))
    assert row["p"] == pytest.approx(reference.pvalue)
    assert (row["low"], row["auroc"], row["high"]) == pytest.approx(tuple(interval))
    assert row["images"] == kept.sum()
    assert row["mean_female"] == pytest.approx(values[female].mean())


def test_intervals_of_the_tests_resample_twins_together() -> None:
    sums, samples = planted()
    numbers = np.arange(IMAGES)
    twin = [f"i{n:03d}" for n in np.where(numbers // 3 % 2, numbers - 3, numbers + 3)]
    tied = samples.with_columns(twin_id=pl.Series(twin))
    row = measured(sums, tied)[0].filter(feature=GENDERED, language="en").row(0, named=True)
    kept = (samples["split"] == "test").to_numpy()
    values = sums.by_image("en", "pre-gender").means[kept, GENDERED]
    female = (samples["gender_en"] == "female").to_numpy()[kept].astype(int)
    together = bootstrap_auroc(values, female, 1000, 0, np.arange(kept.sum()) // 2)
    assert (row["low"], row["high"]) == pytest.approx((together.low, together.high))


def test_rows_are_averaged_within_an_image() -> None:
    sums, samples = planted()
    female = (samples["gender_en"] == "female").to_numpy()
    rows = np.concatenate([np.where(female, 1, 9)] * 5)
    uneven = RowGroups(sums.groups.table.with_columns(rows=pl.Series(rows, dtype=pl.UInt32)), np.zeros(0, np.int64))
    scaled = FeatureSums(uneven, sparse.csr_array(sums.sums.multiply(rows[:, None] / 2)), sums.fired)
    first, second = measured(sums, samples)[0], measured(scaled, samples)[0]
    assert first["auroc"].to_numpy() == pytest.approx(second["auroc"].to_numpy(), abs=1e-6)


def test_the_summary_counts_own_features_beside_shuffled_labels(found: Any) -> None:
    rows = {row["language"]: row for row in found[1].filter(question="decision").rows(named=True)}
    assert {name: (row["tested"], row["passing"], row["shared"]) for name, row in rows.items()} == {
        "en": (7, 1, 1),
        "ar": (7, 2, 1),
    }
    for row in rows.values():
        assert (row["low"], row["share"], row["high"]) == pytest.approx(tuple(wilson(row["passing"], 7)))
        assert row["control_high"] < row["share"] and row["control"] < 0.05
        assert row["draws"] == 60 and 1 / 61 <= row["p"] < 0.05
    assert rows["en"]["q"] == pytest.approx(max(row["p"] for row in rows.values()))


def test_without_any_effect_nothing_is_found_and_the_words_say_so() -> None:
    sums, samples = planted()
    order = np.random.default_rng(8).permutation(IMAGES)
    shuffled = samples.with_columns(gender_en=samples["gender_en"][order], gender_ar=samples["gender_ar"][order])
    associations, summary, _ = measured(sums, shuffled)
    assert not associations["own"].any()
    assert analysis.heading(associations, GENDER) == f"H{NONE_SIGNIFICANT[1:]}"
    tables = {"passing": summary, "score_summary": SCORE_SUMMARY.to_frame()}
    said = estimates(tables, inputs_of(shuffled))
    assert {one.verdict for one in said} == {"not found"}
    assert all(NONE_SIGNIFICANT[1:] in sentence(one) for one in said)


def test_scores_are_summed_up_over_the_features_shown_by_language_paired() -> None:
    rng = np.random.default_rng(0)
    scores = pl.DataFrame(
        {
            "layer": pl.Series([0] * 24, dtype=pl.UInt16),
            "feature": pl.Series([n % 12 for n in range(24)], dtype=pl.UInt32),
            "language": ["en"] * 12 + ["ar"] * 12,
            "score": [0.8 + 0.01 * n for n in range(12)] + rng.uniform(0.45, 0.55, 12).tolist(),
            "control": [0.6 + 0.01 * n for n in range(12)] + [0.5] * 12,
        }
    )
    shown = scores.filter(pl.col("language") == "en").head(10).select("layer", "feature")
    table = score_summary(scores, shown, inputs_of(samples_of(4, third)))
    rows = {row["language"]: row for row in table.iter_rows(named=True)}
    assert rows["en"]["features"] == 10
    assert rows["en"]["score"] == pytest.approx(0.845) and rows["en"]["control"] == pytest.approx(0.645)
    assert rows["en"]["low"] < 0.845 < rows["en"]["high"]
    assert 1 / 2001 <= rows["en"]["p"] < 0.02 and rows["ar"]["p"] > 0.05
    alike = scores.with_columns(control=pl.col("score") + 0.01 * (pl.col("feature") % 2).cast(pl.Float64) - 0.005)
    assert score_summary(alike, shown, inputs_of(samples_of(4, third)))["p"][0] > 0.5
    worse = scores.rename({"score": "control", "control": "score"})
    assert score_summary(worse, shown, inputs_of(samples_of(4, third)))["p"][0] == pytest.approx(rows["en"]["p"])


@pytest.fixture(scope="module")
def result() -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("core.features.row_groups.position_sets", read_planted_sets)
        patch.setattr(analysis, "promoted_tokens", lambda *_: pl.DataFrame(schema=PROMOTED))
        inputs = make_inputs(World(images=240, layers=2), lambda: None)
        yield SimpleNamespace(inputs=inputs, found=analysis.run(inputs, Config(features=4, contexts=2)))


def test_contexts_are_of_test_images(result: Any) -> None:
    test = set(result.inputs.samples.filter(pl.col("split") == "test")["image_id"])
    shown = set(result.found.tables["contexts"]["image_id"])
    assert shown and shown <= test


def test_features_are_shown_in_the_order_of_the_selection_split(result: Any) -> None:
    described = result.found.tables["described"]
    strength = result.found.tables["features"].sort("strength", "layer", "feature", descending=[True, False, False])
    assert described.select("layer", "feature").equals(strength.select("layer", "feature"))
    assert not described["score"].is_sorted(descending=True)
    for layer in (0, 1):
        ranked = result.inputs.open_layer(layer)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("core.features.row_groups.position_sets", read_planted_sets)
            first = ranked.ranking.strongest()[:4]
        assert strength.filter(layer=layer)["feature"].to_list() == first


def test_planted_features_are_in_words(result: Any) -> None:
    words = dict(result.found.tables["described"].filter(layer=1).select("feature", "in_words").iter_rows())
    assert words[0].startswith("fires more on pictures of women and ")
    assert words[1].startswith("fires more on pictures of men and ")
    assert "Arabic captions" in words[0] and "English captions" in words[0]


def test_every_estimate_stands_in_its_table(result: Any) -> None:
    names = [one.name for one in result.found.estimates]
    assert set(names) == {
        *("passing.decision.en", "passing.decision.ar", "passing.picture.shared"),
        *("explanations.en", "explanations.ar"),
    }
    for one in result.found.estimates:
        rows = result.found.tables[one.source.table]
        for column, value in one.source.key.items():
            rows = rows.filter(pl.col(column).eq_missing(pl.lit(value, pl.String)))
        assert rows[one.source.column].to_list() == [one.value]
        assert one.control is not None
        assert one.answers == (one.name.startswith("passing") and "picture" not in one.name)
        assert one.split == "test" and one.n > 0
    assert EXPLANATIONS["score"] == pl.Float64
