"""The report as Markdown: the same words and tables, with figures and pictures as files beside it."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from core.figures.writers import FigureFile
from core.report import text
from core.report.answers import answers
from core.report.columns import Column, at_floor, columns_of, interval
from core.report.contents import LANGUAGES, chapter, chapter_of, in_order, label_figures, sae_figures, sae_heading
from core.report.examples import chosen_examples, described
from core.report.facts import asked_and_used, drop_counts, facts, making_by_step, origin_words, packages, revisions
from core.report.health import health_words
from core.report.model import Gallery, ReportInputs, Section
from core.report.pictures import Picture, Pictures
from core.report.sentences import sentences
from core.study.variant import title

MOST_ROWS = 25
MOST_FEATURES = 6
PROVENANCE_BEGINS = "<!-- provenance begins -->"
PROVENANCE_ENDS = "<!-- provenance ends -->"
_SPECIAL = str.maketrans({char: f"\\{char}" for char in "\\`*_[]<>|#~$"})


@dataclass(frozen=True)
class Markdown:
    """The text, and the pictures that it refers to as `images/NAME`."""

    text: str
    pictures: Mapping[str, Picture]


def render_markdown(inputs: ReportInputs, own_figures: Mapping[str, FigureFile]) -> Markdown:
    """The report as Markdown; figures are referred to as `figures/SECTION-NAME.png`."""
    writer = _Writer(inputs, own_figures, Pictures(inputs.images), {})
    lines = "\n".join(writer.lines())
    return Markdown(lines + "\n", writer.used)


@dataclass
class _Writer:
    inputs: ReportInputs
    own: Mapping[str, FigureFile]
    pictures: Pictures
    used: dict[str, Picture]

    def lines(self) -> Iterator[str]:
        inputs, own = self.inputs, self.own
        yield f"# {escaped(title(inputs.study))}\n"
        yield f"{escaped(inputs.study.get('description', ''))}\n"
        yield from (f"- {name}: **{value}**" for value, name in facts(inputs))
        yield ""
        yield from self._answers()
        yield "## The data\n"
        yield from _figures("study", [own[name] for name in label_figures(inputs.concepts) if name in own])
        drops = drop_counts(inputs)
        yield from self.table("Left out, by reason", drops) if drops.height else ["Nothing was left out.\n"]
        yield from (f"> {escaped(line)}\n>" for line in inputs.summary.get("notes", ()))
        for section in in_order(inputs.sections):
            yield from self._section(section)
        yield from self._saes()
        yield from self._provenance()
        yield "## What was skipped, and why\n"
        yield from [f"- {chapter(name).title}: {escaped(why)}" for name, why in sorted(inputs.skipped.items())] or [
            "No analysis was skipped."
        ]

    def _answers(self) -> Iterator[str]:
        found = list(answers(self.inputs.sections))
        if found:
            yield "## What was found\n"
        for answer in found:
            verdicts = ", ".join(f"{language}: **{verdict}**" for language, verdict in answer.verdicts)
            yield f"- *{escaped(answer.question or answer.title)}* {verdicts}"
            yield from (f"  - {escaped(line)}" for line in answer.lines)
        yield ""

    def _saes(self) -> Iterator[str]:
        inputs, own = self.inputs, self.own
        yield "## SAE quality by layer\n"
        yield from [f"> {escaped(line)}\n" for line in origin_words(inputs)]
        yield from _figures("study", [own[name] for name in sae_figures(inputs.sections) if name in own])
        yield from [f"> {escaped(line)}\n" for line in health_words(inputs)]
        if inputs.sweep.height:
            yield from self.table("Every autoencoder that was tried", inputs.sweep, most=inputs.sweep.height)
        if inputs.sae.height:
            yield from self.table(sae_heading(inputs.sae), inputs.sae, most=inputs.sae.height)
        if inputs.origins.height:
            yield from self.table("Where the autoencoders were trained", inputs.origins, most=inputs.origins.height)

    def _section(self, section: Section) -> Iterator[str]:
        known = chapter_of(section)
        yield f"## {escaped(known.title)}\n"
        yield f"*{escaped(known.question)}*\n" if known.question else ""
        if section.skipped:
            yield f"Not run: {escaped(section.skipped)}\n"
        said = sentences(section.estimates)
        yield from [f"- {escaped(line)}" for line in said] + ([""] if said else [])
        yield from _figures(section.key, section.figures)
        for shown in section.tables:
            if shown.table.height:
                yield from self.table(shown.heading, shown.table)
        for shown in section.examples:
            if shown.table.height:
                few = chosen_examples(shown.table, described(section.tables), MOST_FEATURES, 1)
                yield from self.table(shown.heading, few)
        if section.name == "qualitative" and self.inputs.gallery:
            yield from self._gallery(self.inputs.gallery)
        yield from [f"> {escaped(line)}\n>" for line in section.notes] + ([""] if section.notes else [])

    def table(self, heading: str, table: pl.DataFrame, most: int = MOST_ROWS) -> Iterator[str]:
        head = table.head(most)
        columns = columns_of(head)
        yield f"**{escaped(heading)}**\n"
        yield "| " + " | ".join(escaped(column.heading) for column in columns) + " |"
        yield "|" + "|".join("---:" if column.numeric else "---" for column in columns) + "|"
        for row in head.iter_rows(named=True):
            yield "| " + " | ".join(self._entry(column, row) for column in columns) + " |"
        if table.height > most:
            yield f"\n{table.height - most} more rows in the table's file."
        yield ""

    def _entry(self, column: Column, row: Mapping[str, Any]) -> str:
        value = row[column.name]
        if value is None:
            return "–"
        if column.name == "strip":
            return directed(strip_words(value)) if value else "an image token"
        if column.name == "image":
            return self._picture(self.pictures.thumbnail(value), str(value)) or escaped(value)
        if column.name == "map":
            return self._picture(self.pictures.overlay(row.get("image"), value), "map") or f"{len(value)} cells"
        return directed(escaped(at_floor(column, row) or f"{_plain(column, value)}{interval(column, row)}"))

    def _picture(self, picture: Picture | None, words: str) -> str:
        if picture is None:
            return ""
        self.used[picture.name] = picture
        return f"![{escaped(words)}](images/{picture.name})"

    def _gallery(self, gallery: Gallery) -> Iterator[str]:
        for row in gallery.table.iter_rows(named=True):
            code = str(row.get("language") or "")
            language = LANGUAGES.get(code, code)
            yield f"### {escaped(row.get('rule') or '')} · {escaped(row['sample_id'])} · {language}\n"
            images = [
                self.pictures.thumbnail(row.get("image")),
                self.pictures.overlay(row.get("image"), row.get("map")),
            ]
            drawn = [self._picture(image, words) for image, words in zip(images, ("image", "map")) if image]
            yield " ".join(drawn) + ("\n" if drawn else "")
            for kind in ("reference", "clean", "ablated", "amplified"):
                if row.get(kind) is not None:
                    yield f"- {kind}: {directed(escaped(row[kind]))}"
            if row.get("strip"):
                yield f"- strongest tokens: {directed(strip_words(row['strip']))}"
            yield ""

    def _provenance(self) -> Iterator[str]:
        making = self.inputs.making
        yield PROVENANCE_BEGINS
        yield "## Provenance and cost\n"
        yield from self.table("Time by step", making_by_step(making))
        if making.jobs:
            yield from self.table("Asked of the cluster, and used", asked_and_used(making))
        yield from (f"- {escaped(name)}: `{value}`" for name, value in making.sources.items())
        yield from (f"- code revision: `{revision}` ({units} units)" for revision, units in revisions(making))
        yield from (f"- {escaped(name)} {escaped(version)}" for name, version in packages(making))
        yield PROVENANCE_ENDS


def _figures(section: str, figures: Iterable[FigureFile]) -> Iterator[str]:
    for figure in figures:
        yield f"![{escaped(figure.alt or figure.caption)}](figures/{section}-{figure.name}.png)\n"
        yield f"{escaped(figure.caption)}\n"


def escaped(value: object) -> str:
    """Text in which nothing is taken for Markdown or HTML, on one line."""
    return " ".join(str(value).split()).translate(_SPECIAL)


def directed(words: str) -> str:
    """Arabic words inside an element that runs from right to left."""
    return f'<span dir="rtl" lang="ar">{words}</span>' if text.is_arabic(words) else words


def strip_words(tokens: Iterable[Mapping[str, Any]]) -> str:
    """A caption whose strongest tokens are bold."""
    listed = list(tokens)
    weights = text.strip_weights([float(token["value"] or 0) for token in listed])
    words = [text.token_text(str(token["token"])) for token in listed]
    words = [word.lstrip(" ") if place == 0 else word for place, word in enumerate(words)]
    return "".join(
        f"{' ' * word.startswith(' ')}**{escaped(word)}**"
        if abs(weight) >= 0.5 and word.strip()
        else word.translate(_SPECIAL)
        for word, weight in zip(words, weights)
    )


def _plain(column: Column, value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return text.p_value(value) if column.name in ("p", "q") else text.number(value, column.places)
    if isinstance(value, dict):
        return ", ".join(f"{key} {_plain(column, item)}" for key, item in value.items())
    if isinstance(value, list):
        return ", ".join(_plain(column, item) for item in value)
    return text.token_text(str(value))
