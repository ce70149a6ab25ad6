"""The overview: fitted on train, chosen on select, reported on test; the image is the unit; one family a question."""

import math

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from core.analysis.overview.counts import _odds
from core.analysis.overview.emergence import Place, _sparse_methods, read_stream, split_units
from core.analysis.overview.onset import onsets as onset_table
from core.analysis.overview.onset import peak_layer, peaks
from core.analysis.overview.quality import GroupSums, _group_of_row, _members
from core.analysis.overview.top_features import top_features, top_summary
from core.causal.splice import recovered, spliced_samples, spliced_stream
from core.causal.splice import summarise as summarise_splice
from core.data.gender_concept import GENDER
from core.features.associations import Labels, associate
from core.features.families import Families
from core.features.ranking import rank_features
from core.features.row_groups import stream_means
from core.features.shuffles import shuffle_labels
from core.lm.batches import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT
from core.stats.curves import LayerScores, curve_tests, layer_scores
from core.stats.intervals import bootstrap_auroc
from core.stats.probes import (
    Labelled,
    _inner_folds,
    control_accuracy,
    discriminant,
    groups_out_auroc,
    logistic_at,
    sparse_probe,
)
from tests.promises.overview_tables import (
    SHARED,
    female,
    make_samples,
    make_setup,
    make_sums,
    noise,
    split_by_split,
)
from tests.promises.overview_world import View, onsets

BEFORE = GENDER.positions.before


# Splits


def test_features_are_ranked_on_the_selection_split_alone():
    samples = make_samples()
    means = noise(samples, 4)
    for feature, split in enumerate(("train", "select", "test")):
        means[:, feature] += 9 * female(samples, split)
    ranking = rank_features(make_sums(samples, {("en", BEFORE): means}), samples, ("en",), GENDER)
    assert ranking.strongest()[0] == 1
    assert ranking.association([1]) > 0.45 > 0.2 > ranking.association([2])


def test_rows_shown_as_highest_ranked_are_those_of_the_selection_split_and_report_the_test_split():
    samples = make_samples()
    means = noise(samples, 3)
    means[:, 1] += 9 * female(samples, "select")
    means[:, 2] += 9 * female(samples, "test")
    view = View(3, samples, make_sums(samples, {("en", BEFORE): means}))
    table = pl.DataFrame(top_features(view, [0, 1, 2], Place("en", BEFORE), make_setup(samples)))
    shown = top_summary(table, GENDER, rows=1).row(0, named=True)
    assert shown["feature"] == 1 and shown["rank"] == 2
    assert shown["auroc_select"] == 1 and 0.3 < shown["auroc"] < 0.7
    assert table.filter(feature=2)["auroc"].item() == 1


def test_the_peak_layer_is_that_of_the_selection_split():
    curve = pl.DataFrame({"layer": [4, 0, 2], "auroc_select": [0.6, 0.7, 0.9], "auroc": [0.99, 0.8, 0.5]})
    assert peak_layer(curve) == (2, True)
    unknown = curve.with_columns(auroc_select=pl.lit(math.nan))
    assert peak_layer(unknown) == (4, False)


def test_every_probe_is_fitted_on_train_and_scored_on_test():
    """Gender lies along another dimension in each split: what is learned on one reads nothing on another."""
    rng = np.random.default_rng(0)
    samples = make_samples()
    names = samples.filter(split="test")["image_id"].to_list()
    y = {split: np.arange(60) % 2 == 0 for split in ("train", "select", "test")}
    x = {split: rng.normal(size=(60, 6)) for split in y}
    for dimension, split in enumerate(y):
        x[split][:, dimension] += 8 * y[split]
    units = split_by_split(names, x, y)
    rows, _ = read_stream(units, make_setup(samples), "en")
    assert [row["method"] for row in rows] == ["difference of means", "LDA", "logistic"]
    for row in rows + _sparse_methods(units, make_setup(samples)):
        assert 0.2 < row["auroc"] < 0.8, row["method"]
    same = split_by_split(names, dict.fromkeys(y, x["train"]), y)
    assert min(row["auroc"] for row in read_stream(same, make_setup(samples), "en")[0]) > 0.99


