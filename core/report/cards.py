"""One card per feature across all sections: what is known of it, where it fires, its words, and what it does."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup

from core.data.concept import Concept
from core.report import text
from core.report.columns import Column, columns_of, entry, picture
from core.report.contents import LANGUAGES
from core.report.examples import KEYS, chosen_examples, described
from core.report.model import Section
from core.report.pictures import Pictures

MOST_CARDS = 20
MOST_EXAMPLES = 2
"""Per quantile of its activations."""
MOST_PICTURES = 4
MOST_WORDS = 8
READ: Mapping[str, tuple[str, ...]] = {
    "interpretation": ("promoted",),
    "ablation": ("features", "effects"),
    "amplification": ("features", "slopes"),
}
"""The tables that cards read of analyses beside those that are shown."""
_WORDS = {"promoted": "Promotes", "suppressed": "Suppresses"}
_ELSEWHERE = {"promoted", "suppressed", "shared_with", *KEYS}
_FEATURES = "features"
_FIRST = {"strip": 0, "image": 1, "value": 2}
"""What a row of examples begins with: on a telephone the rest is scrolled to."""

Key = tuple[int, int]


@dataclass(frozen=True)
class Shot:
    """A picture, the same picture under the feature's heat, and the numbers below them."""

    original: Markup
    heated: Markup
    words: str


@dataclass(frozen=True)
class FeatureCard:
    """One feature: what is known of it; its examples as a table; pictures; the words that it promotes and suppresses;
    what taking it out and turning it up does, together with the others of its layer."""

    title: str
    facts: tuple[tuple[str, Markup], ...]
    headings: tuple[Column, ...]
    examples: tuple[tuple[Markup, ...], ...]
    shots: tuple[Shot, ...] = ()
    words: tuple[tuple[str, Markup], ...] = ()
    effects: tuple[tuple[str, Markup], ...] = ()
    key: str = ""


@dataclass(frozen=True)
class FeatureCards:
    """All cards; `left_out` features are in the analyses' tables alone."""

    cards: tuple[FeatureCard, ...]
    left_out: int


def feature_cards(sections: Sequence[Section], pictures: Pictures) -> FeatureCards:
    """One card per feature that any section has examples of: first those that most sections speak of."""
    keys = _keys(sections)
    cards = tuple(_card(key, sections, pictures) for key in keys[:MOST_CARDS])
    return FeatureCards(cards, len(keys) - len(cards))


def _keys(sections: Sequence[Section]) -> list[Key]:
    """The features with examples, by how many sections have some, then in the sections' own order."""
    found: dict[Key, int] = {}
    for section in sections:
        facts = _facts_of(section)
        of_section: dict[Key, None] = {}
        for shown in section.examples:
            rows = shown.table.select(KEYS).unique(maintain_order=True).rows()
            there = {(int(layer), int(feature)) for layer, feature in rows}
            ordered = [] if facts is None else [(int(a), int(b)) for a, b in facts.select(KEYS).rows()]
            of_section |= dict.fromkeys([*(key for key in ordered if key in there), *rows] if ordered else rows)
        for key in of_section:
            found[key] = found.get(key, 0) + 1
    return sorted(found, key=lambda key: -found[key])


def _facts_of(section: Section) -> pl.DataFrame | None:
    return described([shown for shown in section.tables if shown.table.height])


def _card(key: Key, sections: Sequence[Section], pictures: Pictures) -> FeatureCard:
    layer, feature = key
    examples = [(_of(key, shown.table), section.concept) for section in sections for shown in section.examples]
    told = ((one, concept) for one, concept in examples if one.height and {"context", "strip"} & set(one.columns))
    strips, about = next(told, (None, sections[0].concept))
    maps = next((one for one, _ in examples if one.height and "map" in one.columns), None)
    if strips is not None and maps is not None and "segment" in strips.columns:
        strips = strips.filter(pl.col("segment") != "image")  # the pictures under heat show those rows
    headings, rows = ((), ()) if strips is None or strips.is_empty() else _rows(strips, pictures, about)
    return FeatureCard(
        title=f"Layer {layer} · feature {feature}",
        facts=tuple(fact for section in sections for fact in _facts(key, section, pictures)),
        headings=headings,
        examples=rows,
        shots=() if maps is None else tuple(_shots(key, maps, pictures)),
        words=tuple(_words(key, sections)),
        effects=tuple(_effects(key, sections)),
        key=f"feature-{layer}-{feature}",
    )


def _of(key: Key, table: pl.DataFrame) -> pl.DataFrame:
    return table.filter(layer=key[0], feature=key[1])


def _facts(key: Key, section: Section, pictures: Pictures) -> Iterator[tuple[str, Markup]]:
    """The feature's row of the section's table of features, without what the card says elsewhere."""
    table = _facts_of(section)
    row = None if table is None else next(iter(_of(key, table).to_dicts()), None)
    if table is None or row is None:
        return
    for column in columns_of(table, section.concept):
        if column.name not in _ELSEWHERE and row[column.name] is not None:
            yield _headed(column.heading, section), entry(column, row, pictures)


