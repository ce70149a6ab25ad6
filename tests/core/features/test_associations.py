"""Gender association against scipy, on planted features."""

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats
from sklearn.metrics import roc_auc_score

from core.features.associations import associate, image_labels, rank, rank_gender_features, rank_test
from core.features.row_groups import Cells, FeatureCells

N = 240


def planted() -> tuple[FeatureCells, pl.DataFrame]:
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
    return FeatureCells(Cells(table, np.zeros(0, np.int64)), sums, fired), samples


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
    cells, samples = planted()
    english = associate(cells, image_labels(samples, "en"), "en", "pre-gender", "test")
    arabic = associate(cells, image_labels(samples, "ar"), "ar", "pre-gender", "test")
    assert english.filter(pl.col("q") < 0.05)["feature"].to_list() == [0]
    assert arabic.filter(pl.col("q") < 0.05)["feature"].to_list() == [0, 1]
    first, second = arabic.filter(pl.col("feature").is_in([0, 1])).rows(named=True)
    assert first["auroc"] > 0.8 and first["log_odds"] > 0 and first["mean_female"] > first["mean_male"]
    assert second["auroc"] < 0.2 and second["log_odds"] < 0 and second["active_male"] > second["active_female"]


def test_unsupported_features_are_not_tested_and_the_rest_is():
    cells, samples = planted()
    tested = associate(cells, image_labels(samples, "en"), "en", "pre-gender", "test")
    assert tested["feature"].to_list() == [0, 1, 2]
    assert tested["support"].min() >= 20


def test_features_are_ranked_on_the_selection_split_over_both_languages():
    cells, samples = planted()
    assert rank_gender_features(cells, samples, ("en", "ar"), ("pre-gender",))[:2] == [0, 1]
    assert rank_gender_features(cells, samples.with_columns(split=pl.lit("test")), ("en", "ar"), ("pre-gender",)) == []


def test_an_empty_position_set_gives_an_empty_table_with_the_schema():
    cells, samples = planted()
    empty = associate(cells, image_labels(samples, "en"), "en", "image", "test")
    assert empty.height == 0 and "auroc" in empty.columns


def test_an_image_whose_captions_disagree_has_no_label():
    samples = pl.DataFrame(
        {
            "image_id": ["a", "a", "b", "b", "c", "d"],
            "split": "test",
            "gender_en": ["female", "male", "male", "neutral", "neutral", "both"],
        }
    )
    assert image_labels(samples, "en")["female"].to_list() == [None, False, None, None]
