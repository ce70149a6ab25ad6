"""Gender association against scipy, on planted features."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from core.data.gender_concept import GENDER
from core.features.associations import Labels, associate
from core.features.ranking import Ranking, rank_features
from core.features.row_groups import FeatureSums, RowGroups
from core.stats.ranks import rank, rank_test

N = 240


def planted() -> tuple[FeatureSums, pl.DataFrame]:
    """240 images; feature 0 fires on female, 1 on male in Arabic only, 2 at random, 3 on five images."""
    rng = np.random.default_rng(1)
    female = np.arange(N) % 2 == 0
    ids = [f"i{n:03d}" for n in range(N)]
    samples = pl.DataFrame(
        {
            "image_id": ids,
            "split": [("train", "select", "test")[n // 2 % 3] for n in range(N)],
            "gender_en": np.where(female, "female", "male"),
            "gender_ar": np.where(female, "female", "male"),
        }
    )
    blocks, tables = [], []
    for language in ("ar", "en"):
        noise = rng.random((N, 4)) * (rng.random((N, 4)) < 0.3)
        noise[:, 0] += female * (rng.random(N) < 0.9)
        noise[:, 1] += ~female * (rng.random(N) < 0.9) * (language == "ar")
        noise[5:, 3] = 0
        blocks.append(noise)
        tables.append(pl.DataFrame({"image_id": ids, "language": language, "position_set": "pre-gender", "rows": 2}))
    table = pl.concat(tables).with_columns(pl.col("rows").cast(pl.UInt32))
    sums = sparse.csr_array(np.concatenate(blocks).astype(np.float32))
    fired = sparse.csr_array((sums.toarray() > 0).astype(np.float32))
    return FeatureSums(RowGroups(table, np.zeros(0, np.int64)), sums, fired), samples


def test_rank_test_equals_scipys_mann_whitney_with_ties():
    rng = np.random.default_rng(3)
    values = rng.integers(0, 4, (50, 6)).astype(float) * (rng.random((50, 6)) < 0.4)
    female = rng.random((50, 3)) < 0.4
    areas, p = rank_test(rank(values), female)
    for feature in range(6):
        for draw in range(3):
            x, y = values[female[:, draw], feature], values[~female[:, draw], feature]
            reference = stats.mannwhitneyu(x, y, method="asymptotic")
            assert p[feature, draw] == pytest.approx(reference.pvalue, rel=1e-9)
            assert areas[feature, draw] == pytest.approx(roc_auc_score(female[:, draw], values[:, feature]))


def test_a_constant_feature_has_p_one():
    areas, p = rank_test(rank(np.ones((20, 1))), (np.arange(20) % 2 == 0)[:, None])
    assert areas.item() == 0.5
    assert p.item() == 1


def test_planted_features_are_found_in_the_right_language_and_direction():
    sums, samples = planted()
    english = associate(sums, Labels.of(GENDER, samples, "en"), "en", "pre-gender", "test")
    arabic = associate(sums, Labels.of(GENDER, samples, "ar"), "ar", "pre-gender", "test")
    assert english.filter(pl.col("q") < 0.05)["feature"].to_list() == [0]
    assert arabic.filter(pl.col("q") < 0.05)["feature"].to_list() == [0, 1]
    first, second = arabic.filter(pl.col("feature").is_in([0, 1])).rows(named=True)
    assert first["auroc"] > 0.8 and first["log_odds"] > 0 and first["mean_female"] > first["mean_male"]
    assert second["auroc"] < 0.2 and second["log_odds"] < 0 and second["active_male"] > second["active_female"]


def test_unsupported_features_are_not_tested_and_the_rest_is():
    sums, samples = planted()
    tested = associate(sums, Labels.of(GENDER, samples, "en"), "en", "pre-gender", "test")
    assert tested["feature"].to_list() == [0, 1, 2]
    assert tested["support"].min() >= 20


def test_features_are_ranked_on_the_selection_split_over_both_languages():
    sums, samples = planted()
    ranking = rank_features(sums, samples, ("en", "ar"), GENDER)
    assert ranking.strongest()[:2] == [0, 1]
    assert ranking.signs([0, 1]) == [1, -1]
    assert rank_features(sums, samples.with_columns(split=pl.lit("test")), ("en", "ar"), GENDER).strongest() == []


def test_a_ranking_is_the_same_when_it_is_read_again(tmp_path: Path):
    ranking = rank_features(*planted(), ("en", "ar"), GENDER)
    ranking.save(tmp_path)
    read = Ranking.load(tmp_path, GENDER)
    assert read.associations.equals(ranking.associations)
    assert (read.strongest(), read.association([0])) == (ranking.strongest(), ranking.association([0]))
    assert (read.least_p == ranking.least_p).all() and (read.lean == ranking.lean).all()


def test_strength_and_lean_are_those_of_the_tests_themselves():
    """Against the sums over languages and position sets, done here feature by feature."""
    sums, samples = planted()
    ranking = rank_features(sums, samples, ("en", "ar"), GENDER)
    areas = {
        language: associate(sums, Labels.of(GENDER, samples, language), language, "pre-gender", "select")
        for language in ("en", "ar")
    }
    for feature in range(3):
        each = [table.filter(feature=feature)["auroc"].item() - 0.5 for table in areas.values()]
        assert ranking.lean[feature] == pytest.approx(sum(each) / 2)
        assert ranking.least_p[feature] == min(table.filter(feature=feature)["p"].item() for table in areas.values())
    assert ranking.least_p[3] == 1 and ranking.lean[3] == 0


def test_an_empty_position_set_gives_an_empty_table_with_the_schema():
    sums, samples = planted()
    empty = associate(sums, Labels.of(GENDER, samples, "en"), "en", "image", "test")
    assert empty.height == 0 and "auroc" in empty.columns


def test_an_image_whose_captions_disagree_has_no_label():
    samples = pl.DataFrame(
        {
            "image_id": ["a", "a", "b", "b", "c", "d"],
            "split": "test",
            "gender_en": ["female", "male", "male", "neutral", "neutral", "both"],
        }
    )
    assert GENDER.image_labels(samples, "en")["positive"].to_list() == [None, False, None, None]