def _headed(heading: str, section: Section) -> str:
    """The heading, with the concept that the section is about where the study has several: "Taken out, place"."""
    return ", ".join(filter(None, (heading, section.part)))


def _rows(
    table: pl.DataFrame, pictures: Pictures, about: Concept
) -> tuple[tuple[Column, ...], tuple[tuple[Markup, ...], ...]]:
    """Where it fires: a row per example, the strongest first."""
    chosen = chosen_examples(table, None, 1, MOST_EXAMPLES)
    shown = [column for column in columns_of(chosen, about) if column.name not in (*KEYS, "map")]
    columns = tuple(sorted(shown, key=lambda column: _FIRST.get(column.name, len(_FIRST))))
    rows = tuple(tuple(entry(column, row, pictures) for column in columns) for row in chosen.iter_rows(named=True))
    return columns, rows


def _shots(key: Key, maps: pl.DataFrame, pictures: Pictures) -> Iterator[Shot]:
    """The pictures on which its map is strongest, each beside itself under the map."""
    ordered = maps.sort("rank") if "rank" in maps.columns else maps
    for row in ordered.head(MOST_PICTURES).iter_rows(named=True):
        name = row.get("image")
        original = picture(pictures.thumbnail(name), f"Image {name}")
        heated = picture(pictures.overlay(name, row["map"]), f"Map of layer {key[0]}, feature {key[1]} over {name}")
        if original and heated:
            strongest = row.get("strongest")
            yield Shot(original, heated, "" if strongest is None else f"strongest {text.number(float(strongest), 2)}")


def _words(key: Key, sections: Sequence[Section]) -> Iterator[tuple[str, Markup]]:
    """The tokens whose logits it raises and lowers most, once: they are the same whatever a section is about."""
    tables = [section.beside["promoted"] for section in sections if "promoted" in section.beside]
    found = next((own for own in (_of(key, table) for table in tables) if own.height), None)
    if found is None:
        return
    for direction, heading in _WORDS.items():
        tokens = found.filter(direction=direction).sort("rank")["token"].head(MOST_WORDS)
        items = [_item(text.token_text(token).strip()) for token in tokens]
        if items:
            yield heading, Markup(" ").join(items)


def _item(word: str) -> Markup:
    return Markup('<span class="item"{}>{}</span>').format(text.direction(word), word)


def _effects(key: Key, sections: Sequence[Section]) -> Iterator[tuple[str, Markup]]:
    """What was done with it: features of a layer are taken out, and turned up, together."""
    for section in sections:
        features = section.beside.get(_FEATURES)
        if features is None or _of(key, features).is_empty():
            continue
        others = features.filter(pl.col("layer") == key[0], pl.col("feature") != key[1])["feature"].to_list()
        together = f"together with {', '.join(map(str, others))}: " if others else ""
        for heading, measured, table in (
            ("Taken out", "effect", _primary(section)),
            ("Turned up", "slope", section.beside.get("slopes")),
        ):
            said = [] if table is None else [_said(row, measured) for row in _at(table, key[0])]
            if said:
                yield _headed(heading, section), text.mixed(f"{together}{'; '.join(said)}")


def _primary(section: Section) -> pl.DataFrame | None:
    """Of an ablation's effects those on the first word, of the chosen features set to zero."""
    effects = section.beside.get("effects")
    if effects is None:
        return None
    first = effects.filter(intervention="zero ablation")
    return first.filter(pl.col("outcome") == first["outcome"][0]) if first.height else None


def _at(table: pl.DataFrame, layer: int) -> Iterator[Mapping[str, Any]]:
    """The rows of a layer and one language each, of the features and not of what they are compared with."""
    own = table.filter(pl.col("layer") == layer, pl.col("language").is_in(list(LANGUAGES)))
    return (own.filter(vector=_FEATURES) if "vector" in own.columns else own).iter_rows(named=True)


_MEASURED = {
    "effect": "shift of the word toward the other side {} nats",
    "slope": "slope of the word's log odds {} nats per dose",
}


def _said(row: Mapping[str, Any], measured: str) -> str:
    """`English: shift … 0.10 [0.02, 0.18] nats (random features 0.01 [−0.02, 0.04])`."""
    value, control = (_span(row, *names) for names in ((measured, "", ""), ("control", "control_", "control_")))
    beside = f" (random features {control})" if control else ""
    return f"{LANGUAGES[row['language']]}: {_MEASURED[measured].format(value)}{beside}"


def _span(row: Mapping[str, Any], name: str, low: str, high: str) -> str:
    """A value of a row with its ends, two decimals each; empty where it was not measured."""
    numbers = [row.get(column) for column in (name, f"{low}low", f"{high}high")]
    if numbers[0] is None:
        return ""
    value, *ends = (text.number(one, 2) for one in numbers)
    return f"{value} [{', '.join(ends)}]" if None not in numbers else value
