"""The report as one HTML page that fetches nothing: charts, font, pictures and script inside it."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from importlib.resources import files
from typing import Any

import jinja2
import polars as pl
from markupsafe import Markup

from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import FONT
from core.figures.writers import EMBED_OPTIONS, POLICY, FigureFile, font_faces, script_bundle, script_json
from core.report import text
from core.report.answers import answers, small
from core.report.cards import FeatureCards, GalleryCard, feature_cards, gallery_cards
from core.report.columns import TableView, table_view
from core.report.contents import SAE_FIGURES, chapter, flat, place
from core.report.examples import described
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
from core.report.health import health_words
from core.report.model import ReportInputs, Section, ShownTable
from core.report.pictures import Pictures
from core.report.sentences import sentences
from core.study.variant import title

MOST_INTERACTIVE_ROWS = 3000
"""A chart of more rows is drawn on a canvas: as SVG it would hold up the page."""


@dataclass(frozen=True)
class FigureView:
    """A figure on the page, numbered; `spec` is safe between script tags."""

    number: int
    key: str
    caption: str
    alt: str
    spec: Markup
    options: Markup
    height: int


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
    cards: tuple[FeatureCards, ...]
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
        spec = json.loads(figure.spec.read_text(encoding="utf-8"))
        spec.pop("$schema", None)
        rows = sum(len(rows) for rows in spec.get("datasets", {}).values())
        options = {**EMBED_OPTIONS, "renderer": "svg" if rows <= MOST_INTERACTIVE_ROWS else "canvas"}
        return FigureView(
            number=self.drawn,
            key=key,
            caption=figure.caption,
            alt=figure.alt or figure.caption,
            spec=Markup(script_json(spec)),
            options=Markup(script_json({**options, "downloadFileName": key})),
            height=_height(spec),
        )

    def sections(self) -> Iterator[SectionView]:
        for section in sorted(self.inputs.sections, key=lambda section: place(section.name)):
            yield self._section(section)

    def _section(self, section: Section) -> SectionView:
        known = chapter(section.name, section.question)
        gallery = self.inputs.gallery if section.name == "qualitative" else None
        tables = [shown for shown in section.tables if shown.table.height]
        return SectionView(
            key=section.name,
            title=known.title,
            question=known.question,
            findings=tuple(text.mixed(line) for line in sentences(section.estimates)),
            notes=tuple(text.mixed(line) for line in section.notes),
            skipped=section.skipped,
            figures=self.figures(section.name, section.figures),
            tables=tuple(table_view(shown, self.pictures) for shown in tables),
            cards=tuple(
                feature_cards(shown, described(tables), self.pictures)
                for shown in section.examples
                if shown.table.height
            ),
            gallery=gallery_cards(gallery, self.pictures) if gallery else (),
        )


def _height(spec: Mapping[str, Any]) -> int:
    """Room kept for a chart before it is drawn, so that links into the page hold; 0 where it is not known."""
    height = spec.get("height", 0)
    inner = [_height(part) for key in ("hconcat", "layer") for part in spec.get(key, [])]
    stacked = sum(_height(part) + 60 for part in spec.get("vconcat", []))
    return max([height if isinstance(height, int) else 0, stacked, *inner])


def render_page(inputs: ReportInputs, own_figures: Mapping[str, FigureFile]) -> str:
    """The whole page. `own_figures` are those of `core.report.study_figures`, by name.

    Raises:
        ValueError: a figure's JSON is broken.
    """
    page = _Page(inputs, Pictures(inputs.images))

    def own(*names: str) -> tuple[FigureView, ...]:
        return page.figures("study", [own_figures[name] for name in names if name in own_figures])

    def shown(name: str, heading: str, table: pl.DataFrame) -> TableView:
        return table_view(ShownTable(name, heading, table), page.pictures)

    asked = asked_and_used(inputs.making)
    context = {
        "study": inputs.study,
        "title": title(inputs.study),
        "facts": facts(inputs),
        "answers": [(answer, small(answer.figure) if answer.figure else None) for answer in answers(inputs.sections)],
        "settings": flat(dict(inputs.study)),
        "data_figures": own(THE_CONCEPT.plural, "agreement"),
        "notes": tuple(text.mixed(line) for line in inputs.summary.get("notes", ())),
        "drops": shown("drops", "Left out, by reason", drop_counts(inputs)) if drop_counts(inputs).height else None,
        "dropped": shown("dropped", "Rows left out", inputs.dropped) if inputs.dropped.height else None,
        "sections": tuple(page.sections()),
        "sae_figures": own(*SAE_FIGURES),
        "sae": shown("sae", "Every layer's autoencoder", inputs.sae) if inputs.sae.height else None,
        "sweep": shown("sweep", "Every autoencoder that was tried", inputs.sweep) if inputs.sweep.height else None,
        "origins": shown("origins", "Where the autoencoders were trained", inputs.origins)
        if inputs.origins.height
        else None,
        "origin_words": origin_words(inputs),
        "health_words": health_words(inputs),
        "health": shown("health", "Every layer's rows", inputs.health) if inputs.health.height else None,
        "steps": shown("steps", "Time by step", making_by_step(inputs.making)),
        "jobs": shown("jobs", "Asked of the cluster, and used", asked) if asked.height else None,
        "units": shown("units", "Every unit", making_units(inputs.making)),
        "packages": packages(inputs.making),
        "revisions": revisions(inputs.making),
        "sources": inputs.making.sources,
        "skipped": {chapter(name).title: reason for name, reason in sorted(inputs.skipped.items())},
    }
    return _environment().get_template("report.html.j2").render(context)


def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("core.report"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    styles = (files("core.report") / "templates" / "report.css").read_text(encoding="utf-8")
    script = (files("core.report") / "templates" / "report.js").read_text(encoding="utf-8")
    environment.globals |= {
        "policy": POLICY,
        "font": FONT,
        "fonts": Markup(font_faces()),
        "styles": Markup(styles),
        "bundle": Markup(script_bundle()),
        "script": Markup(script),
    }
    return environment
