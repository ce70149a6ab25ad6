"""The report as one HTML page that fetches nothing: charts, font, pictures and script inside it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

import polars as pl
from markupsafe import Markup

from core.figures.writers import FigureFile
from core.report import text
from core.report.answers import answers, small
from core.report.cards import feature_cards
from core.report.columns import TableView, table_view
from core.report.contents import chapter, chapter_of, flat, in_order, label_figures, sae_figures, sae_heading
from core.report.facts import (
    asked_and_used,
    drop_counts,
    facts,
    making_by_step,
    making_units,
    origin_words,
    packages,
    revisions,
)
from core.report.gallery import RULES, GalleryCard, gallery_cards
from core.report.health import health_words
from core.report.model import ReportInputs, Section, ShownTable
from core.report.pictures import Pictures
from core.report.rendering import FigureView, figure_view, templates
from core.report.sentences import sentences
from core.study.variant import title


@dataclass(frozen=True)
class SectionView:
    """An analysis on the page."""

    key: str
    title: str
    question: str
    findings: tuple[Markup, ...]
    notes: tuple[Markup, ...]
    skipped: str | None
    figures: tuple[FigureView, ...]
    tables: tuple[TableView, ...]
    has_cards: bool
    gallery: tuple[GalleryCard, ...] = ()


@dataclass
class _Page:
    """The page while it is put together: figures are numbered in the order in which they are asked for."""

    inputs: ReportInputs
    pictures: Pictures
    drawn: int = field(default=0)

    def figures(self, key: str, found: Iterable[FigureFile]) -> tuple[FigureView, ...]:
        return tuple(self._figure(f"{key}-{figure.name}", figure) for figure in found)

    def _figure(self, key: str, figure: FigureFile) -> FigureView:
        self.drawn += 1
        return figure_view(self.drawn, key, figure)

    def sections(self) -> Iterator[SectionView]:
        for section in in_order(self.inputs.sections):
            yield self._section(section)

    def _section(self, section: Section) -> SectionView:
        known = chapter_of(section)
        gallery = self.inputs.gallery if section.name == "qualitative" else None
        tables = [shown for shown in section.tables if shown.table.height]
        return SectionView(
            key=section.key,
            title=known.title,
            question=known.question,
            findings=tuple(text.mixed(line) for line in sentences(section.estimates)),
            notes=tuple(text.mixed(line) for line in section.notes),
            skipped=section.skipped,
            figures=self.figures(section.key, section.figures),
            tables=tuple(table_view(shown, self.pictures, section.concept) for shown in tables),
            has_cards=any(shown.table.height for shown in section.examples),
            gallery=gallery_cards(gallery, self.pictures) if gallery else (),
        )


def render_page(inputs: ReportInputs, own_figures: Mapping[str, FigureFile]) -> str:
    """The whole page. `own_figures` are those of `core.report.study_figures`, by name.

    Raises:
        ValueError: a figure's JSON is broken.
    """
    page = _Page(inputs, Pictures(inputs.images))

    def own(*names: str) -> tuple[FigureView, ...]:
        return page.figures("study", [own_figures[name] for name in names if name in own_figures])

    def shown(name: str, heading: str, table: pl.DataFrame, stored: bool = True) -> TableView:
        return table_view(ShownTable(f"tables/{name}", heading, table, stored), page.pictures, inputs.concepts[0])

    read = in_order(inputs.sections)

    asked = asked_and_used(inputs.making)
    context = {
        "study": inputs.study,
        "title": title(inputs.study),
        "facts": facts(inputs),
        "answers": [(answer, small(answer.figure) if answer.figure else None) for answer in answers(inputs.sections)],
        "settings": [(name, value, text.direction(value)) for name, value in flat(dict(inputs.study))],
        "data_figures": own(*label_figures(inputs.concepts)),
        "notes": tuple(text.mixed(line) for line in inputs.summary.get("notes", ())),
        "drops": shown("drops", "Left out, by reason", drop_counts(inputs), stored=False)
        if drop_counts(inputs).height
        else None,
        "dropped": shown("dropped", "Rows left out", inputs.dropped) if inputs.dropped.height else None,
        "sections": tuple(page.sections()),
        "features": feature_cards(read, page.pictures),
        "rules": RULES,
        "sae_figures": own(*sae_figures(read)),
        "sae": shown("sae", sae_heading(inputs.sae), inputs.sae) if inputs.sae.height else None,
        "sweep": shown("sweep", "Every autoencoder that was tried", inputs.sweep) if inputs.sweep.height else None,
        "origins": shown("origins", "Where the autoencoders were trained", inputs.origins)
        if inputs.origins.height
        else None,
        "origin_words": origin_words(inputs),
        "health_words": health_words(inputs),
        "health": shown("health", "Every layer's rows", inputs.health) if inputs.health.height else None,
        "steps": shown("steps", "Time by step", making_by_step(inputs.making), stored=False),
        "jobs": shown("jobs", "Asked of the cluster, and used", asked, stored=False) if asked.height else None,
        "units": shown("units", "Every unit", making_units(inputs.making), stored=False),
        "packages": packages(inputs.making),
        "revisions": revisions(inputs.making),
        "sources": inputs.making.sources,
        "skipped": {chapter(name).title: reason for name, reason in sorted(inputs.skipped.items())},
    }
    return templates().get_template("report.html.j2").render(context)
