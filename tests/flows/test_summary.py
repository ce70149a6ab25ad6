"""MLflow's run of a study says what was found in the report's own sentences and numbers, and where the report is."""

from pathlib import Path

from core.reading.records import open_by_name
from core.report.sentences import sentence
from flows.summary import LONGEST, describe, headline_metrics
from tests.planted_studies import estimate, plant


def test_metrics_are_those_of_all_estimates_under_their_analysis(tmp_path: Path) -> None:
    found = open_by_name(plant(tmp_path), "cats").found()
    metrics = headline_metrics(found)
    assert metrics["ablation/shift.en"] == 0.5 and metrics["ablation/shift.en.low"] == 0.4
    assert metrics["overview/onset.7.en"] == 0.4 and "ablation/shift.en.q" not in metrics


def test_the_description_has_the_headline_sentences_and_the_report_s_place(tmp_path: Path) -> None:
    study = open_by_name(plant(tmp_path), "cats")
    found = study.found()
    text = describe(study, found, Path("/ws/reports/cats/report.html"), "http://prefect/run")
    assert text.startswith("Where do cats live?\n\n**What was found**\n\n- ")
    assert sentence(found["ablation"][0]) in text and sentence(found["ablation"][1]) not in text
    assert "Report: `/ws/reports/cats/report.html`" in text and "[Prefect](http://prefect/run)" in text
    assert "Prefect" not in describe(study, found, None, "") and "Report" not in describe(study, {}, None, "")


def test_a_long_description_ends_with_the_report_and_fits_a_tag(tmp_path: Path) -> None:
    study = open_by_name(plant(tmp_path), "cats")
    many = {"ablation": [estimate(f"shift.{number}", 0.5, condition="in images " * 60) for number in range(30)]}
    text = describe(study, many, Path("/ws/report.html"), "")
    assert len(text) <= LONGEST and "The report has the rest." in text and "Report: `/ws/report.html`" in text
    assert text.count("\n- ") >= 3
