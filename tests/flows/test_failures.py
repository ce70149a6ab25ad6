"""A failure's reason is told once and without a traceback, wherever the run is watched from."""

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from core.errors import BadInput
from flows.failures import hide_tracebacks, logged_run, words_of
from flows.pipeline_log import pipeline_log
from flows.stages import StageFailed

pytestmark = pytest.mark.filterwarnings("ignore:Logger .* attempted to send logs")  # no flow run goes on here


class Kept(logging.Handler):
    """What a handler would print, tracebacks included."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(self.format(record))


@pytest.fixture
def prefect_log() -> Iterator[tuple[logging.Logger, list[str]]]:
    hide_tracebacks()
    logger, kept = logging.getLogger("prefect.flow_runs"), Kept()
    logger.addHandler(kept)
    yield logger, kept.lines
    logger.removeHandler(kept)


def test_what_the_user_can_mend_has_no_traceback_and_is_not_told_twice(
    prefect_log: tuple[logging.Logger, list[str]],
) -> None:
    logger, lines = prefect_log
    try:
        raise StageFailed("train_sae: 1 of 4 units failed")
    except StageFailed as error:
        error.add_note("pipeline log: /here.log")
        logger.exception("Encountered exception during execution: %r", error)
        logger.error("Engine execution exited with unexpected exception", exc_info=True)
    assert lines == ["train_sae: 1 of 4 units failed\npipeline log: /here.log"]


def test_a_fault_of_ours_keeps_its_traceback(prefect_log: tuple[logging.Logger, list[str]]) -> None:
    logger, lines = prefect_log
    try:
        _ = {}["key"]
    except KeyError:
        logger.exception("Encountered exception during execution: %r", "x")
    assert "Traceback" in lines[0] and "KeyError" in lines[0]


def test_no_path_is_taken_for_markup_by_who_watches(prefect_log: tuple[logging.Logger, list[str]]) -> None:
    from rich.text import Text

    logger, lines = prefect_log
    words = "data.path: '/data/[/old]/[bold]x.csv' does not exist; train_sae[2]"
    try:
        raise BadInput(words)
    except BadInput:
        logger.exception("…")
    logger.info("Finished in state %s", words)
    assert [Text.from_markup(line).plain for line in lines] == [words, f"Finished in state {words}"]


@pytest.mark.parametrize("error", [BadInput("no such layer"), ValueError("unexpected"), KeyboardInterrupt()], ids=repr)
def test_the_pipeline_log_says_how_a_run_ended_and_the_error_where_that_stands(
    tmp_path: Path, error: BaseException
) -> None:
    with pytest.raises(type(error)), pipeline_log(tmp_path, "demo") as log, logged_run("demo", "threads", log):
        raise error
    begin, end = log.read_text("utf-8").splitlines()
    assert "demo begins on cluster threads" in begin
    assert ("was stopped after" if isinstance(error, KeyboardInterrupt) else f"{error}") in end
    if isinstance(error, Exception):
        assert words_of(error) == f"{error}\npipeline log: {log}"
