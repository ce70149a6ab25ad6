"""The first screen: each question with its verdict by language, the number behind it, its caveat and one figure."""

import io
from collections.abc import Iterator
from dataclasses import dataclass

from markupsafe import Markup
from PIL import Image

from core.analysis.registry import declared
from core.data.languages import LANGUAGE_NAMES
from core.figures.writers import FigureFile
from core.report import text
from core.report.contents import chapter_of, in_order
from core.report.model import Section
from core.report.pictures import Picture
from core.report.sentences import headline, reading_order, verdicts
from core.stats.estimate import ORDER, Estimate, Verdict

FIGURE_WIDTH = 720
"""Pixels of a figure on the first screen."""
EVERYWHERE = "all"
UNANSWERED = "Not tested: no number of this study answers the question; the chapter has what was measured."


@dataclass(frozen=True)
class Answer:
    """A question and what is known of it.

    `verdicts` are (language or "all", verdict) pairs; `lines` the sentences of the estimates behind them, a language
    each, the strongest evidence first within one; `caveats` what is to be said against them.
    """

    key: str
    title: str
    question: str
    verdicts: tuple[tuple[str, Verdict], ...]
    lines: tuple[str, ...]
    caveats: tuple[str, ...]
    figure: FigureFile | None

    @property
    def spoken(self) -> tuple[Markup, ...]:
        """The lines, with Arabic words set apart."""
        return tuple(map(text.mixed, self.lines))


def answers(sections: tuple[Section, ...]) -> Iterator[Answer]:
    """One answer a section of an analysis, in the report's order, those without an estimate for it included."""
    for section in in_order(sections):
        if section.estimates:
            yield _answer(section, [one for one in section.estimates if one.answers])


def _answer(section: Section, found: list[Estimate]) -> Answer:
    known = chapter_of(section)
    strongest = _strongest(found)
    caveats = dict.fromkeys(caveat for one in strongest for caveat in one.caveats[:1])
    return Answer(
        key=section.key,
        title=known.title,
        question=known.question,
        verdicts=tuple((LANGUAGE_NAMES.get(name, name) or EVERYWHERE, what) for name, what in verdicts(found).items())
        or ((EVERYWHERE, "not tested"),),
        lines=tuple(map(headline, strongest)) or (UNANSWERED,),
        caveats=tuple(caveats),
        figure=_best_figure(section),
    )


def _strongest(found: list[Estimate]) -> list[Estimate]:
    """The estimate with the strongest verdict of each language; the first of several."""
    by_language: dict[str | None, Estimate] = {}
    for one in sorted(found, key=lambda one: ORDER.index(one.verdict)):
        by_language.setdefault(one.language, one)
    return [by_language[language] for language in sorted(by_language, key=reading_order)]


def _best_figure(section: Section) -> FigureFile | None:
    declaration = declared().get(section.name)
    wanted = declaration.best_figure if declaration is not None else ""
    named = [figure for figure in section.figures if figure.name == wanted]
    return next(iter([*named, *section.figures]), None)


def small(figure: FigureFile) -> Picture:
    """The figure's PNG, small enough to stand on the first screen."""
    with Image.open(figure.png) as image:
        height = round(image.height * FIGURE_WIDTH / image.width)
        fitted = image.convert("RGB")
        if image.width > FIGURE_WIDTH:
            fitted = fitted.resize((FIGURE_WIDTH, height), Image.Resampling.LANCZOS)
    packed = io.BytesIO()
    fitted.quantize(64).save(packed, "PNG", optimize=True)
    return Picture(packed.getvalue(), "png", fitted.width, fitted.height)
