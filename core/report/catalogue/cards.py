"""Features of a catalogue as cards: what each explainer says with its scores, and what the feature fires on."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup, escape

from core.explain.metrics import ALL, CALLED
from core.report import text
from core.report.catalogue.collected import CatalogueReport
from core.report.columns import picture, strip
from core.report.contents import LANGUAGES
from core.report.pictures import Pictures

_AROUND = 12
"""Tokens before and after the strongest one."""
_MOST_PICTURES = 3


@dataclass(frozen=True)
class SaidView:
    """An explanation: who says it, its text or why there is none, its scores in words."""

    by: str
    language: str
    words: Markup
    failed: bool
    scores: tuple[str, ...]


@dataclass(frozen=True)
class CatalogueCard:
    """A feature: its explanations, the strips it fires on, and its strongest pictures with their maps."""

    title: str
    said: tuple[SaidView, ...]
    strips: tuple[tuple[str, str, Markup], ...]
    film: tuple[tuple[Markup, str], ...]


def cards(report: CatalogueReport) -> tuple[CatalogueCard, ...]:
    """One card per feature that is shown."""
    pictures = Pictures(report.images)
    return tuple(_card(report, row, pictures) for row in report.shown.iter_rows(named=True))


def _card(report: CatalogueReport, row: Mapping[str, Any], pictures: Pictures) -> CatalogueCard:
    here = (pl.col("sae_id") == row["sae_id"]) & (pl.col("feature_id") == row["feature_id"])
    scores = report.scores.filter(here, pl.col("example_kind") == ALL, pl.col("language") == ALL).to_dicts()
    said = report.explanations.filter(here).to_dicts()
    examples = report.examples.filter(here).to_dicts()
    return CatalogueCard(
        f"{row['sae_id']} · feature {row['feature_id']}",
        tuple(_said(one, scores) for one in said),
        tuple(_strips(examples)),
        tuple(_film(examples, pictures)),
    )


def _said(one: Mapping[str, Any], scores: Sequence[Mapping[str, Any]]) -> SaidView:
    source = one["explainer"] + ("" if one["language"] == "en" else f":{one['language']}")
    words = one["text"] if one["text"] is not None else f"no explanation ({one['failure'] or 'no reason is known'})"
    told = Markup("<span{}>{}</span>").format(text.direction(words), text.mixed(words))
    own = tuple(_score(score) for score in scores if score["explainer"] == source)
    return SaidView(one["explainer"], LANGUAGES.get(one["language"], one["language"]), told, one["text"] is None, own)


def _score(score: Mapping[str, Any]) -> str:
    """`fuzz 0.71 [0.60, 0.80] (balanced accuracy, n = 20, 2 unread)`."""
    ends = [score["low"], score["high"]]
    interval = "" if None in ends else f" [{', '.join(text.number(end, 2) for end in ends)}]"
    unread = f", {score['n_failed']:,} unread" if score["n_failed"] else ""
    counted = f"{CALLED.get(score['metric'], score['metric'])}, n = {score['n']:,}{unread}"
    return f"{score['scorer']} {text.number(score['value'], 2)}{interval} ({counted})"


def _strips(examples: Sequence[Mapping[str, Any]]) -> Iterator[tuple[str, str, Markup]]:
    """Language, largest activation, and the tokens around where it is."""
    for one in examples:
        tokens = [{"token": token, "value": 0.0} for token in one["prompt_tokens"]]
        pairs = {pair["token_position"]: pair["activation_value"] for pair in one["activation_pairs"]}
        on_text = {place: value for place, value in pairs.items() if place < len(tokens)}
        if not on_text:
            continue
        for place, value in on_text.items():
            tokens[place]["value"] = value
        middle = max(on_text, key=lambda place: on_text[place])
        part = tokens[max(0, middle - _AROUND) : middle + _AROUND + 1]
        language = str(one["language"] or "shared")
        yield LANGUAGES.get(language, language), text.number(float(one["max_activation"]), 2), strip(part)


def _film(examples: Sequence[Mapping[str, Any]], pictures: Pictures) -> Iterator[tuple[Markup, str]]:
    """The strongest pictures once each, with the map over them where the feature fires on the picture."""
    by_strength = sorted(examples, key=lambda one: -one["max_activation"])
    named = {one["image"]: one for one in reversed(by_strength) if one["image"]}
    for image, one in sorted(named.items(), key=lambda pair: -pair[1]["max_activation"])[:_MOST_PICTURES]:
        plain = pictures.thumbnail(image)
        if plain is None:
            continue
        yield picture(plain, f"Image {image}"), f"largest activation {text.number(float(one['max_activation']), 2)}"
        on_picture = any(one["map_cells"] or ())
        drawn = pictures.overlay(image, one["map_cells"]) if on_picture else None
        if drawn is not None:
            yield picture(drawn, f"Map of the feature over {image}"), str(escape("where on the picture"))
