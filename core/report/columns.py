"""A table's columns and entries as HTML: numbers aligned, Arabic right to left, strips, pictures and maps drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup, escape

from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import LANGUAGES
from core.report import text
from core.report.contents import LANGUAGES as LANGUAGE_NAMES
from core.report.contents import label
from core.report.model import ShownTable
from core.report.pictures import Picture, Pictures

MOST_ROWS = 200
MOST_PICTURED_ROWS = 48
_PROBABILITIES = {"p", "q", "p_value", "q_value"}
_LABELS = (THE_CONCEPT.name, *map(THE_CONCEPT.label_column, LANGUAGE_NAMES), THE_CONCEPT.shown[0])
_TAGGED = {"language", *_LABELS}


@dataclass(frozen=True)
class Column:
    """How one column is written: its heading, whether it is aligned as a number, and its decimals."""

    name: str
    heading: str
    numeric: bool
    places: int


@dataclass(frozen=True)
class TableView:
    """A table ready for the page; `left_out` rows are not shown."""

    name: str
    heading: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Markup, ...], ...]
    left_out: int


def table_view(shown: ShownTable, pictures: Pictures) -> TableView:
    """The first rows of a table, every entry escaped or drawn."""
    table = shown.table
    most = MOST_PICTURED_ROWS if {"image", "strip", "map"} & set(table.columns) else MOST_ROWS
    head = table.head(most)
    columns = columns_of(head)
    rows = tuple(tuple(entry(column, row, pictures) for column in columns) for row in head.iter_rows(named=True))
    return TableView(shown.name, shown.heading, columns, rows, table.height - head.height)


def columns_of(table: pl.DataFrame) -> tuple[Column, ...]:
    """How each column is written, judged by all rows shown."""
    found = []
    for name, kind in table.schema.items():
        places = text.decimals(table[name].drop_nulls().to_list()) if kind.is_float() else 0
        found.append(Column(name, label(name), kind.is_numeric(), places))
    return tuple(found)


def entry(column: Column, row: Mapping[str, Any], pictures: Pictures) -> Markup:
    """One entry of a row."""
    value = row[column.name]
    if value is None:
        return Markup('<span class="none">–</span>')
    if column.name == "strip":
        return strip(value) if value else Markup('<span class="none">an image token</span>')
    if column.name == "image":
        return picture(pictures.thumbnail(value), f"Image {value}") or escape(value)
    if column.name == "map":
        name = row.get("image")
        return picture(pictures.overlay(name, value), f"Map of the feature over {name}") or escape(
            f"{len(value)} cells"
        )
    if column.name in _TAGGED:
        return tag(str(value))
    directed = text.direction(value) if isinstance(value, str) else ""
    return Markup("<span{}>{}</span>").format(directed, plain(column, value))


def plain(column: Column, value: Any) -> Markup:
    """A value in words: numbers with the column's decimals, lists side by side."""
    if isinstance(value, bool):
        return escape("yes" if value else "no")
    if isinstance(value, int):
        years_or_ids = column.name.endswith("id") or column.name in {"feature", "layer", "row", "seed"}
        return escape(str(value) if years_or_ids else f"{value:,}".replace("-", "−"))
    if isinstance(value, float):
        return powers(text.p_value(value) if column.name in _PROBABILITIES else text.number(value, column.places))
    if isinstance(value, Mapping):
        return text.mixed(", ".join(f"{key} {item}" for key, item in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Markup(" ").join(_item(column, item) for item in value)
    return text.mixed(value)


def _item(column: Column, value: Any) -> Markup:
    words = text.token_text(value).strip() if isinstance(value, str) else value
    shown = plain(column, words)
    return Markup('<span class="item"{}>{}</span>').format(text.direction(str(words)), shown)


def powers(words: str) -> Markup:
    """`4.2·10^-5` with its power raised."""
    head, hat, power = words.partition("^")
    return Markup("{}<sup>{}</sup>").format(head, power) if hat else escape(words)


def tag(value: str) -> Markup:
    """A language or a concept's label with its colour beside it."""
    colour = {**THE_CONCEPT.colours, **LANGUAGES}.get(value, "#BBBBBB")
    return Markup('<span class="tag"><i style="background:{}"></i>{}</span>').format(
        colour, LANGUAGE_NAMES.get(value, value)
    )


def picture(drawn: Picture | None, words: str) -> Markup:
    """An image element that carries the picture; empty where there is none."""
    if drawn is None:
        return Markup("")
    return Markup('<img src="{}" alt="{}" width="{}" height="{}">').format(
        drawn.address, words, drawn.width, drawn.height
    )


def strip(tokens: Sequence[Mapping[str, Any]]) -> Markup:
    """A caption whose tokens are coloured by value.

    The spans have neither padding nor border: either would keep Arabic letters from joining across tokens.
    """
    words = [text.token_text(str(token["token"])) for token in tokens]
    words = [word.lstrip(" ") if place == 0 else word for place, word in enumerate(words)]
    values = [float(token["value"] or 0) for token in tokens]
    spans = [
        Markup('<span style="background:{}" title="{}">{}</span>').format(heat(weight), text.number(value), word)
        for word, value, weight in zip(words, values, text.strip_weights(values))
    ]
    return Markup('<p class="strip"{}>{}</p>').format(text.direction("".join(words)), Markup("").join(spans))


def heat(weight: float) -> str:
    """A background from nothing to strong: red above zero, violet below."""
    red, green, blue = (192, 58, 43) if weight >= 0 else (91, 58, 140)
    return f"rgba({red},{green},{blue},{abs(weight) * 0.62:.2f})" if abs(weight) >= 0.02 else "none"
