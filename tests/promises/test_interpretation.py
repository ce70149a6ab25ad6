"""Features are chosen on select, tested on test; rules are made without test images; words say what tests support."""

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats

import core.analysis.interpretation.run as analysis
from core.analysis.interpretation import Config
from core.analysis.interpretation.explaining import EXPLANATIONS, Explainer
from core.analysis.interpretation.findings import SCORE_SUMMARY, estimates, score_summary
from core.analysis.interpretation.places import places, strengths
from core.analysis.interpretation.tested import ConceptTests
from core.analysis.interpretation.words import NONE_SIGNIFICANT, UNSUPPORTED, in_words
from core.data.gender_concept import GENDER
from core.features.influence import PROMOTED
from core.features.inputs import AnalysisInputs
from core.features.ranking import rank_features
from core.features.row_groups import FeatureSums, RowGroups
from core.report.sentences import sentence
from core.stats.enrichment import balanced_accuracy, enrich
from core.stats.intervals import bootstrap_auroc, wilson
from tests.core.features.planted_world import Index, World, make_inputs, read_planted_sets

Row = tuple[str, str, str, float]
"""Image, language, word, activation."""


def inputs_of(samples: pl.DataFrame, seed: int = 0, languages: tuple[str, ...] = ("en", "ar")) -> AnalysisInputs:
    nothing: Any = None
    return AnalysisInputs(samples, Path("x"), None, (0,), languages, nothing, nothing, {}, seed)


def samples_of(images: int, split: Callable[[int], str], **columns: Any) -> pl.DataFrame:
    ids = [f"i{n:03d}" for n in range(images)]
    frame = pl.DataFrame({"sample_id": ids, "image_id": ids, "split": [split(n) for n in range(images)]})
    return frame.with_columns(pl.lit(None, pl.String).alias("twin_id")).with_columns(
        pl.Series(name, values) for name, values in columns.items()
    )


def read(
    rows: list[Row], samples: pl.DataFrame, others: list[list[float]] | None = None, seed: int = 0
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Explanations of feature 0, which has the rows' activations, and of further features."""
    tokens = pl.DataFrame(
        {
            "sample_id": [row[0] for row in rows],
            "image_id": [row[0][:4] for row in rows],
            "language": [row[1] for row in rows],
            "segment": ["prompt" if row[2].startswith("[") else "caption" for row in rows],
            "token": [f"▁{row[2]}" for row in rows],
            "special": [row[2] == "<end>" for row in rows],
        }
    )
    columns = [[row[3] for row in rows], *(others or [])]
    index: Any = Index(sparse.csr_array(np.array(columns, dtype=np.float32).T))
    return Explainer(tokens, inputs_of(samples, seed)).explain(index, list(range(len(columns))))


def third(number: int) -> str:
    return ("train", "select", "test")[number % 3]


def test_rules_are_made_without_test_images_and_scored_on_them() -> None:
    samples = samples_of(60, lambda n: "test" if n < 40 else "train")
    rows = []
    for number, image in enumerate(samples["image_id"]):
        spoken = "beta" if number < 40 else "alpha"
        rows += [(image, "en", word, float(word == spoken)) for word in ("alpha", "beta", "gamma")]
    enriched, explained, scores = read(rows, samples)
    assert explained["explanation"].to_list() == ["tokens ‹alpha›"]
    assert explained["score"][0] < 0.5 and scores.filter(language="en")["score"][0] < 0.5
    assert enriched.filter(attribute="token", value="alpha")["total"].to_list() == [20]


def test_a_rule_is_taken_for_what_it_tells_on_the_images_it_is_made_of() -> None:
    """On test images the token would tell more; it is not asked there."""
    place = ["park" if n % 2 else "street" for n in range(60)]
    samples = samples_of(60, lambda n: "test" if n >= 40 else "train", place=place)
    rows = []
    for number, image in enumerate(samples["image_id"]):
        held = number >= 40
        for word in ("alpha", "beta"):
            active = word == "alpha" if held else place[number] == "park" and (word == "alpha" or number % 4 == 1)
            rows.append((image, "en", word, float(active)))
    _, explained, _ = read(rows, samples)
    assert explained["kind"].to_list() == ["place"]


def test_attributes_are_counted_without_test_images_and_the_strongest_quarter_is_theirs() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, lambda n: "test" if n >= 40 else "train", place=place)
    rows = [(f"i{n:03d}", "en", "w", 9.0 if n >= 40 else 2.0 if n % 4 == 0 else n / 1e3) for n in range(80)]
    enriched, _, _ = read(rows, samples)
    park = enriched.filter(attribute="place", value="park").row(0, named=True)
    assert (park["active"], park["total"]) == (10, 10)
    assert enriched.filter(attribute="place", value="street")["active"].to_list() == [0]


