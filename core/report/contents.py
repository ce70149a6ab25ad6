"""The order in which a report is read, its headings and its words."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import polars as pl

from core.analysis.registry import declared
from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.data.languages import LANGUAGE_NAMES
from core.report.model import Section


@dataclass(frozen=True)
class Chapter:
    """An analysis in the report: its heading and the question it answers."""

    name: str
    title: str
    question: str


# Tables of examples, which no analysis names among those to be shown: a report shows some of their rows.
EXAMPLES = {"contexts": "Where the features fire", "maps": "Images on which the features' maps are strongest"}
LANGUAGES = {**LANGUAGE_NAMES, "shared": "shared"}
# Names of core.report.study_figures, in the order in which the chapter on autoencoders shows them.
SAE_FIGURES = (
    "sae_frontier",
    "sae_quality",
    "sae_use",
    "sae_density",
    "sae_l0",
    "sae_curves",
    "stream",
    "outliers",
    "gamma",
)

_WORDS = {
    "strip": "where it fires",
    "auroc": "AUROC",
    "fvu": "FVU",
    "l0": "L0",
    "ce": "CE",
    "iou": "IoU",
    "cka": "CKA",
    **LANGUAGE_NAMES,
    "sae": "SAE",
    "id": "id",
    "delta": "Δ",
    "idf": "IDF",
    "kl": "KL",
    "auc": "AUC",
    "ci": "CI",
    "iqr": "IQR",
    "r2": "R²",
    "lda": "LDA",
    "fdr": "FDR",
}
_SMALL = {"p", "q", "n", "k"}


def chapter(name: str, question: str = "", concept: Concept = THE_CONCEPT) -> Chapter:
    """The chapter of an analysis of a concept, declared here or not."""
    known = declared().get(name)
    if known is None:
        return Chapter(name, label(name), question)
    return Chapter(name, known.title_of(concept), question or known.question_of(concept))


def chapter_of(section: Section) -> Chapter:
    """The chapter of a section; of several concepts, its heading names the concept."""
    known = chapter(section.name, section.question, section.concept)
    is_named = section.part.lower() in known.title.lower()
    return known if is_named else replace(known, title=f"{known.title}, {section.part}")


def in_order(sections: Sequence[Section]) -> list[Section]:
    """The sections in the order in which they are read: concept by concept, as the study names them."""
    parts = list(dict.fromkeys(section.part for section in sections))
    return sorted(sections, key=lambda section: (parts.index(section.part), place(section.name)))


def label_figures(concepts: Iterable[Concept]) -> tuple[str, ...]:
    """Names of the figures of the captions' labels, concept by concept."""
    return tuple(name for number, one in enumerate(concepts) for name in label_figures_of(one, number))


def label_figures_of(concept: Concept, number: int) -> tuple[str, str]:
    """Names of the figures of one concept's labels, by split and by language; `number` is its place in the study."""
    return concept.plural.replace(" ", "_"), "agreement" if number == 0 else f"agreement_{concept.name}"


def place(name: str) -> int:
    """Where an analysis stands in the report; those that are not declared here come last."""
    order = sorted(declared().values(), key=lambda analysis: (analysis.chapter, analysis.name))
    return next((number for number, known in enumerate(order) if known.name == name), len(order))


def sae_figures(sections: Sequence[Section]) -> tuple[str, ...]:
    """The names of the figures of autoencoders; how well they rebuild rows is shown once, by the overview if it is
    there."""
    shown = {(section.name, figure.name) for section in sections for figure in section.figures}
    return tuple(name for name in SAE_FIGURES if name != "sae_quality" or ("overview", "quality") not in shown)


def sae_heading(sae: pl.DataFrame) -> str:
    """What stands above the table of every layer's autoencoder."""
    has_frozen = any(column.startswith("frozen_") for column in sae.columns)
    return f"Every layer's autoencoder{'; frozen: its control, whose random decoder is not trained' * has_frozen}"


def label(name: str) -> str:
    """A column's or a table's name as words: `held_out_fvu` is "Held out FVU"."""
    if name in _SMALL:
        return name
    words = [_WORDS.get(word, word) for word in name.replace("-", "_").split("_") if word]
    text = " ".join(words)
    return text[:1].upper() + text[1:] if text else name


def flat(study: Any, prefix: str = "") -> list[tuple[str, str]]:
    """A nested study as `section.field` and its value, in the study's own order."""
    if not isinstance(study, dict):
        return [(prefix, value_text(study))]
    return [row for key, value in study.items() for row in flat(value, f"{prefix}.{key}" if prefix else str(key))]


def value_text(value: Any) -> str:
    """A study's value in a reader's words."""
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        return ", ".join(value_text(item) for item in value) or "–"
    return str(value)
