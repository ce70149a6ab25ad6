"""A maximum that grows with the caption's length is not called the concept's because women's captions are longer."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse, stats

from core.analysis.overview import Config
from core.analysis.overview.maxima import maximum_estimates, maximum_tables
from core.data.gender_concept import GENDER
from core.features.associations import Labels
from core.features.families import Families
from core.features.maxima import caption_lengths, group_maxima, maxima_by_image
from core.features.maximum_families import MaximumFamilies
from core.features.row_groups import RowGroups, sum_features
from tests.core.features.planted_world import Index, Table
from tests.promises.overview_tables import make_samples

BEFORE = GENDER.positions.before
FOLLOW, OWN, FEATURES = 12, 4, 16
"""Features 0-11 fire by the row alone, so that their maximum follows the caption's length; 12-15 follow gender too."""


def make_view(seed: int = 0, length_follows: bool = True) -> Any:
    """Captions of one language, all of whose tokens but the last are before the gendered word."""
    random = np.random.default_rng(seed)
    samples = make_samples(360)
    female = (samples["gender_en"] == "female").to_numpy()
    lengths = 4 + random.poisson(np.where(female & length_follows, 14, 5))
    image = np.repeat(np.arange(samples.height), lengths)
    codes = random.gamma(2, 1, (image.size, FEATURES))
    codes[:, FOLLOW:] += 2.5 * female[image][:, None]
    names = samples["image_id"].to_numpy()
    position = np.concatenate([np.arange(count) for count in lengths])
    tokens = pl.DataFrame({"image_id": names[image], "position": position}).with_columns(
        language=pl.lit("en"), segment=pl.lit("caption"), special=pl.lit(False)
    )
    order = np.argsort(names)
    group_of = np.empty_like(order)
    group_of[order] = np.arange(order.size)
    last = position == lengths[image] - 1
    table = pl.DataFrame({"image_id": names[order], "rows": (lengths - 1)[order]}).select(
        "image_id",
        pl.lit("en").alias("language"),
        pl.lit(BEFORE).alias("position_set"),
        pl.col("rows").cast(pl.UInt32),
        pl.lit(0).alias("word"),
    )
    index: Any = Index(sparse.csr_array(codes.astype(np.float32)))
    groups = RowGroups(table, np.where(last, -1, group_of[image]))
    none = np.zeros((tokens.height, 2), np.float32)
    view = SimpleNamespace(layer=3, index=index, groups=groups, table=Table(tokens, none), languages=("en",))
    return SimpleNamespace(**vars(view), samples=samples, feature_sums=sum_features(index, groups), codes=codes)


def both_tests(view: Any, draws: int = 60) -> tuple[MaximumFamilies, pl.DataFrame]:
    labels = Labels.by_language(GENDER, view.samples, ("en",))
    maxima = MaximumFamilies(GENDER, labels, draws, 0)
    maxima.add_layer(view)
    means = Families(GENDER, labels, 20, 0)
    means.add(view.layer, view.feature_sums, (BEFORE,))
    return maxima, means.finish()


@pytest.fixture(scope="module")
def tables() -> dict[str, pl.DataFrame]:
    return maximum_tables(*both_tests(make_view()))


def test_the_maximum_that_follows_length_alone_is_associated_as_it_is_and_not_at_equal_length(
    tables: dict[str, pl.DataFrame],
) -> None:
    found = tables["maxima"].sort("feature")
    follow, own = found.head(FOLLOW), found.tail(OWN)
    assert (follow["q_raw"] <= 0.05).all() and (follow["auroc"] > 0.6).all()
    assert (follow["q"] > 0.05).all()
    assert (own["q"] <= 0.05).all() and (own["correlation"] > 0.2).all()
    assert found["length_auroc"][0] > 0.9


def test_what_is_said_is_the_share_at_equal_length_beside_the_raw_one_and_the_mean(
    tables: dict[str, pl.DataFrame],
) -> None:
    summary = tables["maximum_discoveries"]
    row = summary.row(0, named=True)
    assert (row["tests"], row["share"], row["raw_share"]) == (FEATURES, OWN / FEATURES, 1.0)
    assert OWN / FEATURES <= row["mean_share"] < 0.5  # the mean does not grow with length
    inputs: Any = SimpleNamespace(concept=GENDER, counted="images")
    (estimate,) = maximum_estimates(inputs, summary)
    assert estimate.value == OWN / FEATURES and estimate.verdict == "found"
    assert estimate.caveats[0].startswith("100.0% for the maximum as it is, ")


def test_runs_of_exchanged_labels_discover_as_seldom_as_they_may() -> None:
    maxima, _ = both_tests(make_view(1))
    maxima.finish()
    runs = maxima.false_discoveries()
    assert (runs["discoveries"] > 0).mean() <= 0.15


def test_where_length_does_not_follow_the_concept_both_say_the_same() -> None:
    found = maximum_tables(*both_tests(make_view(2, length_follows=False)))["maxima"].sort("feature")
    assert ((found["q"] <= 0.05) == (found["q_raw"] <= 0.05)).all()


def test_maxima_are_over_an_image_s_rows_and_lengths_over_its_captions() -> None:
    view = make_view(3)
    maxima = maxima_by_image(group_maxima(view.index, view.groups), view.groups, "en", BEFORE)
    images, lengths = view.groups.images("en", BEFORE)[0], caption_lengths(view.table.tokens, "en")
    for number in (0, 17, 359):
        rows = (view.table.tokens["image_id"] == images[number]).to_numpy()
        own = view.codes[rows]
        np.testing.assert_allclose(maxima[number], own[:-1].max(axis=0), rtol=1e-5)
        assert lengths[images[number]] == len(own)


def test_twins_are_exchanged_together() -> None:
    names = [f"i{number:03d}" for number in range(40)]
    labels = Labels.by_language(GENDER, make_samples(40), ("en",))
    units = {name: number // 2 for number, name in enumerate(names)}
    families = MaximumFamilies(GENDER, labels, 30, 0, units)
    orders = families._orders(names)
    assert (orders[:, ::2] // 2 == orders[:, 1::2] // 2).all() and len(np.unique(orders[:, 0])) > 10


def test_a_study_that_does_not_ask_is_the_same_study() -> None:
    assert "maximum" not in Config().model_dump() and Config(maximum=True).model_dump()["maximum"] is True


def test_the_auroc_of_the_raw_maximum_is_scipy_s(tables: dict[str, pl.DataFrame]) -> None:
    view = make_view()
    maxima = maxima_by_image(group_maxima(view.index, view.groups), view.groups, "en", BEFORE)
    order = np.argsort(view.samples["image_id"].to_numpy())
    samples = view.samples[order]
    test, female = (
        (samples[column] == value).to_numpy() for column, value in (("split", "test"), ("gender_en", "female"))
    )
    statistic = stats.mannwhitneyu(maxima[test & female, 0], maxima[test & ~female, 0]).statistic
    found = tables["maxima"].filter(feature=0)["auroc"][0]
    assert found == pytest.approx(statistic / ((test & female).sum() * (test & ~female).sum()))