def test_the_images_of_a_split_are_its_own():
    samples = make_samples()
    images = samples["image_id"].to_list()
    place = {"train": 0.0, "select": 1.0, "test": 2.0}
    x = np.array([[place[split]] for split in samples["split"]])
    units = split_units(images, x, make_setup(samples), "en")
    assert units is not None and units.select is not None
    assert (units.train.x == 0).all() and (units.select.x == 1).all() and (units.test.x == 2).all()
    assert units.tested == samples.filter(split="test")["image_id"].to_list()


def test_tests_of_features_are_made_on_test_images():
    samples = make_samples()
    means = noise(samples, 2)
    means[:, 0] += 9 * female(samples, "select")
    means[:, 1] += 9 * female(samples, "test")
    table = _families(samples, {("en", BEFORE): means}).finish()
    assert dict(table.select("feature", pl.col("q") < 0.05).iter_rows()) == {0: False, 1: True}


def test_only_test_rows_are_called_test_rows():
    splits = pl.DataFrame({"image_id": ["a", "b", "c"], "split": ["train", "select", "test"]})
    tokens = pl.DataFrame({"image_id": ["a", "b", "c", "c"], "segment": "caption", "special": [False] * 3 + [True]})
    groups = _group_of_row(tokens, splits)
    assert [row for row, group in enumerate(groups) if group in _members("test", "all")] == [2]
    assert [row for row, group in enumerate(groups) if group in _members("train", "all")] == [0]
    assert groups[3] == -1


def test_captions_are_spliced_on_test_images_alone_and_all_captions_of_an_image_are_taken():
    samples = pl.concat([make_samples(), make_samples()])
    taken = spliced_samples(samples, 7, seed=3)
    assert taken["image_id"].n_unique() == 7 and taken.height == 14
    assert taken["split"].unique().to_list() == ["test"]
    other = spliced_samples(samples, 7, seed=4)
    assert set(taken["image_id"]) != set(other["image_id"])


# Units


def test_an_image_counts_by_the_mean_of_its_rows_however_many_there_are():
    samples = make_samples()
    women = female(samples)
    rows = np.where(women, 9, 1)
    same = np.full((samples.height, 1), 3.0)
    sums = make_sums(samples, {("en", BEFORE): same}, rows.tolist())
    means = sums.by_image("en", BEFORE).means
    assert means == pytest.approx(3.0)
    stream = np.repeat(rows[:, None], 2, axis=1).astype(np.float32) * 5
    images, x = stream_means(stream, sums.groups, "en", BEFORE)
    assert len(images) == samples.height and x == pytest.approx(5.0)


def test_an_image_and_its_twin_are_drawn_together():
    """Each image is there twice: intervals over units are those of half as many images, and wider than over images."""
    rng = np.random.default_rng(1)
    samples = make_samples()
    y = np.repeat(np.arange(30) % 2 == 0, 2)
    x = np.repeat(rng.normal(size=(30, 3)), 2, axis=0) + 0.6 * y[:, None]
    units = np.repeat(np.arange(30), 2)
    names = samples.filter(split="test")["image_id"].to_list()
    part = Labelled(x, y, units=units)
    splits = split_by_split(
        names, dict.fromkeys(("train", "select", "test"), x), dict.fromkeys(("train", "select", "test"), y)
    )
    paired = type(splits)(part, part, part, names)
    setup = make_setup(samples)
    rows, _ = read_stream(paired, setup, "en")
    (alone, _) = read_stream(splits, setup, "en")
    for together, apart in zip(rows, alone, strict=True):
        assert together["high"] - together["low"] > 1.15 * (apart["high"] - apart["low"]), together["method"]


