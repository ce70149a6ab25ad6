"""A report of several concepts: one part per concept, in the study's order, each under its own name and words."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from core.data.studied_concept import studied_concept
from core.report import ReportInputs, collect, write_report
from core.study.concept import StudiedConcept
from tests.core.report.sample_study import STUDY, SampleStudy

CONCEPTS = tuple(
    studied_concept(StudiedConcept(name=name, words={one: {"en": [one]}, other: {"en": [other]}}), pl.DataFrame())
    for name, one, other in (("place", "garden", "forest"), ("colour", "red", "blue"))
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> ReportInputs:
    """The overview of each concept, the second one's first, and captions with labels of both."""
    study = SampleStudy(tmp_path_factory.mktemp("study"))
    found = collect(study.store, STUDY, study.inputs, study.skipped)
    (overview,) = (section for section in found.sections if section.name == "overview")
    sections = tuple(replace(overview, concept=one, part=one.name, question="") for one in CONCEPTS)
    samples = found.samples.with_columns(
        pl.lit(concept.sides[0]).alias(concept.label_column(language))
        for concept in CONCEPTS
        for language in ("en", "ar")
    )
    return replace(found, sections=sections, concepts=CONCEPTS, samples=samples, gallery=None)


def test_every_concept_has_its_part_in_its_own_words(inputs: ReportInputs, tmp_path: Path) -> None:
    write_report(inputs, tmp_path)
    text, page = ((tmp_path / name).read_text(encoding="utf-8") for name in ("report.md", "report.html"))
    headings = [line for line in text.splitlines() if line.startswith("## ") and "layer and language" in line]
    assert headings == ["## Place by layer and language", "## Colour by layer and language"]
    assert page.index('id="overview-place"') < page.index('id="overview-colour"')
    assert "in which layers and features does colour show?" in text


def test_figures_of_two_concepts_do_not_overwrite_each_other(inputs: ReportInputs, tmp_path: Path) -> None:
    write_report(inputs, tmp_path)
    drawn = {path.stem for path in (tmp_path / "figures").glob("*.png")}
    assert {"study-place_classes", "study-colour_classes", "study-agreement", "study-agreement_colour"} <= drawn
    (section, other) = inputs.sections
    assert {f"{one.key}-{figure.name}" for one in (section, other) for figure in one.figures} <= drawn
    assert section.key != other.key
