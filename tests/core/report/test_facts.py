"""Rows, samples and what was left out add up in the report."""

from dataclasses import replace

import polars as pl
import pytest

from core.report.facts import drop_counts, facts
from core.report.model import ReportInputs


@pytest.fixture
def inputs() -> ReportInputs:
    """150 rows: 4 dropped when the table was read, 2 samples (one in both languages) when the model was run."""
    drops = [("s1", "ar", "131 caption tokens"), ("s2", "en", "140 caption tokens"), ("s2", "ar", "150 caption tokens")]
    dropped = [(n, f"s{n}", "image", "the file is missing") for n in range(4)]
    schema = {"sample_id": pl.String, "language": pl.String, "reason": pl.String}
    fields = {"row": pl.UInt32, "sample_id": pl.String, "field": pl.String, "reason": pl.String}
    return ReportInputs(
        study={"name": "counts", "description": ""},
        summary={
            "rows": 150,
            "samples": 146,
            "images": 73,
            "dropped": 4,
            "has_images": True,
            "languages": ["en", "ar"],
        },
        samples=pl.DataFrame({"image_id": [f"i{n // 2}" for n in range(144)]}),
        dropped=pl.DataFrame(dropped, fields, orient="row"),
        sae=pl.DataFrame(),
        history=pl.DataFrame(),
        health=pl.DataFrame(),
        capture_drops=pl.DataFrame(drops, schema, orient="row"),
    )


def test_samples_and_left_out_add_up_to_the_rows(inputs: ReportInputs) -> None:
    found = {name: value for value, name in facts(inputs)}
    assert found == {"rows": "150", "samples": "144", "left out": "6", "images": "72", "languages": "English, Arabic"}


def test_rows_that_were_not_drawn_are_counted(inputs: ReportInputs) -> None:
    drawn = replace(inputs, summary={**inputs.summary, "samples": 100, "images": 50})
    found = {name: value for value, name in facts(drawn)}
    assert (found["rows"], found["samples"], found["left out"], found["not drawn"]) == ("150", "98", "6", "46")


def test_each_row_left_out_is_counted_once_by_reason(inputs: ReportInputs) -> None:
    counts = drop_counts(inputs)
    assert counts["count"].sum() == 6
    assert counts.filter(step="running the model").select("field", "count").rows() == [("ar", 1), ("en", 1)]
