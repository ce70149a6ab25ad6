"""Estimates: what their evidence supports, and what is kept of them."""

import json
import math
from dataclasses import replace

import pytest

from core.stats.estimate import Control, Estimate, Source, as_table, measured, verdict_of

FOUND = Estimate(
    name="shift.en",
    quantity="shift of the first gendered word",
    value=0.3,
    unit="nats",
    n=64,
    counted="test images",
    source=Source("effects", {"layer": 3, "language": "en"}, "effect"),
    interval=(0.2, 0.4),
    control=Control("matched feature sets", 0.0, -0.1, 0.1, 100),
    p=1 / 101,
    q=0.02,
    draws=100,
)


def test_an_effect_is_found_where_interval_control_and_corrected_p_agree() -> None:
    assert FOUND.verdict == "found"


@pytest.mark.parametrize(
    ("change", "verdict"),
    [
        ({"interval": (-0.1, 0.6)}, "weak"),
        ({"interval": None}, "weak"),
        ({"control": None}, "weak"),
        ({"control": Control("sets", 0.2, 0.1, 0.31, 100)}, "not found"),
        ({"control": Control("sets", 0.2, 0.1, 0.31, 100), "q": 0.06}, "not found"),
        ({"control": None, "q": 0.06}, "weak"),
        ({"q": 0.06}, "weak"),
        ({"p": None, "q": None}, "weak"),
        ({"interval": (-0.1, 0.6), "q": 0.2}, "not found"),
        ({"value": math.nan}, "not tested"),
        ({"described": True}, "not tested"),
        ({"interval": None, "p": None, "q": None}, "not tested"),
    ],
)
def test_a_single_piece_of_missing_evidence_is_enough_not_to_claim_it(change, verdict: str) -> None:
    assert replace(FOUND, **change).verdict == verdict


def test_the_uncorrected_p_counts_only_where_there_is_no_family() -> None:
    assert replace(FOUND, p=0.01, q=0.3).verdict == "weak"
    assert replace(FOUND, p=0.01, q=None).verdict == "found"


def test_the_other_side_of_null_is_an_effect_in_two_sided_tests_only() -> None:
    below = replace(FOUND, value=-0.3, interval=(-0.4, -0.2))
    assert below.verdict == "found"
    assert not replace(below, sides=1).beyond_null and not replace(below, sides=1).beyond_control


def test_null_is_the_estimates_own() -> None:
    area = replace(FOUND, value=0.45, interval=(0.35, 0.55), null=0.5)
    assert not area.beyond_null


def test_json_keeps_everything() -> None:
    kept = json.loads(json.dumps(FOUND.as_json()))
    assert Estimate.from_json(kept) == FOUND
    unmeasured = replace(FOUND, value=math.nan, interval=None, control=None)
    assert math.isnan(Estimate.from_json(json.loads(json.dumps(unmeasured.as_json(), allow_nan=False))).value)


def test_the_table_and_the_metrics_hold_the_same_numbers() -> None:
    (row,) = as_table([FOUND]).to_dicts()
    assert (row["value"], row["low"], row["high"], row["control_high"], row["verdict"]) == (0.3, 0.2, 0.4, 0.1, "found")
    assert row["key"] == "layer=3, language=en"
    flat = measured([FOUND])
    assert (flat["shift.en"], flat["shift.en.low"], flat["shift.en.q"]) == (0.3, 0.2, 0.02)
    assert measured([replace(FOUND, value=math.nan)]).keys().isdisjoint({"shift.en"})


def test_the_strongest_of_some_verdicts() -> None:
    assert verdict_of([replace(FOUND, q=0.2), FOUND]) == "found"
    assert verdict_of([]) == "not tested"
