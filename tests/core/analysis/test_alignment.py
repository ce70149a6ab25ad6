"""Alignment against NumPy, scikit-learn and a linear programme; planted pairs are found, shuffled ones are not."""

from dataclasses import replace
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from scipy import sparse
from scipy.optimize import linprog
from sklearn.metrics import jaccard_score

from core.analysis.alignment import Config
from core.analysis.alignment.concept_features import cohens_d, nearest, unit
from core.analysis.alignment.design import Design, make_design
from core.analysis.alignment.figures import figures
from core.analysis.alignment.geometry import Geometry
from core.analysis.alignment.run import run
from core.analysis.alignment.same_image import compare_captions, correlated, jaccard, measured
from core.analysis.alignment.values import OverFeatures, OverImages
from core.errors import BadInput
from core.features.caption_rows import CaptionSide, PairedCaptions
from core.features.inputs import AnalysisInputs
from core.features.shuffles import exchangeable, exchanged
from core.stats.intervals import weights
from tests.core.features.planted_world import Index, activations_of, reordered

RNG = np.random.default_rng(0)


def design_of(images: int, strata: int = 4, shuffles: int = 99, seed: int = 0) -> Design:
    rng = np.random.default_rng(seed)
    groups, units = np.arange(images) % strata, np.arange(images) // 2
    exchange = exchangeable([(int(group),) for group in groups], units.tolist())
    orders = np.stack([exchanged(exchange, rng) for _ in range(shuffles)])
    names = [f"i{number:03d}" for number in range(images)]
    return Design(names, units, weights(images, 200, seed, units), exchange, orders, ("profession",), 0, None)


def side(values: np.ndarray) -> CaptionSide:
    active = sparse.csr_array(values.astype(np.float32))
    return CaptionSide(np.ones(len(values), np.float32), sparse.csr_array(active != 0).astype(np.float32), active)


def drawn_captions(shared: float, images: int = 60, features: int = 30, seed: int = 0) -> PairedCaptions:
    """Activations that the two captions of an image have in common up to `shared`."""
    rng = np.random.default_rng(seed)
    image = rng.gamma(1, 1, (images, features))
    sides = [shared * image + (1 - shared) * rng.gamma(1, 1, (images, features)) for _ in range(2)]
    sides = [np.where(values > 1, values, 0) for values in sides]
    return PairedCaptions([f"i{number:03d}" for number in range(images)], *map(side, sides))


def test_correlation_and_jaccard_equal_numpys_and_sklearns() -> None:
    captions, design = drawn_captions(0.6), design_of(60)
    first, second = captions.first.means.toarray(), captions.second.means.toarray()
    found = compare_captions(captions, design, 0)
    for row in found.table.head(5).iter_rows(named=True):
        own, other = first[:, row["feature"]], second[:, row["feature"]]
        assert row["correlation"] == pytest.approx(np.corrcoef(own, other)[0, 1], abs=1e-6)
        assert row["jaccard"] == pytest.approx(jaccard_score(own > 0, other > 0))
        null = [np.corrcoef(own, other[order])[0, 1] for order in design.orders]
        assert row["p"] == pytest.approx((1 + np.sum(np.array(null) >= row["correlation"] - 1e-9)) / 100)
    assert found.correlation.value == pytest.approx(found.table["correlation"].mean())
    full = np.corrcoef(first.T, second.T)[:30, 30:]
    for row in found.table.drop_nulls().iter_rows(named=True):
        assert row["counterpart_correlation"] == pytest.approx(full[row["feature"], row["counterpart"]], abs=1e-5)
        assert full[row["feature"]].argmax() == row["counterpart"]
        assert full[:, row["counterpart"]].argmax() == row["feature"]
    low, high = found.correlation.interval
    assert low < found.correlation.value < high and found.correlation.value > found.correlation.shuffled.max()
    assert found.same == found.matched.first.size > 20


def test_a_feature_that_fires_on_nothing_has_no_correlation() -> None:
    values = np.zeros((6, 1))
    design = design_of(6)
    assert np.isnan(measured(values, values, design, correlated).observed[0])
    assert np.isnan(measured(values, values, design, jaccard).observed[0])


def test_pairs_that_share_nothing_beyond_their_stratum_are_not_beyond_the_shuffles() -> None:
    passed = 0
    for seed in range(5):
        groups = np.arange(60) % 4
        lift = np.random.default_rng(seed).gamma(1, 1, (4, 30))[groups]
        drawn = drawn_captions(0, seed=seed)
        captions = PairedCaptions(
            drawn.images, *(side(one.means.toarray() + lift) for one in (drawn.first, drawn.second))
        )
        found = compare_captions(captions, design_of(60, seed=seed), seed).correlation
        assert found.value > 0.1
        passed += found.value > np.quantile(found.shuffled, 0.95)
    assert passed <= 1