def test_an_image_counts_by_its_mean_over_rows_not_by_its_length() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, third, place=place)
    rows = []
    for number, image in enumerate(samples["image_id"]):
        count, value = (2, 1.0) if number % 4 == 0 else (20, 0.3)
        rows += [(image, "en", f"w{n}", value + number / 1e4) for n in range(count)]
    enriched, _, _ = read(rows, samples)
    strongest = enriched.filter(attribute="place").sort("z", descending=True)
    assert strongest["value"][0] == "park" and strongest["z"][0] > 1.96


def captions(images: range, rng: np.random.Generator) -> dict[int, list[tuple[str, float]]]:
    return {n: [(f"w{w}", float((w == n % 2) != (rng.random() < 0.2))) for w in range(4)] for n in images}


def test_twins_are_one_unit() -> None:
    """A world in which every image has a twin that is its copy knows no more than the world without the copies."""
    said = captions(range(90), np.random.default_rng(0))
    single = samples_of(90, third)
    twins = samples_of(180, lambda n: third(n // 2), twin_id=[f"i{n ^ 1:03d}" for n in range(180)])
    alone = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    doubled = [
        (f"i{2 * n + copy:03d}", "en", word, value)
        for n, words in said.items()
        for copy in (0, 1)
        for word, value in words
    ]
    ends = [read(rows, samples)[1].row(0, named=True) for rows, samples in ((alone, single), (doubled, twins))]
    for name in ("score", "low", "high"):
        assert ends[0][name] == pytest.approx(ends[1][name])
    assert ends[0]["low"] < ends[0]["score"] < ends[0]["high"]


def test_intervals_of_twins_cover_and_those_of_their_images_would_not() -> None:
    rng = np.random.default_rng(4)
    hits = {"unit": 0, "image": 0}
    runs, pairs = 300, 40
    for _ in range(runs):
        active = np.repeat(rng.random(pairs) < 0.5, 2)
        predicted = np.where(np.repeat(rng.random(pairs) < 0.7, 2), active, ~active)
        for name, units in (("unit", np.arange(2 * pairs) // 2), ("image", np.arange(2 * pairs))):
            found = balanced_accuracy(predicted, active, units, 300, 1)
            hits[name] += found.low <= 0.7 <= found.high
    assert hits["unit"] / runs > 0.91
    assert hits["image"] / runs < 0.88


def test_several_captions_of_an_image_count_as_one() -> None:
    said = captions(range(60), np.random.default_rng(1))
    samples = samples_of(60, third)
    once = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    often = [
        (f"i{n:03d}-{copy}", "en", word, value)
        for n, words in said.items()
        for copy in range(5 if n < 12 else 1)
        for word, value in words
    ]
    first, second = read(once, samples), read(often, samples)
    assert first[1].row(0)[3:6] == pytest.approx(second[1].row(0)[3:6])
    z = [found[0].filter(attribute="token").sort("value")["z"].to_list() for found in (first, second)]
    assert z[0] == pytest.approx(z[1])


def test_special_rows_count_nowhere_and_prompt_rows_in_no_tokens() -> None:
    place = ["park" if n % 4 == 0 else "street" for n in range(80)]
    samples = samples_of(80, third, place=place)
    said = [("alpha", 1.0), ("beta", 0.0), ("gamma", 0.0)]
    rows = [(image, "en", word, value) for image in samples["image_id"] for word, value in said]
    marked = [(image, "en", "<end>", 90.0 * (n % 4)) for n, image in enumerate(samples["image_id"])]
    asked = [(image, "en", "[describe", 5.0 * (n % 4 == 0)) for n, image in enumerate(samples["image_id"])]
    enriched, explained, _ = read(rows + marked + asked, samples)
    tokens = enriched.filter(attribute="token")
    assert set(tokens["value"]) == {"alpha", "beta", "gamma"}
    assert explained["explanation"].to_list() == ["tokens ‹alpha›"]
    parks = enriched.filter(attribute="place", value="park").row(0, named=True)
    assert parks["active"] == parks["total"] > 0


def test_the_control_is_what_the_other_features_explanations_reach() -> None:
    samples = samples_of(60, third)
    words = ("alpha", "beta", "gamma", "delta")
    rows = [(image, "en", word, float(word == "alpha")) for image in samples["image_id"] for word in words]
    others = [[float(row[2] == name) for row in rows] for name in ("beta", "gamma")]
    _, explained, scores = read(rows, samples, others)
    assert explained["score"].to_list() == [1, 1, 1]
    assert explained["control"].to_list() == pytest.approx([1 / 3] * 3)
    assert scores.filter(language="en")["control"].to_list() == pytest.approx([1 / 3] * 3)
    assert read(rows, samples)[1]["control"].to_list() == [None]


def test_explanations_are_scored_in_each_language_by_itself() -> None:
    samples = samples_of(60, third)
    rng = np.random.default_rng(2)
    rows = [
        (image, language, word, float(word == "alpha" if language == "en" else rng.random() < 0.5))
        for image in samples["image_id"]
        for language in ("en", "ar")
        for word in ("alpha", "beta", "gamma", "delta")
    ]
    scores = dict(read(rows, samples)[2].select("language", "score").iter_rows())
    assert scores["en"] == 1
    assert scores["ar"] < 0.7


def test_resamples_are_drawn_from_the_studys_seed() -> None:
    said = captions(range(60), np.random.default_rng(1))
    rows = [(f"i{n:03d}", "en", word, value) for n, words in said.items() for word, value in words]
    first, again, other = (read(rows, samples_of(60, third), seed=seed)[1].row(0) for seed in (0, 0, 5))
    assert first == again
    assert first[3] == other[3] and first[4:6] != other[4:6]


def test_rare_values_are_shrunk_by_a_prior_of_ten_observations() -> None:
    found = enrich(np.array([0] * 50 + [1] * 50 + [2]), np.array([True] * 10 + [False] * 90 + [True]), 3)
    prior = 10 * np.array([50, 50, 1]) / 101
    odds = [np.log((c[2] + prior[2]) / (c.sum() + 10 - c[2] - prior[2])) for c in (np.array([10, 0, 1]), np.array(
        [40, 50, 0]))]  # fmt: skip
    assert found.log_odds[2] == pytest.approx(odds[0] - odds[1])


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
    assert analysis.heading(associations) == f"H{NONE_SIGNIFICANT[1:]}"
    tables = {"passing": summary, "score_summary": SCORE_SUMMARY.to_frame()}
    said = estimates(tables, inputs_of(shuffled))
    assert {one.verdict for one in said} == {"not found"}
    assert all(NONE_SIGNIFICANT[1:] in sentence(one) for one in said)


def told(**changes: Any) -> dict[str, Any]:
    fields = {"language": "ar", "position_set": "pre-gender", "auroc": 0.9, "passes": True, "own": True}
    return {**fields, "shared_with": None, **changes}


TOLD: dict[str, Any] = {
    "low": 0.8, "score": 0.9, "control": 0.5, "kind": "token", "explanation": "tokens ‹a›, ‹b›, ‹c›, ‹d›",
}  # fmt: skip
UNTOLD = {**TOLD, "low": 0.4}


@pytest.mark.parametrize(
    ("tests", "explained", "words"),
    [
        ([told()], UNTOLD, "fires more before a female word in Arabic captions"),
        ([told(auroc=0.1)], UNTOLD, "fires more before a male word in Arabic captions"),
        ([told(language="shared", position_set="image", auroc=0.1)], UNTOLD, "fires more on pictures of men"),
        ([told(), told(language="en")], UNTOLD, "fires more before a female word in English and Arabic captions"),
        (
            [told(language="en", position_set="last-prompt")],
            UNTOLD,
            "fires more at the end of the prompt, before English captions of women",
        ),
        ([told()], TOLD, "fires more before a female word in Arabic captions; most on ‹a›, ‹b›, ‹c›"),
        ([told()], {**TOLD, "control": 0.95}, "fires more before a female word in Arabic captions"),
        (
            [told(), told(language="en", own=False, passes=False)],
            UNTOLD,
            "fires more before a female word in Arabic captions",
        ),
        ([told(own=False, shared_with="place")], UNTOLD, "shared with place"),
        (
            [told(own=False, shared_with="place")],
            {**TOLD, "kind": "place", "explanation": "images with place = park"},
            "shared with place; most on images with place = park",
        ),
        ([told(own=False, passes=False)], TOLD, UNSUPPORTED),
        ([told(own=False, passes=False, shared_with="place")], TOLD, UNSUPPORTED),
        ([], TOLD, UNSUPPORTED),
    ],
)
def test_words_say_what_the_tests_support(tests: list[Any], explained: dict[str, Any], words: str) -> None:
    assert in_words(tests, explained, GENDER) == words


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
        assert one.control is not None and one.answers == ("picture" not in one.name)
        assert one.split == "test" and one.n > 0
    assert EXPLANATIONS["score"] == pl.Float64
