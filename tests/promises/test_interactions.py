"""Interactions: Δ(fg) − Δ(f) − Δ(g) against matched random pairs, and co-activation within segments and languages."""

from itertools import combinations
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import sparse

from core.analysis.interactions.figures import figures
from core.analysis.interactions.findings import estimates
from core.analysis.interactions.pairs import CHOSEN, SHIFTS, measure
from core.analysis.interactions.summary import overall_table, pairs_table
from core.data.gender_concept import GENDER
from core.features.coactive import network
from tests.promises.test_ablation import IMAGES, resampling

FEATURES = (3, 1, 7)


class Runs:
    """Log-odds that two features decide by their product, or by their sum: a pass for every set of features."""

    def __init__(self) -> None:
        self.pairs = [SimpleNamespace(image_id=image, sign=(-1) ** number) for number, image in enumerate(IMAGES)]
        self.passes = 0

    def sites(self, _: Any) -> list[Any]:
        return [SimpleNamespace(stream=None)]

    def log_odds(self, *_: Any) -> np.ndarray:
        return np.zeros(len(IMAGES))

    def patched(self, _layer: int, _sites: Any, patch: Any) -> np.ndarray:
        self.passes += 1
        gone = set(patch.features)
        shift = 2.0 * ({3, 1} <= gone) + 0.5 * (7 in gone)
        return shift * np.array([pair.sign for pair in self.pairs])


def test_a_pair_is_compared_with_the_sum_of_its_features_and_no_pass_runs_twice() -> None:
    runs: Any = Runs()
    view: Any = SimpleNamespace(layer=4)
    found = measure(runs, view, "en", [FEATURES, (3, 9, 7)])
    own = {(row["feature"], row["partner"]): row for row in found.filter(set=CHOSEN, image_id=IMAGES[1]).to_dicts()}
    assert own[3, 1]["interaction"] == 2.0 and own[3, 7]["interaction"] == 0.0
    assert own[3, 7]["partner_shift"] == 0.5 == own[3, 7]["both_shift"]
    assert runs.passes == 4 + 3 + 2  # single features, pairs of the first set, and those that the second adds
    assert set(found["set"]) == {CHOSEN, 0}


def shifts(interaction: dict[tuple[int, int], float], sets: int = 39, seed: int = 0, signs: Any = 1.0) -> pl.DataFrame:
    """Chosen pairs interact as told, random ones do not; noise of 0.1 on every image."""
    random, rows = np.random.default_rng(seed), []
    for number in range(CHOSEN, sets):
        features = FEATURES if number == CHOSEN else tuple(10 * (number + 2) + place for place in range(3))
        for place, pair in enumerate(combinations(features, 2)):
            values = signs * interaction.get(pair, 0.0) + 0.1 * random.standard_normal(len(IMAGES))
            for image, value in zip(IMAGES, values, strict=True):
                rows.append(("en", number, place, *pair, image, 0.5, 0.25, 0.75 + value, value))
    return pl.DataFrame(rows, schema=SHIFTS, orient="row")


def tables(found: pl.DataFrame) -> dict[str, pl.DataFrame]:
    drawn = resampling(IMAGES, bootstrap=400)
    return {"pairs": pairs_table(found, 4, drawn), "overall": overall_table(found, 4, drawn)}


def verdicts(found: pl.DataFrame) -> dict[str, str]:
    chosen = pl.DataFrame({"layer": [4] * 3, "feature": FEATURES, "q": [0.01] * 3})
    return {one.name: one.verdict for one in estimates(tables(found), chosen, 3, (GENDER, "images"))}


def test_the_planted_pair_stands_out_and_the_others_do_not() -> None:
    table = tables(shifts({(3, 1): 2.0}))["pairs"]
    own = {(row["feature"], row["partner"]): row for row in table.to_dicts()}
    assert own[3, 1]["interaction"] == pytest.approx(2, abs=0.1) and own[3, 1]["draws"] == 39
    assert own[3, 1]["p"] == pytest.approx(1 / 40)
    assert own[3, 1]["both_shift"] - own[3, 1]["shift"] - own[3, 1]["partner_shift"] == pytest.approx(2, abs=0.1)
    for pair in ((3, 7), (1, 7)):  # described beside their own places, for a rank picks the first pair alone
        assert own[pair]["p"] is None and own[pair]["interaction"] == pytest.approx(own[pair]["control"], abs=0.1)
    assert table["q"].drop_nulls().to_list() == pytest.approx([1 / 40])


def test_a_pair_stands_beside_the_pairs_at_its_own_place() -> None:
    drawn = shifts({(3, 1): 1.0}, sets=39)
    raised = pl.when(pl.col("place") == 0, pl.col("set") > CHOSEN).then(1.0).otherwise(0.0)
    table = tables(drawn.with_columns(pl.col("interaction") + raised))["pairs"]
    assert table["control"].to_list() == pytest.approx([1, 0, 0], abs=0.05) and table["p"][0] > 0.05


