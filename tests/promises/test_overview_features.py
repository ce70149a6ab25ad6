"""The overview's features and SAEs: languages, families of tests, counts, quality and splice."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from core.analysis.overview.counts import _odds
from core.analysis.overview.quality import GroupSums
from core.causal.splice import recovered, spliced_stream
from core.data.gender_concept import GENDER
from core.features.associations import Labels, associate
from core.features.ranking import rank_features
from core.lm.batches import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT
from tests.promises.overview_tables import (
    SHARED,
    female,
    make_families,
    make_samples,
    make_sums,
    noise,
)

BEFORE = GENDER.positions.before


# Languages


def test_captions_have_the_label_of_their_own_language():
    arabic = ["male" if number % 2 == 0 else "female" for number in range(180)]
    samples = make_samples(gender_ar=arabic)
    own = {language: Labels.of(GENDER, samples, language).table["positive"] for language in ("en", "ar")}
    assert (own["en"] != own["ar"]).all()
    means = noise(samples, 1)
    means[:, 0] += 9 * female(samples)
    sums = make_sums(samples, {("en", BEFORE): means, ("ar", BEFORE): means})
    areas = {
        language: associate(sums, Labels.of(GENDER, samples, language), language, BEFORE, "test")["auroc"].item()
        for language in ("en", "ar")
    }
    assert areas == {"en": 1.0, "ar": 0.0}


def test_rows_that_all_languages_share_are_tested_once_with_the_label_that_all_captions_agree_on():
    samples = make_samples()
    disagree = samples.with_columns(
        gender_ar=pl.when(pl.int_range(pl.len()) < 60).then(pl.lit("male")).otherwise("gender_ar")
    )
    shared = Labels.shared(GENDER, disagree, ("en", "ar")).table["positive"].to_list()
    assert shared[0] is None and shared[1] is False and shared[60] is True
    sets = {
        (None, "image"): noise(samples, 3),
        ("en", BEFORE): noise(samples, 3, 1),
        ("ar", BEFORE): noise(samples, 3, 2),
    }
    families = make_families(samples, sets, ("image", BEFORE))
    tested = families.finish().group_by("position_set", "language").agg(pl.len()).sort("position_set", "language")
    assert tested.rows() == [("image", SHARED, 3), (BEFORE, "ar", 3), (BEFORE, "en", 3)]
    ranking = rank_features(make_sums(samples, sets), samples, ("en", "ar"), GENDER)
    assert ranking.associations.filter(position_set="image")["language"].to_list() == [SHARED] * 3
    assert ranking.leans["image"] == pytest.approx(
        ranking.associations.filter(position_set="image").sort("feature")["auroc"].to_numpy() - 0.5
    )


# Families and counts


def test_a_family_is_one_question_over_all_its_layers_languages_and_position_sets():
    samples = make_samples()
    first = GENDER.positions.first
    sets = {
        (None, "image"): noise(samples, 4),
        ("en", BEFORE): noise(samples, 4, 1),
        ("ar", BEFORE): noise(samples, 4, 2),
        ("en", first): noise(samples, 4, 3) + 9 * female(samples)[:, None],
    }
    table = make_families(samples, sets, ("image", BEFORE, first), layers=(0, 1)).finish()
    assert {name: part.height for (name,), part in table.group_by("question")} == {
        "picture": 8, "decision": 16, "words": 8,
    }  # fmt: skip
    for _, part in table.group_by("question"):
        assert part["q"].to_numpy() == pytest.approx(stats.false_discovery_control(part["p"].to_numpy()))


def test_discoveries_are_counted_by_language_against_runs_with_shuffled_labels():
    samples = make_samples()
    planted, other = noise(samples, 20), noise(samples, 20, 1)
    planted[:, :16] += np.linspace(2, 0.6, 16) * female(samples)[:, None]
    families = make_families(samples, {("en", BEFORE): planted, ("ar", BEFORE): other}, draws=50)
    table, runs = families.finish(), families.false_discoveries()
    summary = {row["language"]: row for row in families.summary(table, runs).iter_rows(named=True)}
    english, arabic = summary["en"], summary["ar"]
    assert english["tests"] == arabic["tests"] == 20 and english["runs"] == 50
    assert english["discoveries"] >= 6 and english["share"] == english["discoveries"] / 20
    cut = table.filter(pl.col("q") <= 0.05)["p"].max()
    lucky = [sum((part.by_draw[draw] <= cut).sum() for part in families.small["decision"] if part.language == "en")
             for draw in range(50)]  # fmt: skip
    most = np.quantile(lucky, 0.975, method="higher")
    assert most > 0 and english["least_share"] == (english["discoveries"] - most) / 20
    assert english["p"] == pytest.approx(1 / 51) and english["q"] == pytest.approx(2 / 51)
    assert arabic["discoveries"] == 0 and arabic["p"] == 1 and arabic["least_share"] == 0
    assert runs.filter(language="en")["discoveries"].median() == pytest.approx(20 * english["shuffled"])


def test_a_feature_is_tested_only_where_it_fires_on_twenty_images_whatever_their_label():
    samples = make_samples()
    means = noise(samples, 2)
    means[19:, 0] = 0
    means[20:, 1] = 0
    tested = make_families(samples, {("en", BEFORE): means}).finish()
    assert tested["feature"].to_list() == [1] and tested["support"].to_list() == [20]


def test_odds_have_a_half_added_to_each_count():
    samples = make_samples()
    test = samples["split"].to_numpy() == "test"
    means = np.ones((180, 1))
    means[np.flatnonzero(test & ~female(samples))[:3]] = 0  # 30 of 30 women, 27 of 30 men
    row = make_families(samples, {("en", BEFORE): means}).finish().row(0, named=True)
    assert row["log_odds"] == pytest.approx(math.log(30.5 / 0.5) - math.log(27.5 / 3.5), rel=1e-5)
    frame = pl.DataFrame({"positive": [True] * 4 + [False] * 6, "value": ["x"] * 3 + ["y"] * 7})
    (x,) = _odds(frame, "en", "place").filter(value="x").iter_rows(named=True)
    assert x["log_odds"] == pytest.approx(math.log(3.5 / 0.5) - math.log(1.5 / 6.5))
    assert x["z"] == pytest.approx(x["log_odds"] / math.sqrt(1 / 3.5 + 1 / 0.5 + 1 / 1.5 + 1 / 6.5))


# Quality and splice


def test_a_layer_of_identical_rows_has_no_share_of_variance():
    rows, dims = 50, 4
    identical = np.full((rows, dims), 0.7)
    scalars = np.zeros((9, 5))
    scalars[0] = [rows, np.square(identical).sum(), 0.0, rows, rows]
    stream = np.zeros((9, dims))
    stream[0] = identical.sum(axis=0)
    sums = GroupSums(scalars, stream, np.zeros((9, dims)), np.zeros((9, 3)))
    described = sums.describe([0])
    assert math.isnan(described["fvu"]) and math.isnan(described["explained_variance"])
    scalars[0, 1] += 1.0
    assert sums.describe([0])["fvu"] == 0


def test_image_prompt_and_caption_rows_are_spliced_and_control_rows_are_not():
    segments = torch.tensor([[OUTSIDE, IMAGE, PROMPT, LAST_PROMPT, CAPTION, CAPTION]])
    stream = torch.arange(1.0, 7.0)[None, :, None].expand(1, 6, 2).clone()
    means = {"image": np.full(2, 10.0), "prompt": np.full(2, 20.0), "caption": np.full(2, 30.0)}
    negative = lambda x: -x  # noqa: E731
    spliced, ablated = spliced_stream(segments, stream, negative, means, limit=8.0)[..., 0]  # type: ignore[arg-type]
    assert spliced.tolist() == [1, -2, -3, 4, -5, 6]  # the last one is an outlier: its norm is 8.5
    assert ablated.tolist() == [1, 10, 20, 4, 30, 6]


def test_a_share_of_the_loss_is_given_only_where_there_is_loss_to_recover():
    drawn = np.random.default_rng(0).multinomial(40, np.full(40, 1 / 40), size=200)
    span = np.full(40, 4.0)
    assert recovered(0.75 * span, span, drawn).mean == pytest.approx(0.75)
    assert math.isnan(recovered(1.04 * span, span, drawn).mean)
    assert math.isnan(recovered(-0.2 * span, span, drawn).mean)
    doubtful = np.random.default_rng(1).normal(0.05, 1, 40)
    assert math.isnan(recovered(0.5 * doubtful, doubtful, drawn).mean)