def test_the_units_of_images_reach_the_probes_and_the_features():
    samples = make_samples()
    images = samples["image_id"].to_list()
    units = {name: number // 4 for number, name in enumerate(images)}
    setup = make_setup(samples, units)
    split = split_units(images, np.zeros((len(images), 2)), setup, "en")
    assert split is not None and split.test.units is not None
    assert split.test.units.tolist() == [units[name] for name in split.tested]
    means = noise(samples, 1)
    view = View(0, samples, make_sums(samples, {("en", BEFORE): means}))
    (row,) = top_features(view, [0], Place("en", BEFORE), setup)
    of = samples["split"] == "test"
    codes = np.array([units[name] for name in samples.filter(of)["image_id"]])
    wanted = bootstrap_auroc(means[of.to_numpy(), 0], female(samples)[of.to_numpy()].astype(int), 50, 0, codes)
    assert (row["low"], row["high"]) == (wanted.low, wanted.high)


def test_twins_are_in_one_inner_fold():
    units = np.repeat(np.arange(30), 2)
    part = Labelled(np.zeros((60, 2)), np.arange(60) % 2 == 0, units=units)
    for inside, outside in _inner_folds(part, 0):
        assert not set(units[inside]) & set(units[outside])


def test_shuffles_keep_the_difference_within_a_pair_and_move_languages_together():
    """Twins differ in gender; English and Arabic disagree everywhere: both hold in every shuffle."""
    arabic = ["male" if number % 2 == 0 else "female" for number in range(180)]
    samples = make_samples(gender_ar=arabic)
    labels = Labels.by_language(GENDER, samples, ("ar", "en"))
    units = {name: number // 2 for number, name in enumerate(samples["image_id"])}
    shuffled = shuffle_labels(labels, "test", 40, 0, units)
    english, other = (shuffled.of(shuffled.names, language) for language in ("en", "ar"))
    assert (english != other).all()
    assert (english[0::2] != english[1::2]).all()
    assert english.mean(axis=1).min() > 0.2 and english.mean(axis=1).max() < 0.8
    free = shuffle_labels(labels, "test", 40, 0).positive["en"]
    assert (free[0::2] == free[1::2]).any()
    assert shuffled.of(shuffled.names[::-1], "en").tolist() == english[::-1].tolist()


def test_several_captions_of_an_image_are_averaged_before_images_are():
    captions = pl.DataFrame(
        {
            "image_id": ["a", "a", "a", "b"],
            "language": "en",
            "ce_clean": [1.0, 1.0, 1.0, 1.0],
            "ce_spliced": [2.0, 2.0, 2.0, 4.0],
            "ce_mean": [5.0, 5.0, 5.0, 9.0],
        }
    )
    row = summarise_splice(0, captions, lambda names: np.arange(len(names)), 50, 0).row(0, named=True)
    assert row["images"] == 2
    assert row["delta_ce"] == 2.0 and row["ce_mean"] == 7.0
    assert row["loss_recovered"] == pytest.approx((3 + 5) / (4 + 8))


def test_the_loss_is_drawn_by_unit():
    losses = np.tile(np.random.default_rng(0).normal(size=20), 2)
    captions = pl.DataFrame(
        {"image_id": [f"{n:02d}" for n in range(40)], "language": "en", "ce_clean": 0.0, "ce_spliced": losses}
    ).with_columns(ce_mean=pl.lit(9.0))
    pairs, images = (
        summarise_splice(0, captions, lambda names, of=of: np.arange(len(names)) % of, 400, 0).row(0, named=True)
        for of in (20, 40)
    )
    width = [row["delta_ce_high"] - row["delta_ce_low"] for row in (pairs, images)]
    assert width[0] > 1.2 * width[1]


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
    families = _families(samples, sets, ("image", BEFORE))
    tested = families.finish().group_by("position_set", "language").agg(pl.len()).sort("position_set", "language")
    assert tested.rows() == [("image", SHARED, 3), (BEFORE, "ar", 3), (BEFORE, "en", 3)]
    ranking = rank_features(make_sums(samples, sets), samples, ("en", "ar"), GENDER)
    assert ranking.associations.filter(position_set="image")["language"].to_list() == [SHARED] * 3
    assert ranking.leans["image"] == pytest.approx(
        ranking.associations.filter(position_set="image").sort("feature")["auroc"].to_numpy() - 0.5
    )


# Families and counts


def _families(samples, sets, position_sets=(BEFORE,), layers=(0,), draws=20, **strength) -> Families:
    families = Families(GENDER, Labels.by_language(GENDER, samples, ("ar", "en")), draws, seed=0)
    for layer in layers:
        families.add(layer, make_sums(samples, sets), position_sets)
    return families


def test_a_family_is_one_question_over_all_its_layers_languages_and_position_sets():
    samples = make_samples()
    first = GENDER.positions.first
    sets = {
        (None, "image"): noise(samples, 4),
        ("en", BEFORE): noise(samples, 4, 1),
        ("ar", BEFORE): noise(samples, 4, 2),
        ("en", first): noise(samples, 4, 3) + 9 * female(samples)[:, None],
    }
    table = _families(samples, sets, ("image", BEFORE, first), layers=(0, 1)).finish()
    assert {name: part.height for (name,), part in table.group_by("question")} == {
        "picture": 8, "decision": 16, "words": 8,
    }  # fmt: skip
    for _, part in table.group_by("question"):
        assert part["q"].to_numpy() == pytest.approx(stats.false_discovery_control(part["p"].to_numpy()))


def test_discoveries_are_counted_by_language_against_runs_with_shuffled_labels():
    samples = make_samples()
    planted, other = noise(samples, 20), noise(samples, 20, 1)
    planted[:, :6] += 2 * female(samples)[:, None]
    families = _families(samples, {("en", BEFORE): planted, ("ar", BEFORE): other}, draws=50)
    table, runs = families.finish(), families.false_discoveries()
    summary = {row["language"]: row for row in families.summary(table, runs).iter_rows(named=True)}
    english, arabic = summary["en"], summary["ar"]
    assert english["tests"] == arabic["tests"] == 20 and english["runs"] == 50
    assert english["discoveries"] >= 6 and english["share"] == english["discoveries"] / 20
    assert 0.2 <= english["least_share"] <= english["share"]
    assert english["p"] == pytest.approx(1 / 51) and english["q"] == pytest.approx(2 / 51)
    assert arabic["discoveries"] == 0 and arabic["p"] == 1 and arabic["least_share"] == 0
    assert runs.filter(language="en")["discoveries"].mean() == pytest.approx(20 * english["shuffled"])


def test_a_feature_is_tested_only_where_it_fires_on_twenty_images_whatever_their_label():
    samples = make_samples()
    means = noise(samples, 2)
    means[19:, 0] = 0
    means[20:, 1] = 0
    tested = _families(samples, {("en", BEFORE): means}).finish()
    assert tested["feature"].to_list() == [1] and tested["support"].to_list() == [20]


def test_odds_have_a_half_added_to_each_count():
    samples = make_samples()
    test = samples["split"].to_numpy() == "test"
    means = np.ones((180, 1))
    means[np.flatnonzero(test & ~female(samples))[:3]] = 0  # 30 of 30 women, 27 of 30 men
    row = _families(samples, {("en", BEFORE): means}).finish().row(0, named=True)
    assert row["log_odds"] == pytest.approx(math.log(30.5 / 0.5) - math.log(27.5 / 3.5), rel=1e-5)
    frame = pl.DataFrame({"positive": [True] * 4 + [False] * 6, "value": ["x"] * 3 + ["y"] * 7})
    (x,) = _odds(frame, "en", "place").filter(value="x").iter_rows(named=True)
    assert x["log_odds"] == pytest.approx(math.log(3.5 / 0.5) - math.log(1.5 / 6.5))
    assert x["z"] == pytest.approx(x["log_odds"] / math.sqrt(1 / 3.5 + 1 / 0.5 + 1 / 1.5 + 1 / 6.5))


# Probes


def test_professions_are_held_out_and_a_fold_of_few_images_is_not_shown():
    """Each profession has a gender and a dimension; nothing else tells gender, so unseen professions are guessed."""
    rng = np.random.default_rng(0)
    groups = np.arange(480) // 2 % 12
    y = (groups % 2 == 0) ^ (rng.random(480) < 0.15)
    x = np.eye(12)[groups] + 0.01 * rng.normal(size=(480, 12))
    half = np.arange(480) < 240
    train, test = Labelled(x[half], y[half], groups[half]), Labelled(x[~half], y[~half], groups[~half])
    assert groups_out_auroc(train, test, 1.0) < 0.65
    few = slice(0, 24)
    assert math.isnan(groups_out_auroc(train, Labelled(test.x[few], test.y[few], test.groups[few]), 1.0))
    none = Labelled(train.x, train.y)
    assert math.isnan(groups_out_auroc(none, none, 1.0))


def test_fewer_folds_of_professions_are_taken_where_four_are_too_small():
    y = np.arange(40) % 2 == 0
    x = np.where(y, 1.0, -1.0)[:, None] + np.random.default_rng(0).normal(size=(40, 1)) * 0.1
    part = Labelled(x, y, np.arange(40) // 2 % 4)  # 5 + 5 images a group: four folds
    assert groups_out_auroc(part, part, 1.0) == 1.0
    halved = Labelled(x[:24], y[:24], part.groups[:24])  # 3 + 3 a group: two folds of two groups
    assert groups_out_auroc(part, halved, 1.0) == 1.0
    tiny = Labelled(x[:16], y[:16], part.groups[:16])  # 2 + 2 a group: none
    assert math.isnan(groups_out_auroc(part, tiny, 1.0))


@pytest.mark.parametrize("n, dims", [(15, 160), (40, 160), (99, 100), (240, 30)])
def test_reduced_estimators_equal_the_plain_ones(n: int, dims: int):
    """With fewer images than dimensions, as many, and more."""
    train, test = (_correlated(n, dims, seed) for seed in (0, 1))
    scale = 1 / train.x.std(axis=0)
    scaled, unseen = ((part.x - train.x.mean(axis=0)) * scale for part in (train, test))
    lda = LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto").fit(scaled, train.y)
    ours = discriminant(train)
    assert ours.direction == pytest.approx(lda.coef_[0] * scale, rel=1e-6, abs=1e-9 * np.abs(ours.direction).max())
    assert np.corrcoef(ours.score(test.x), lda.decision_function(unseen))[0, 1] > 1 - 1e-9
    plain = LogisticRegression(C=0.01, max_iter=5000, tol=1e-8).fit(scaled, train.y)
    assert logistic_at(train, 0.01).score(test.x) == pytest.approx(plain.decision_function(unseen), abs=0.02)
    chosen, sparse = sparse_probe(train, 20)
    few = LogisticRegression(C=1.0, max_iter=5000, tol=1e-8).fit(scaled[:, chosen], train.y)
    assert sparse.score(test.x[:, chosen]) == pytest.approx(few.decision_function(unseen[:, chosen]), abs=0.02)


def _correlated(n: int, dims: int, seed: int) -> Labelled:
    rng = np.random.default_rng(seed)
    mixing = np.eye(dims) + np.random.default_rng(9).normal(size=(dims, dims)) / math.sqrt(dims)
    y = np.arange(n) % 3 == 0
    x = rng.normal(size=(n, dims)) * np.linspace(1, 4, dims) + y[:, None] * np.linspace(0, 1, dims)
    return Labelled(5 + x @ mixing, y)


def test_words_have_one_random_label_in_train_and_test():
    words = np.arange(120) % 8
    x = np.eye(8)[words] + 0.01 * np.random.default_rng(0).normal(size=(120, 8))
    part = Labelled(x, np.arange(120) % 2 == 0, words=words)
    assert control_accuracy(part, part, 1.0, seed=1) > 0.95
    one = Labelled(x, part.y, words=np.zeros(120, int))
    assert math.isnan(control_accuracy(one, one, 1.0, seed=1))


def test_a_sparse_probe_takes_the_features_that_differ_most_for_their_spread():
    rng = np.random.default_rng(0)
    y = np.arange(100) % 2 == 0
    x = rng.normal(size=(100, 5)) * [1, 100, 1, 1, 1]
    x[:, 1] += 20 * y  # a large gap for a larger spread
    x[:, 4] += 3 * y
    chosen, probe = sparse_probe(Labelled(x, y), 2)
    assert chosen[0] == 4 and len(chosen) == 2 and probe.direction.shape == (2,)
    assert probe.accuracy(Labelled(x[:, chosen], y)) > 0.85


# Curves


def _scores(z: float, null: np.ndarray) -> LayerScores:
    return LayerScores(0.5 + z / 10, z, 0.5 + null / 10, null)


def test_a_layers_score_is_that_of_the_same_probe_under_shuffled_labels():
    rng = np.random.default_rng(0)
    y = np.arange(60) % 2 == 0
    values = rng.normal(size=60) + y
    shuffled = np.stack([rng.permutation(y) for _ in range(300)], axis=1)
    found = layer_scores(values, y, shuffled)
    reference = stats.mannwhitneyu(values[y], values[~y])
    assert found.auroc == pytest.approx(reference.statistic / 900)
    assert found.z == pytest.approx(
        -stats.norm.ppf(stats.mannwhitneyu(values[y], values[~y], method="asymptotic", use_continuity=False).pvalue / 2)
    )
    assert abs(found.null_z.mean()) < 0.15 and 0.9 < found.null_z.std() < 1.1
    assert found.p == pytest.approx((1 + (np.abs(found.null_z) >= found.z).sum()) / 301)


def test_a_curve_is_tested_by_its_best_three_layers_in_a_row_over_all_curves_of_the_family():
    rng = np.random.default_rng(0)
    null = rng.normal(size=(999, 5))
    flat = [_scores(0.0, null[:, layer]) for layer in range(5)]
    peak = [_scores(9.0 if layer == 2 else 0.0, null[:, layer]) for layer in range(5)]
    level = [_scores(1.3 if layer > 1 else 0.0, null[:, layer]) for layer in range(5)]
    runs = np.lib.stride_tricks.sliding_window_view(null, 3, axis=1)
    statistic = np.maximum(runs.min(axis=2).max(axis=1), (-runs).min(axis=2).max(axis=1))
    alone, spike = curve_tests([level])[0], curve_tests([peak])[0]
    assert alone.p == alone.q == pytest.approx((1 + (statistic >= 1.3).sum()) / 1000)
    assert spike.p is not None and spike.p > 0.3
    other = [_scores(0.0, column) for column in rng.normal(size=(5, 999))]
    together = curve_tests([level, other, flat])[0]
    assert together.p == alone.p and together.q is not None and alone.q is not None and together.q > alone.q
    assert together.cut is not None and alone.cut is not None and together.cut > alone.cut
    assert (statistic >= alone.cut).sum() <= 49 < (statistic >= alone.cut - 0.05).sum()


def test_no_verdict_on_a_layer_from_fewer_than_three():
    null = np.random.default_rng(0).normal(size=99)
    short = curve_tests([[_scores(9.0, null)] * 2])[0]
    assert (short.p, short.q, short.cut) == (None, None, None)


def test_the_layer_named_is_the_first_of_the_run_and_its_own_evidence_is_quoted():
    null = np.random.default_rng(0).normal(size=(999, 6))
    z = [3.0, 0.0, 3.0, 4.0, 5.0, 1.0]
    select = [0.5, 0.5, 0.6, 0.7, 0.9, 0.5]
    place = Place("en", BEFORE)
    curve = [(2 * layer, _scores(value, null[:, layer])) for layer, value in enumerate(z)]
    tables = _emergence(place, [scores for _, scores in curve], select), {place: curve}, GENDER
    row, peak = (table(*tables).row(0, named=True) for table in (onset_table, peaks))
    assert row["onset"] == row["layer"] == 4 and row["q"] <= 0.05
    assert row["auroc"] == 0.8 and row["shuffled_high"] == pytest.approx(np.quantile(curve[2][1].null_auroc, 0.975))
    assert peak["layer"] == 8 and peak["auroc"] == 1.0 and peak["p"] == peak["q"] == curve[4][1].p
    weak = [(layer, _scores(0.1, scores.null_z)) for layer, scores in curve]
    tables = _emergence(place, [s for _, s in weak], select), {place: weak}, GENDER
    none = onset_table(*tables).row(0, named=True)
    assert none["onset"] is None and none["layer"] == 8 and none["q"] > 0.05


def _emergence(place: Place, scores: list[LayerScores], select: list[float]) -> pl.DataFrame:
    rows = [
        {
            "layer": 2 * number, **place._asdict(), "decision": True, "method": "logistic", "auroc": one.auroc,
            "auroc_select": known, "low": one.auroc - 0.05, "high": one.auroc + 0.05, "shuffled": 0.5,
            "shuffled_low": float(np.quantile(one.null_auroc, 0.025)),
            "shuffled_high": float(np.quantile(one.null_auroc, 0.975)),
            "accuracy": 0.5, "control": None, "professions_out": None, "test_images": 60,
        }
        for number, (one, known) in enumerate(zip(scores, select, strict=True))
    ]  # fmt: skip
    return pl.DataFrame(rows)


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


# Last, for it takes longest


def test_at_most_one_null_labelling_in_twenty_says_that_gender_is_read_from_some_layer_on():
    """Two languages × two position sets × six layers, alike from layer to layer; labels say nothing in any of them."""
    false = sum(any(layer is not None for layer in onsets(number)) for number in range(200))
    assert false <= 10
    assert onsets(0, effect=1.5) == [2] * 4
