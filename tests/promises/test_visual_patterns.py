"""Maps are of test images, compared with matched features image by image, and causal maps with random swaps."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats

from core.analysis.result import Result
from core.analysis.visual_patterns import Config
from core.analysis.visual_patterns.agreement import AGREEMENT, CAUSAL, agreement_table, compare_maps, rank_correlation
from core.analysis.visual_patterns.findings import correct_together, findings
from core.analysis.visual_patterns.image_maps import find_grid, place_rows
from core.analysis.visual_patterns.localisation import LOCALISATION
from core.analysis.visual_patterns.matched import Comparison, Resampling, compare, match_features
from core.analysis.visual_patterns.run import run
from core.causal import maps as causal
from core.features.inputs import AnalysisInputs
from core.features.significance import RankedTests, count_significant, how_many
from core.lm.patched import CAPTION, PROMPT
from core.stats.intervals import bootstrap_mean
from core.stats.rate_matching import CALIPER, LEAST, RateMatched, match_rates
from tests.promises.image_world import (
    ASSOCIATED,
    BOX,
    CHOSEN,
    CORNER,
    FREE,
    SIDE,
    START,
    Look,
    make_inputs,
    make_layer,
    make_profile,
    make_ranking,
    make_samples,
    make_tokens,
)

CONFIG = Config(layers=(3,), features=2, top_images=30, occluded_images=0, bootstrap=200)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> AnalysisInputs:
    return make_inputs(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="module")
def result(inputs: AnalysisInputs) -> Result:
    return run(inputs, CONFIG)


def whole(result: Result) -> dict[str, Any]:
    return result.tables["localisation"].filter(pl.col("feature").is_null()).row(0, named=True)


# Which images, and which cells


def test_only_test_images_are_mapped_and_scored(result: Result) -> None:
    # On every other image the features look at the corner.
    assert whole(result)["pointing"] == 1
    assert whole(result)["images"] == 24
    maps = result.tables["maps"]
    assert maps["image_id"].n_unique() == 24 and maps["image_id"].str.starts_with("test-").all()


def test_a_dropped_row_leaves_its_own_cell_empty_and_moves_no_other() -> None:
    tokens = make_tokens(make_samples())
    names = tokens["image_id"].unique(maintain_order=True).to_list()
    complete = find_grid(tokens, names)
    lost = {0, 5, 6, 3 * SIDE**2 + 15}  # the first row of an image too
    kept = [row for row in range(tokens.height) if row not in lost]
    grid = find_grid(tokens[kept], names)
    assert complete is not None and grid is not None and grid.side == SIDE
    np.testing.assert_array_equal(grid.row_cell, complete.row_cell[kept])
    np.testing.assert_array_equal(grid.row_image, complete.row_image[kept])


def test_control_tokens_between_rows_leave_no_cell_and_images_may_start_anywhere() -> None:
    positions = np.array([3, 4, 6, 7])
    cells, side = place_rows(np.zeros(4, np.int64), positions)
    assert (cells.tolist(), side) == ([0, 1, 2, 3], 2)
    of_image = np.repeat([0, 1, 2], [4, 4, 3])
    cells, side = place_rows(of_image, np.concatenate([positions, positions + 9, positions[1:] + 20]))
    # The third image lacks a row, and nobody knows which.
    assert (cells.tolist(), side) == ([0, 1, 2, 3, 0, 1, 2, 3, -1, -1, -1], 2)


def test_rows_that_make_no_square_have_no_grid() -> None:
    assert place_rows(np.zeros(3, np.int64), np.arange(3))[1] == 0


def test_image_rows_captured_in_both_languages_are_read_in_one() -> None:
    tokens = make_tokens(make_samples())
    both = pl.concat([tokens.with_columns(pl.lit(language).alias("language")) for language in ("en", "ar")])
    names = tokens["image_id"].unique(maintain_order=True).to_list()
    grid = find_grid(both, names)
    assert grid is not None
    read = both["language"].to_numpy()[grid.row_image >= 0]
    assert read.size == tokens.height and set(read) == {"ar"}


def test_outliers_are_in_no_map() -> None:
    tokens = make_tokens(make_samples()).with_columns(outlier=pl.int_range(pl.len()) == 7)
    grid = find_grid(tokens, tokens["image_id"].unique(maintain_order=True).to_list())
    assert grid is not None
    assert (grid.row_cell[7], grid.row_cell[8]) == (-1, 8)


# What features are compared with


def test_controls_passed_the_same_filters_are_as_active_on_image_rows_and_not_associated() -> None:
    matched = match_features(make_ranking(), make_profile(), CHOSEN)
    assert matched.features == CHOSEN
    assert [sorted(found.tolist()) for found in matched.candidates] == [list(FREE), list(FREE)]


def test_rates_match_within_the_caliper_nearest_first_and_few_candidates_are_no_match() -> None:
    rates = 0.1 * np.array([1, CALIPER * 0.99, 1 / (CALIPER * 0.99), 1.01, 0.98, 1.05, CALIPER * 1.02, 0, 1, 9])
    pool = np.ones(rates.size, dtype=bool)
    pool[8] = False
    matched = match_rates((0, 9, 7), rates, pool)
    assert matched.features == (0,) and matched.unmatched == (9, 7)
    nearest = matched.candidates[0].tolist()
    assert nearest[:3] == [3, 4, 5] and set(nearest[3:]) == {1, 2} and LEAST == 5
    pool[3] = False
    assert match_rates((0,), rates, pool).unmatched == (0,)


def test_no_control_is_twice_in_a_set_and_equal_sets_count_once() -> None:
    candidates = tuple(np.arange(5, 10) for _ in range(2))
    sets = RateMatched((0, 1), candidates, ()).sets(1000, np.random.default_rng(0))
    assert all(len(set(one)) == 2 for one in sets.tolist())
    assert len(sets) == 10  # as many as there are pairs of five
    assert set(sets.ravel().tolist()) == set(range(5, 10))


def compared(
    measured: np.ndarray, scores: dict[int, np.ndarray], units: np.ndarray | None = None, seed: int = 0
) -> Comparison:
    matched = RateMatched((0,), (np.array(list(scores)),), ())
    codes = np.arange(measured.size) if units is None else units
    return compare(measured, (0,), matched, scores, Resampling(codes, 200, seed))


NAN = np.nan


def test_controls_are_averaged_by_image_as_the_features_are() -> None:
    # Five controls hit the box on the first image; on the second only one of them fires, and misses.
    scores = {feature: np.array([1.0, NAN]) for feature in (5, 6, 7, 8)} | {9: np.array([1.0, 0.0])}
    found = compared(np.array([1.0, 1.0]), scores)
    assert found.control == pytest.approx(0.5)  # pooled over maps it is 5/6
    assert found.above.mean == pytest.approx(0.5)
    assert found.images == 2


def test_controls_count_on_the_images_where_the_features_fire() -> None:
    scores = {feature: np.array([1.0, 1.0, 0.0, 0.0]) for feature in range(5, 10)}
    found = compared(np.array([1.0, 0.0, NAN, NAN]), scores)
    assert (found.control, found.images, found.above.mean) == (1.0, 2, -0.5)


def test_a_set_of_controls_is_a_mean_by_image_too() -> None:
    # One control is silent where the other fires: the set's mean is over the one that fires.
    scores = {5: np.array([1.0, NAN, NAN, 0.0]), 6: np.array([NAN, 0.0, 1.0, NAN])}
    matched = RateMatched((0, 1), (np.array([5]), np.array([6])), ())
    found = compare(np.ones(4), (0, 1), matched, scores, Resampling(np.arange(4), 100, 0))
    assert found.control == 0.5 and found.draws == 1


def test_features_without_a_match_are_compared_with_nothing() -> None:
    found = compare(np.ones(4), (0,), RateMatched((), (), (0,)), {}, Resampling(np.arange(4), 100, 0))
    assert np.isnan(found.above.mean) and found.p is None and found.draws == 0


def test_twins_are_one_unit_of_the_interval_and_of_the_null() -> None:
    random = np.random.default_rng(0)
    measured = random.random(12)
    scores = {feature: random.random(12) for feature in range(5, 25)}
    single = compared(measured, scores)
    twice = {feature: np.repeat(values, 2) for feature, values in scores.items()}
    paired = compared(np.repeat(measured, 2), twice, np.repeat(np.arange(12), 2))
    assert paired.above == pytest.approx(single.above)
    assert paired.null == pytest.approx(single.null)
    apart = compared(np.repeat(measured, 2), twice)
    assert apart.above.high - apart.above.low < 0.9 * (single.above.high - single.above.low)


def test_the_run_resamples_twins_together(inputs: AnalysisInputs) -> None:
    look = Look(chosen=BOX)
    opened = make_layer(3, inputs.samples, look)
    # Feature 1 looks away on the first pairs of twins.
    codes = opened.index._rows.toarray().reshape(-1, SIDE**2, opened.index.num_features)  # type: ignore[attr-defined]
    first = int((inputs.samples["split"] != "test").sum())
    codes[first : first + 10, :, list(CHOSEN)] = 0
    codes[first : first + 10, CORNER, list(CHOSEN)] = 1
    layer = make_layer(3, inputs.samples, look)
    layer.index.__init__(type(layer.index._rows)(codes.reshape(-1, codes.shape[2])))  # type: ignore[misc,attr-defined]
    changed = make_inputs(inputs.images, {3: layer})  # type: ignore[arg-type]
    row = whole(run(changed, CONFIG))
    hits = np.r_[np.zeros(10), np.ones(14)]
    expected = bootstrap_mean(hits - 1 / SIDE**2, 200, 0, np.arange(24) // 2)
    assert row["above_chance"] == pytest.approx(14 / 24 - 1 / SIDE**2)
    assert (row["above_chance_low"], row["above_chance_high"]) == pytest.approx((expected.low, expected.high))


def test_the_null_carries_features_and_images_and_p_is_two_sided() -> None:
    random = np.random.default_rng(1)
    scores = {feature: (random.random(30) < 0.5).astype(float) for feature in range(5, 45)}
    high, low = compared(np.ones(30), scores), compared(np.zeros(30), scores)
    assert high.p == pytest.approx(1 / (high.draws + 1)) and low.p == pytest.approx(1 / (low.draws + 1))
    assert high.above.mean > 0 > low.above.mean
    # 40 controls with a spread of 0.5/√30 between them, and as much again by resampling 30 images.
    assert (high.null.high - high.null.low) / 3.92 == pytest.approx(np.sqrt(2 / 30) / 2, rel=0.3)
    usual = compared(scores[7], {feature: values for feature, values in scores.items() if feature != 7})
    assert usual.p is not None and usual.p > 0.05


def test_a_feature_that_is_like_the_others_is_seldom_significant() -> None:
    random = np.random.default_rng(2)
    hits = 0
    for _ in range(100):
        scores = {feature: (random.random(24) < random.beta(2, 4)).astype(float) for feature in range(41)}
        measured = scores.pop(0)
        hits += (compared(measured, scores).p or 1) <= 0.05
    assert hits <= 10


def test_draws_follow_the_seed() -> None:
    random = np.random.default_rng(3)
    scores = {feature: random.random(12) for feature in range(5, 25)}
    first, again, other = (compared(random.random(12) * 0 + 0.5, scores, seed=seed) for seed in (0, 0, 1))
    assert first.null == again.null != other.null
    assert first.above != other.above


# The whole analysis


def test_what_looks_at_the_person_is_found_and_what_looks_anywhere_is_not(tmp_path: Path, result: Result) -> None:
    found = {one.name: one for one in result.estimates}["pointing.person"]
    assert found.verdict == "found" and found.answers and found.language is None
    assert found.value == pytest.approx(1 - 1 / SIDE**2, abs=0.05)
    assert found.control is not None and found.control.draws >= 100
    # The associated features look at the person as well; they are no controls.
    away = make_inputs(tmp_path, {3: make_layer(3, make_samples(), Look(chosen=CORNER))})
    absent = {one.name: one for one in run(away, CONFIG).estimates}["pointing.person"]
    assert absent.verdict != "found" and absent.value < 0


def test_the_value_is_the_tables_and_the_middle_and_a_random_cell_are_told(result: Result) -> None:
    one = result.estimates[0]
    rows = result.tables[one.source.table].filter(
        pl.all_horizontal(pl.col(name).eq_missing(pl.lit(value)) for name, value in one.source.key.items())
    )
    assert rows.height == 1 and rows[one.source.column][0] == one.value
    row = whole(result)
    assert one.interval == (row["above_control_low"], row["above_control_high"])
    assert row["chance"] == 1 / SIDE**2 and row["centre"] == 0
    assert "a random cell 6.2%, a map of the image's middle 0.0%" in one.caveats[0]


def test_the_layer_is_picked_on_the_selection_split(tmp_path: Path) -> None:
    samples = make_samples()
    layers = {
        3: make_layer(3, samples, Look(chosen=BOX), strength=0.2),
        5: make_layer(5, samples, Look(chosen=CORNER), strength=0.4),
    }
    found = run(make_inputs(tmp_path, layers), CONFIG.model_copy(update={"layers": (3, 5)}))
    assert [(one.name, one.layer) for one in found.estimates] == [("pointing.person", 5)]
    assert found.estimates[0].verdict != "found"
    assert "2 layers" in found.estimates[0].chosen and "selection split" in found.estimates[0].chosen
    assert "2 of boxes by layer" in found.estimates[0].family


def test_features_that_pass_no_test_are_not_called_the_concepts(tmp_path: Path) -> None:
    weak = make_inputs(tmp_path, {3: make_layer(3, make_samples(), Look(), p=0.4)})
    assert "none significant" in run(weak, CONFIG).estimates[0].condition
    assert "all significant" in run(make_inputs(tmp_path), CONFIG).estimates[0].condition


def test_significance_is_corrected_over_the_layers() -> None:
    best, rest = np.array([0.004, 0.5]), np.linspace(0.1, 1, 9)
    one = RankedTests(np.r_[0.004, rest], best)
    assert count_significant([one]) == [1]
    assert count_significant([one] + [RankedTests(rest, np.array([0.5]))] * 3) == [0, 0, 0, 0]
    tested = RankedTests.of(make_ranking(), CHOSEN, ("image",))
    assert tested.p.size == 22 and tested.best.tolist() == [1e-6, 1e-6]
    assert [how_many(n, 3) for n in (0, 1, 3)] == ["none significant", "1 of 3 significant", "all significant"]


def test_q_is_over_every_test_of_the_question_and_nothing_else() -> None:
    p = [0.01, None, 0.03, 0.2]
    empty = dict.fromkeys(LOCALISATION.names())
    rows = [{**empty, "layer": 3, "feature": None if one else 7, "box": "person", "p": one} for one in p]
    agreement = [{**dict.fromkeys(AGREEMENT.names()), "layer": 3, "p": 0.04}]
    found = correct_together(pl.DataFrame(rows, LOCALISATION), pl.DataFrame(agreement, AGREEMENT))
    expected = stats.false_discovery_control([0.01, 0.03, 0.2, 0.04])
    q = found["localisation"]["q"].to_list()
    assert q[1] is None
    assert [q[0], q[2], q[3], found["agreement"]["q"][0]] == pytest.approx(expected.tolist())
    assert found["localisation"].schema == LOCALISATION


# Causal maps


def causal_table(values: dict[str, dict[int, list[float]]], layer: int = 3) -> pl.DataFrame:
    """Rank correlations by image and swap, one feature each."""
    rows = [
        (layer, feature, image, "random-swap" if swap else "twin-swap", swap, rho, [0.0], [0.0])
        for image, swaps in values.items()
        for swap, rhos in swaps.items()
        for feature, rho in enumerate(rhos)
    ]
    return pl.DataFrame(rows, CAUSAL, orient="row")


IMAGES = [f"test-{number:02d}" for number in range(0, 12, 2)]


def test_agreement_is_what_random_swaps_do_not_show(inputs: AnalysisInputs) -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(60):
        same = {image: {swap: [0.8 + 0.05 * random.normal()] for swap in range(4)} for image in IMAGES}
        row = agreement_table(causal_table(same), inputs, 20).row(0, named=True)
        assert row["spearman"] > 0.7 and abs(row["above_random"]) < 0.1
        hits += row["p"] <= 0.05
    assert hits <= 7
    better = {
        image: {swap: [(0.8 if swap == 0 else 0.1) + 0.05 * random.normal()] for swap in range(4)} for image in same
    }
    row = agreement_table(causal_table(better), inputs, 200).row(0, named=True)
    assert row["above_random"] == pytest.approx(0.7, abs=0.1)
    assert row["draws"] == 1000 and row["p"] == pytest.approx(1 / 1001)
    assert row["null_high"] < row["above_random_low"]
    worse = {image: {swap: [0.1 if swap == 0 else 0.8] for swap in range(4)} for image in same}
    row = agreement_table(causal_table(worse), inputs, 200).row(0, named=True)
    assert row["above_random"] == pytest.approx(-0.7) and row["p"] < 0.05


def test_two_images_cannot_be_significant(inputs: AnalysisInputs) -> None:
    few = {image: {swap: [0.9 if swap == 0 else 0.0] for swap in range(4)} for image in IMAGES[:2]}
    row = agreement_table(causal_table(few), inputs, 200).row(0, named=True)
    assert row["draws"] == 4**2 - 1 and row["p"] == pytest.approx(1 / 16)


def test_features_are_averaged_within_an_image_first(inputs: AnalysisInputs) -> None:
    values = {IMAGES[0]: {0: [1.0, 1.0, 1.0], 1: [0.5, 0.5, 0.5]}, IMAGES[1]: {0: [0.0], 1: [0.0]}}
    row = agreement_table(causal_table(values), inputs, 200).row(0, named=True)
    assert (row["spearman"], row["random"], row["above_random"]) == (0.5, 0.25, 0.25)


def test_an_image_without_random_swaps_is_not_compared(inputs: AnalysisInputs) -> None:
    row = agreement_table(causal_table({IMAGES[0]: {0: [0.9]}}), inputs, 200).row(0, named=True)
    assert row["spearman"] == 0.9 and row["compared"] == 0 and row["p"] is None
    assert np.isnan(row["above_random"])


def test_twins_are_one_unit_of_the_agreement(inputs: AnalysisInputs) -> None:
    random = np.random.default_rng(4)
    pairs = {image: {0: [random.random()], 1: [0.0]} for image in IMAGES}
    twins = {f"test-{int(image[-2:]) + 1:02d}": swaps for image, swaps in pairs.items()}
    both = agreement_table(causal_table({**pairs, **twins}), inputs, 500).row(0, named=True)
    single = agreement_table(causal_table(pairs), inputs, 500).row(0, named=True)
    ends = ("low", "high", "above_random_low", "above_random_high")
    assert [both[end] for end in ends] == pytest.approx([single[end] for end in ends])


def test_a_map_without_an_effect_agrees_with_nothing() -> None:
    cells = np.array([0.0, 1.0, 2.0, 3.0])
    assert rank_correlation(cells, np.zeros(4)) == 0
    assert np.isnan(rank_correlation(np.zeros(4), cells))
    assert rank_correlation(cells, cells**3) == pytest.approx(1)
    found = compare_maps(causal.CausalMap(3, 1, "a", "twin-swap", 0, cells), cells)
    assert found["map"] == found["causal"] == cells.tolist() and found["spearman"] == pytest.approx(1)


def test_the_agreement_estimate_names_its_null(inputs: AnalysisInputs, result: Result) -> None:
    values = {image: {swap: [0.8 if swap == 0 else 0.1] for swap in range(4)} for image in IMAGES}
    table = causal_table(values)
    agreement = agreement_table(table, inputs, 200)
    tables = {**result.tables, **correct_together(result.tables["localisation"], agreement), "causal": table}
    one = {found.name: found for found in findings(tables, "gender")}["agreement"]
    assert one.answers and one.verdict == "found" and one.value == pytest.approx(0.7)
    assert "0.80" in one.caveats[0] and "0.10" in one.caveats[0] and "the twin's" in one.condition


def test_random_images_are_other_test_images_of_the_same_side(inputs: AnalysisInputs) -> None:
    names = {f"{name}.png": name for name in inputs.samples["image_id"]}
    samples = inputs.samples.with_columns(image=pl.col("image_id") + ".png")
    own = SimpleNamespace(**{**vars(inputs), "samples": samples, "units": inputs.units})
    rows = samples.filter(pl.col("image_id").is_in(IMAGES))
    found = causal.random_images(own, rows, 3)  # type: ignore[arg-type]
    for image, donors in found.items():
        others = [names[donor] for donor in donors]
        assert len(set(others)) == 3 and all(other.startswith("test-") for other in others)
        assert all(int(other[-2:]) % 2 == int(image[-2:]) % 2 for other in others), "even numbers are women"
        assert {image, f"test-{int(image[-2:]) ^ 1:02d}"}.isdisjoint(others)
    assert len({tuple(donors) for donors in found.values()}) > 1
    unlabelled = samples.with_columns(gender_en=pl.lit("none"))
    other = SimpleNamespace(**{**vars(inputs), "samples": unlabelled, "units": inputs.units})
    drawn = causal.random_images(other, rows, 20)  # type: ignore[arg-type]
    assert {int(donor[5:7]) % 2 for donor in drawn[IMAGES[0]]} == {0, 1}


@dataclass(frozen=True)
class Sample:
    image_id: str
    image: Path


class Batch:
    """One sequence of two text rows, nine cells, and a text row; values by picture."""

    def __init__(self, image: Path, count: int = 1) -> None:
        self.image, self.count = image, count
        self.segments = torch.tensor([[PROMPT, PROMPT, *[causal.IMAGE] * 9, CAPTION]] * count)

    def __len__(self) -> int:
        return self.count

    def repeated(self, count: int) -> "Batch":
        return Batch(self.image, count)

    def rows(self, some: slice) -> "Batch":
        return Batch(self.image, len(range(self.count)[some]))


PICTURES = {"own": np.r_[np.arange(9.0)], "twin": np.r_[0.0, np.arange(1, 8), 0], "other": np.full(9, 2.0)}


@pytest.fixture
def identity_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose stream is what enters it; its one feature is the sum of nothing but the cell itself."""

    def embed(_loaded: Any, batch: Batch) -> torch.Tensor:
        return torch.tensor(np.r_[50, 50, PICTURES[batch.image.name], 50], dtype=torch.float32)[None, :, None]

    monkeypatch.setattr(causal, "build_batch", lambda _loaded, samples: Batch(samples[0].image))
    monkeypatch.setattr(causal, "embed", embed)
    monkeypatch.setattr(causal, "run_embedded", lambda _loaded, _batch, entering, layers: {layers[0]: entering})


def test_every_cell_is_replaced_alone_and_random_images_are_mapped_beside(identity_model: None) -> None:
    def activations(rows: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return rows.expand(-1, len(features))

    sae = SimpleNamespace(activations=activations)
    sae.to = lambda _device: sae
    layer: Any = SimpleNamespace(sae=sae)
    sample: Any = Sample("a", Path("own"))
    chosen = [causal.Replacement(sample, Path("twin"), (Path("other"),)), causal.Replacement(sample, None)]
    found = causal.causal_maps(None, chosen, {3: (layer, [7])})  # type: ignore[arg-type]
    assert [(one.kind, one.swap) for one in found] == [("twin-swap", 0), ("random-swap", 1), ("occlusion", 0)]
    own = PICTURES["own"]
    np.testing.assert_allclose(found[0].blocks, own - PICTURES["twin"])
    # Without any effect beyond the cell itself, the map that random cells leave is not 0.
    np.testing.assert_allclose(found[1].blocks, own - 2)
    np.testing.assert_allclose(found[2].blocks, own - own.mean())


def test_the_world_is_what_it_says() -> None:
    assert START > 0 and set(ASSOCIATED).isdisjoint(FREE) and set(CHOSEN).isdisjoint(FREE)
