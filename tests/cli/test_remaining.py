"""What is left of a run is the sum over all its stages, by what was measured, and else by what is assumed."""

from pathlib import Path

import pytest

from cli.remaining import Stage, in_words, past_seconds, remaining_s
from core.store.ledger import UnitCost, enter, unit_ledger_path

PAST = {"capture": 20.0, "train_sae": 40.0}


def test_before_anything_is_measured_earlier_runs_tell_two_units_at_once() -> None:
    stages = [Stage("capture", 0, 2, 0), Stage("train_sae", 0, 3.5, 0)]
    assert remaining_s(stages, PAST) == pytest.approx(2 * 10 + 3.5 * 20)


def test_a_stage_that_was_measured_is_taken_at_its_own_rate_and_scales_the_others() -> None:
    stages = [Stage("capture", 400, 2, 8000), Stage("train_sae", 0, 3, 0)]  # 20 s a unit, where 10 were assumed
    assert remaining_s(stages, PAST) == pytest.approx(2 * 20 + 3 * 40, rel=0.02)


def test_a_slow_first_stage_of_seconds_hardly_moves_the_others() -> None:
    stages = [Stage("capture", 1, 0, 40), Stage("train_sae", 0, 3, 0)]  # four times as long as assumed
    assert 3 * 20 < remaining_s(stages, PAST) < 1.5 * 3 * 20


def test_stages_to_come_count_without_any_earlier_run() -> None:
    assert remaining_s([Stage("prepare", 1, 0, 5), Stage("analyse", 0, 7, 0)], {}) > 60
    assert remaining_s([Stage("report", 1, 0, 9)], {}) == 0


def test_earlier_runs_are_read_from_the_ledgers_of_all_studies(tmp_path: Path) -> None:
    for study, seconds in (("one", (1.0, 3.0)), ("two", (8.0,))):
        costs = [UnitCost("", "capture", "capture[0]", "capture/0", "here", wall, 0.0) for wall in seconds]
        enter(unit_ledger_path(tmp_path, study), costs)
    assert past_seconds(tmp_path / "accounting") == {"capture": 3.0}
    assert past_seconds(tmp_path / "none") == {}


def test_words_are_rounded() -> None:
    assert [in_words(seconds) for seconds in (3, 44, 200, 7800)] == ["10 s", "40 s", "3 min", "2 h 10 min"]
