"""The overview: fitted on train, chosen on select, reported on test; the unit is the image, twins drawn together."""

import math

import numpy as np
import polars as pl
import pytest

from core.analysis.overview.emergence import Place, _sparse_methods, read_stream, split_units
from core.analysis.overview.onset import peak_layer
from core.analysis.overview.quality import _group_of_row, _members
from core.analysis.overview.top_features import top_features, top_summary
from core.causal.splice import spliced_samples
from core.causal.splice import summarise as summarise_splice
from core.data.gender_concept import GENDER
from core.features.associations import Labels
from core.features.ranking import rank_features
from core.features.row_groups import stream_means
from core.features.shuffles import shuffle_labels
from core.stats.intervals import bootstrap_auroc
from core.stats.probes import (
    Labelled,
    _inner_folds,
)
from tests.promises.overview_tables import (
    female,
    make_families,
    make_samples,
    make_setup,
    make_sums,
    noise,
    split_by_split,
)
from tests.promises.overview_world import View

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
    table = make_families(samples, {("en", BEFORE): means}).finish()
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
            "ce_spliced": [1.0, 1.5, 3.5, 4.0],
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
