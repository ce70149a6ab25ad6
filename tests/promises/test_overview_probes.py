"""The overview's probes, and from which layer on gender is said to be read."""

import math

import numpy as np
import polars as pl
import pytest
from scipy import stats
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression

from core.analysis.overview.emergence import Place
from core.analysis.overview.onset import onsets as onset_table
from core.analysis.overview.onset import peaks
from core.data.gender_concept import GENDER
from core.stats.curves import LayerScores, curve_tests, layer_scores
from core.stats.groups_out import groups_out
from core.stats.probes import (
    Labelled,
    control_accuracy,
    discriminant,
    logistic_at,
    sparse_probe,
)
from tests.promises.overview_world import onsets

BEFORE = GENDER.positions.before


# Probes


def test_professions_are_held_out_and_a_fold_of_few_images_is_not_shown():
    """Each profession has a gender and a dimension; nothing else tells gender, so unseen professions are guessed."""
    rng = np.random.default_rng(0)
    groups = np.arange(480) // 2 % 12
    y = (groups % 2 == 0) ^ (rng.random(480) < 0.15)
    x = np.eye(12)[groups] + 0.01 * rng.normal(size=(480, 12))
    half = np.arange(480) < 240
    train, test = Labelled(x[half], y[half], groups[half]), Labelled(x[~half], y[~half], groups[~half])
    assert groups_out(train, test, 1.0).area < 0.65
    few = slice(0, 24)
    assert groups_out(train, Labelled(test.x[few], test.y[few], test.groups[few]), 1.0) is None
    none = Labelled(train.x, train.y)
    assert groups_out(none, none, 1.0) is None


def test_fewer_folds_of_professions_are_taken_where_four_are_too_small():
    y = np.arange(40) % 2 == 0
    x = np.where(y, 1.0, -1.0)[:, None] + np.random.default_rng(0).normal(size=(40, 1)) * 0.1
    part = Labelled(x, y, np.arange(40) // 2 % 4)  # 5 + 5 images a group: four folds
    assert groups_out(part, part, 1.0).area == 1.0
    halved = Labelled(x[:24], y[:24], part.groups[:24])  # 3 + 3 a group: two folds of two groups
    assert groups_out(part, halved, 1.0).area == 1.0
    tiny = Labelled(x[:16], y[:16], part.groups[:16])  # 2 + 2 a group: none
    assert groups_out(part, tiny, 1.0) is None


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


# Last, for it takes longest


def test_at_most_one_null_labelling_in_twenty_says_that_gender_is_read_from_some_layer_on():
    """Two languages × two position sets × six layers, alike from layer to layer; labels say nothing in any of them."""
    false = sum(any(layer is not None for layer in onsets(number)) for number in range(200))
    assert false <= 10
    assert onsets(0, effect=1.5) == [2] * 4
