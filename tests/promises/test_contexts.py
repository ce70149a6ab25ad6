"""Images that share all that stands before the word are one unit, and one unit has no interval."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from core.causal.pairs import MinimalPair, shared_contexts
from core.causal.resampling import Resampling, dependence
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.lm.outcomes import WordSequence
from core.lm.prompts import EncodedSample
from core.stats.estimate import Estimate, Source
from core.stats.intervals import bootstrap_auroc, bootstrap_mean, bootstrap_ratio

IMAGES = ["a", "b", "c", "d", "e"]
VALUES = np.array([1.0, 1.0, 1.0, 4.0, 9.0])


def pair(image: str, before: list[int], picture: Path | None = None) -> MinimalPair:
    ids = [*before, 70]
    length = len(ids)
    sample = EncodedSample(
        image, image, "en", ids, 0, ["caption"] * length, [False] * length, [None] * length, "", "", picture
    )
    ends = (WordSequence(sample, len(before), False), WordSequence(sample, len(before), False))
    return MinimalPair(sample, *ends, "male", 1, (), None)


def resampling(pairs: Any, twins: bool = False) -> Resampling:
    samples = pl.DataFrame({"sample_id": IMAGES, "image_id": IMAGES})
    if twins:
        samples = samples.with_columns(twin_id=pl.Series(["b", "a", None, None, None]))
    closed: Any = None
    return Resampling(
        AnalysisInputs(samples, None, None, (), ("en", "ar"), closed, closed, {}, concept=THE_CONCEPT), 400, pairs
    )


SHARED = [pair("a", [1]), pair("b", [1]), pair("c", [1]), pair("d", [2]), pair("e", [3])]


def test_who_shares_a_context_is_drawn_together() -> None:
    merged, apart = resampling({"en": SHARED}), resampling({})
    assert merged.units(IMAGES, "en").tolist() == [0, 0, 0, 3, 4]
    wide, narrow = merged.mean(VALUES, IMAGES, "en"), apart.mean(VALUES, IMAGES, "en")
    assert wide.high - wide.low > narrow.high - narrow.low and wide.mean == narrow.mean
    assert merged.ratio(VALUES, 2 * VALUES, IMAGES, "en").mean == 0.5


def test_one_language_s_contexts_are_no_other_s_and_an_average_over_languages_has_all_of_them() -> None:
    both = resampling({"en": SHARED, "ar": [pair("d", [7]), pair("e", [7])]})
    assert both.units(IMAGES, "ar").tolist() == [0, 1, 2, 3, 3]
    assert both.units(IMAGES).tolist() == [0, 0, 0, 3, 3]


def test_twins_stay_one_unit_and_a_picture_is_part_of_the_context() -> None:
    linked = resampling({"en": [pair("b", [1]), pair("c", [1])]}, twins=True)
    assert linked.units(IMAGES, "en").tolist() == [0, 0, 0, 2, 3]
    pictures = resampling({"en": [pair(name, [1], Path(name)) for name in IMAGES]})
    assert pictures.units(IMAGES, "en").tolist() == [0, 1, 2, 3, 4]


def test_all_in_one_context_have_a_mean_and_neither_interval_nor_p() -> None:
    one = resampling({"en": [pair(name, [1]) for name in IMAGES]})
    mean = one.mean(VALUES, IMAGES, "en")
    assert mean.mean == VALUES.mean() and math.isnan(mean.low) and math.isnan(mean.high)
    random = pl.DataFrame(
        {"draw": np.repeat(range(40), 5), "image_id": IMAGES * 40, "value": np.zeros(200)},
    )
    assert one.against(VALUES, random, IMAGES, "en")["p"] == 1
    assert one.ratio(VALUES, VALUES, IMAGES, "en")[0] != one.ratio(VALUES, VALUES, IMAGES, "en")[0]  # NaN
    assert shared_contexts([pair(name, [1]) for name in IMAGES], "en")[0].startswith(
        "en: the 5 measured images have 1 different context before the word;"
    )


@pytest.mark.parametrize("units", [None, np.zeros(1, dtype=np.int64)])
def test_one_value_has_no_interval(units: Any) -> None:
    assert math.isnan(bootstrap_mean(np.array([2.0]), 100, 0, units).low)
    assert math.isnan(bootstrap_ratio(np.array([2.0]), np.array([4.0]), 100, 0, units).high)


def test_a_pair_of_twins_alone_has_an_auroc_without_an_interval() -> None:
    found = bootstrap_auroc(np.array([2.0, 1.0]), np.array([1, 0]), 100, 0, np.zeros(2, dtype=np.int64))
    assert found.mean == 1 and math.isnan(found.low)


def test_an_estimate_of_one_unit_is_never_found_and_says_how_few_there_are() -> None:
    certain = Estimate("n", "q", 2.0, "nats", 5, "test items", Source("t", {}, "c"), interval=(2.0, 2.0), p=0.001)
    assert certain.beyond_null
    told = replace(certain, interval=(math.nan, math.nan))
    assert told.interval is None and not told.beyond_null and told.verdict != "found"
    assert dependence({"images": 5, "units": 5}, "test items") == ()
    assert dependence({"images": 5, "units": 1}, "test items") == (
        "the 5 test items are 1 unit of the interval and of p: some share all before the word",
    )