def test_twins_get_the_captions_of_other_twins_so_that_what_they_share_is_not_found() -> None:
    rng = np.random.default_rng(0)
    pairs, features = 60, 400
    twice = [np.repeat(rng.gamma(1, 1, (pairs, features)), 2, axis=0) for _ in range(2)]
    captions = PairedCaptions([f"i{number:03d}" for number in range(2 * pairs)], *map(side, twice))
    design = design_of(2 * pairs, strata=2)
    ends = design.orders.reshape(-1, pairs, 2)
    assert (ends % 2 == [0, 1]).all() and (ends // 2 == ends[:, :, :1] // 2).all()
    found = compare_captions(captions, design, 0)
    assert (found.table["p"] <= 0.05).mean() < 0.08  # 0.13 where each image is shuffled by itself
    assert found.matched.first.size < 4


def test_an_image_whose_profession_or_label_is_unknown_stays_where_it_is(world: AnalysisInputs) -> None:
    test = world.samples.filter(split="test")["image_id"].to_list()
    first, second = (pl.col("image_id") == image for image in test[:2])
    neutral = pl.col("image_id").is_in(test[2:6])
    samples = world.samples.with_columns(
        pl.when(first).then(None).otherwise(pl.col("profession")).alias("profession"),
        pl.when(second).then(None).otherwise(pl.col("gender_en")).alias("gender_en"),
        pl.when(neutral).then(pl.lit("neutral")).otherwise(pl.col("gender_ar")).alias("gender_ar"),
    )
    design = make_design(replace(world, samples=samples), test, 500, 50)
    assert design.unknown == 2 and (design.orders[:, :2] == [0, 1]).all()
    assert np.isin(design.orders[:, 2:6], range(2, 6)).all()
    assert 0 < design.moved < 1


@pytest.mark.parametrize("live", (9, 0))
def test_layers_with_few_live_features_have_no_first_ones(world: AnalysisInputs, live: int) -> None:
    opened = world.open_layer(2)
    codes = activations_of(opened).toarray()
    few = replace(opened, index=Index(sparse.csr_array(codes * (np.arange(codes.shape[1]) < live))))
    result = run(replace(world, open_layer=lambda layer: few), CONFIG)
    assert result.tables["gender"].is_empty() and any("1 of 1" in note for note in result.notes)
    names = {one.name for one in result.estimates}
    assert ("correlation" in names) is (live > 0) and "direction" in names and "overlap" not in names


def test_cohens_d_is_of_pooled_deviations() -> None:
    values, labels = RNG.gamma(1, 1, (20, 5)) * (RNG.random((20, 5)) < 0.7), RNG.random((20, 3)) < 0.5
    values[:, 4] = 0
    found = cohens_d(sparse.csr_array(values), labels)
    for draw, own in enumerate(labels.T):
        one, other = values[own], values[~own]
        pooled = ((len(one) - 1) * one.var(axis=0, ddof=1) + (len(other) - 1) * other.var(axis=0, ddof=1)) / 18
        expected = (one.mean(axis=0) - other.mean(axis=0))[:4] / np.sqrt(pooled[:4])
        np.testing.assert_allclose(found[draw, :4], expected, rtol=1e-5)
    assert (found[:, 4] == 0).all()


def test_transport_is_the_optimum_of_the_linear_programme() -> None:
    first, second = unit(RNG.normal(size=(4, 6))), unit(RNG.normal(size=(4, 6)))
    cosine = first @ second.T
    closest, paired = nearest(first, second)
    np.testing.assert_allclose(closest, cosine.max(axis=1))
    best = max(cosine[range(4), order].mean() for order in permutations(range(4)))
    rows, columns = np.kron(np.eye(4), np.ones(4)), np.kron(np.ones(4), np.eye(4))
    programme = linprog(1 - cosine.ravel(), A_eq=np.vstack([rows, columns]), b_eq=np.full(8, 1 / 4))
    assert paired.mean() == pytest.approx(best) == pytest.approx(1 - programme.fun)


def test_cka_and_its_jackknife_are_computed_from_scratch() -> None:
    first = RNG.normal(size=(24, 5))
    second, design = first @ RNG.normal(size=(5, 5)) + RNG.normal(size=(24, 5)), design_of(24)
    found = Geometry.of(first, second).cka(design)

    def hsic(one: np.ndarray, other: np.ndarray) -> float:
        n, ones = len(one), np.ones(len(one))
        k, m = (x @ x.T * (1 - np.eye(n)) for x in (one, other))
        middle = ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
        return float(np.trace(k @ m) + middle - 2 / (n - 2) * ones @ k @ m @ ones)

    def value(kept: np.ndarray, order: np.ndarray | None = None) -> float:
        one, other = first[kept], (second if order is None else second[order])[kept]
        return hsic(one, other) / np.sqrt(hsic(one, one) * hsic(other, other))

    every = np.ones(24, dtype=bool)
    assert found.value == pytest.approx(value(every))
    assert found.resampled[3] == pytest.approx(value(design.units != 3))
    assert found.shuffled[7] == pytest.approx(value(every, design.orders[7]))
    half = 1.959964 * np.sqrt(11 * found.resampled.var())
    assert found.interval == pytest.approx((found.value - half, min(1, found.value + half)))


def test_values_are_pooled_over_layers() -> None:
    images = [OverImages(value, np.array([value, value + 1]), np.array([0.0])) for value in (1.0, 3.0)]
    assert OverImages.pooled(images).value == 2 and OverImages.pooled(images).resampled.tolist() == [2, 3]
    shares = [OverFeatures(np.array([1.0, 0, 0]), np.array([0.1])), OverFeatures(np.array([1.0]), np.array([0.3]))]
    pooled = OverFeatures.pooled(shares)
    assert (pooled.value, pooled.shuffled.tolist()) == (0.5, [pytest.approx(0.15)]) and 0 < pooled.interval[0] < 0.5


# The whole analysis on planted layers: features 0 and 1 are gendered in both languages.

CONFIG = Config(layers=(2,), permutations=199)


def test_gender_is_shared_in_the_planted_world_and_nothing_else_of_an_image_is(world: AnalysisInputs) -> None:
    result = run(replace(world, open_frozen=world.open_layer), CONFIG)
    gender = result.tables["gender"].filter(dictionary="SAE")
    assert set(gender.filter(rank=1)["feature"]) | set(gender.filter(rank=2)["feature"]) == {0, 1}
    assert gender.filter(pl.col("rank") <= 2)["shared"].all()
    found = {one.name: one for one in result.estimates}
    assert found["overlap"].value >= 0.5 and found["overlap"].p == 0.09  # of four features, shuffles share two as well
    assert found["overlap"].verdict == "not found"
    assert found["direction"].verdict == "found" and found["correlation"].verdict != "found"
    assert found["overlap.beyond_frozen"].value == 0 and found["overlap.beyond_frozen"].verdict == "not tested"
    assert set(figures(result.tables)) == {"alignment", "map"}
    assert any("0.50 with all" in note and "not all on one side of 5 %" in note for note in result.notes)
    assert any("profession" in note and "% of the images" in note for note in result.notes)
    for one in found.values():
        rows = result.tables[one.source.table].filter(**one.source.key)
        assert rows.height == 1 and rows[one.source.column][0] == pytest.approx(one.value)


def test_random_labels_give_no_finding(world: AnalysisInputs) -> None:
    images = world.samples.height
    for seed in range(3):
        drawn = np.where(np.random.default_rng(seed).permutation(images) % 2 == 0, "female", "male")
        samples = world.samples.with_columns(pl.Series("gender_en", drawn), pl.Series("gender_ar", drawn))
        found = run(replace(world, samples=samples), CONFIG).estimates
        assert not [one.name for one in found if one.verdict == "found" and one.name in ("overlap", "direction")]
        assert not [one.name for one in found if one.verdict == "found" and one.name in ("cosine", "transport")]


def test_a_sibling_that_is_the_same_sae_in_another_order_reaches_the_ceiling(world: AnalysisInputs) -> None:
    sibling = reordered(world.open_layer(2))
    result = run(replace(world, open_sibling=lambda layer: sibling), CONFIG)
    ceilings = result.tables["summary"].filter(pl.col("ceiling").is_not_null())
    assert dict(ceilings.select("measure", "ceiling").iter_rows()) == {
        **dict.fromkeys(("matched", "overlap"), 1.0),
        **dict.fromkeys(("cosine", "transport"), pytest.approx(1)),
    }
    assert any("reach 1.00" in caveat for one in result.estimates for caveat in one.caveats)


def test_two_languages_are_needed(world: AnalysisInputs) -> None:
    with pytest.raises(BadInput, match=r"analyses\.alignment: 10 test images"):
        run(replace(world, languages=("en",)), CONFIG)