def test_the_mean_over_pairs_is_found_against_the_random_pairs() -> None:
    found = tables(shifts(dict.fromkeys(combinations(FEATURES, 2), 1.0)))["overall"].row(0, named=True)
    assert found["effect"] == pytest.approx(1, abs=0.1) and found["control"] == pytest.approx(0, abs=0.05)
    assert (found["draws"], found["images"]) == (39, len(IMAGES)) and found["p"] == pytest.approx(1 / 40)
    assert verdicts(shifts(dict.fromkeys(combinations(FEATURES, 2), 1.0)))["interaction.en"] == "found"


def test_random_sets_that_vary_as_much_as_the_chosen_one_stands_out_leave_nothing_to_find() -> None:
    """The images agree on every set: what tells is how sets differ."""
    by_set = dict(enumerate(np.random.default_rng(3).normal(size=39)))
    means = pl.col("set").replace_strict({CHOSEN: 1.0, **by_set}, return_dtype=pl.Float64)
    found = shifts({}).with_columns(pl.col("interaction") + means)
    row = tables(found)["overall"].row(0, named=True)
    values = [1.0, *by_set.values()]
    far = [abs(value - np.mean(values)) for value in values]
    assert row["low"] > 0 and row["p"] == pytest.approx(np.mean(np.array(far) >= far[0]), abs=0.1) and row["p"] > 0.05
    assert verdicts(found)["interaction.en"] == "not found"


def test_too_few_sets_for_two_languages_are_told() -> None:
    few = shifts(dict.fromkeys(combinations(FEATURES, 2), 1.0), sets=19)
    both = pl.concat([few, few.with_columns(language=pl.lit("ar"))])
    chosen = pl.DataFrame({"layer": [4] * 3, "feature": FEATURES, "q": [0.01] * 3})
    told = {one.name: one.caveats for one in estimates(tables(both), chosen, 3, (GENDER, "images"))}
    assert all("needs 2 of the 2 tests" in caveats[0] for caveats in told.values())


def test_without_random_sets_nothing_is_found() -> None:
    found = shifts({(3, 1): 2.0}, sets=0)
    assert tables(found)["overall"]["p"].is_null().all()
    assert set(verdicts(found).values()) == {"weak"}


def test_sides_shuffled_by_image_give_no_finding() -> None:
    hits = 0
    for seed in range(8):
        signs = np.random.default_rng(seed).choice([-1.0, 1.0], len(IMAGES))
        hits += "found" in verdicts(shifts({(3, 1): 1.0}, seed=seed, signs=signs)).values()
    assert hits <= 1


# What fires together


class Index:
    def __init__(self, codes: np.ndarray) -> None:
        self._codes = sparse.csr_array(codes)
        self.num_rows, self.num_features = codes.shape

    def csr(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        block = self._codes[start:stop]
        return block.indptr, block.indices, block.data


def test_co_activation_is_counted_without_special_rows_and_expected_within_strata() -> None:
    random = np.random.default_rng(0)
    caption = np.arange(400) % 2 == 0
    codes = random.random((400, 5)) * (random.random((400, 5)) < np.where(caption, 0.6, 0.05)[:, None])
    codes[:, 4] = codes[:, 0] * (random.random(400) < 0.9)
    special = np.arange(400) < 40
    tokens = pl.DataFrame(
        {"segment": np.where(caption, "caption", "image"), "language": ["en"] * 400, "special": special}
    )
    index: Any = Index(codes)
    table = network(index, tokens, (4, 0, 2))
    found = {(row["feature"], row["partner"]): row for row in table.to_dicts()}
    fires, seen = codes > 0, ~special
    both = int((fires[seen, 0] & fires[seen, 2]).sum())
    pair = found[0, 2]
    assert pair["both"] == both
    assert pair["jaccard"] == pytest.approx(both / (fires[seen, 0] | fires[seen, 2]).sum())
    assert pair["pmi"] == pytest.approx(np.log(both * seen.sum() / (fires[seen, 0].sum() * fires[seen, 2].sum())))
    within = sum(fires[seen & s, 0].mean() * fires[seen & s, 2].sum() for s in (caption, ~caption))
    assert pair["pmi_within"] == pytest.approx(np.log(both / within))
    assert pair["pmi"] > 0.4 and abs(pair["pmi_within"]) < 0.1  # all that they share is the segment
    assert found[4, 0]["pmi_within"] > 0.3  # these two share more


def test_figures_show_the_pairs_and_the_network() -> None:
    features = pl.DataFrame({"layer": [4] * 3, "feature": FEATURES, "rank": [1, 2, 3], "lean": [0.3, -0.3, 0.1]})
    features = features.cast({"feature": pl.UInt32})
    pair = {"both": 5, "pmi": 1.0, "pmi_within": 0.5}
    edges = pl.DataFrame(
        [
            {"feature": 3, "partner": 7, "jaccard": 0.4, **pair},
            {"feature": 1, "partner": 3, "jaccard": 0.001, **pair},
        ],
        schema_overrides={"feature": pl.UInt32, "partner": pl.UInt32},
    )
    known = tables(shifts({(3, 1): 2.0})) | {"features": features, "network": edges}
    found = figures(known)
    assert set(found) == {"interactions", "network"}
    spec = found["network"].chart.to_dict()
    drawn = [table for table in spec["datasets"].values() if "jaccard" in table[0]]
    assert [len(table) for table in drawn] == [1]  # the faint pair has no line
    assert figures({**known, "pairs": known["pairs"].clear(), "network": known["network"].clear()}) == {}
