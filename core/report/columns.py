"""A table's columns and entries as HTML: numbers aligned, Arabic right to left, strips, pictures and maps drawn."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl
from markupsafe import Markup, escape

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import LANGUAGES
from core.report import text
from core.report.contents import LANGUAGES as LANGUAGE_NAMES
from core.report.contents import label
from core.report.model import ShownTable
from core.report.pictures import Picture, Pictures
from core.report.sentences import resolved

MOST_ROWS = 200
MOST_COLUMNS = 9
"""Columns of a table that is stored in a file; the others are named below it."""
MOST_PICTURED_ROWS = 48
_PROBABILITIES = {"p", "q", "p_value", "q_value"}
_POWER = re.compile(r"\^(−?\d+)")


@dataclass(frozen=True)
class Column:
    """How one column is written: its heading, whether it is aligned as a number, its decimals, and the columns that
    hold the ends of its interval. `concept` is what its table is about."""

    name: str
    heading: str
    numeric: bool
    places: int
    ends: tuple[str, str] | None = None
    concept: Concept = THE_CONCEPT

    @property
    def is_tagged(self) -> bool:
        """Whether its values are languages or labels of the concept."""
        own = (self.concept.name, *map(self.concept.label_column, LANGUAGE_NAMES), self.concept.shown[0])
        return self.name == "language" or self.name in own


@dataclass(frozen=True)
class TableView:
    """A table ready for the page; `left_out` rows and `folded` columns are not shown. `same` holds for every row."""

    name: str
    heading: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Markup, ...], ...]
    left_out: int
    same: tuple[tuple[str, Markup], ...] = ()
    folded: tuple[str, ...] = ()


def table_view(shown: ShownTable, pictures: Pictures, concept: Concept = THE_CONCEPT) -> TableView:
    """The first rows of a table about a concept, every entry escaped or drawn.

    A value with its interval is one entry. Of a table that is stored in a file, what is the same in all rows stands
    above them, and columns beyond `MOST_COLUMNS` are named below.
    """
    table = shown.table
    most = MOST_PICTURED_ROWS if {"image", "strip", "map"} & set(table.columns) else MOST_ROWS
    head = table.head(most)
    columns = columns_of(head, concept)
    same: tuple[Column, ...] = ()
    if shown.stored:
        same = tuple(column for column in columns if _is_same(table, column))
        columns = tuple(column for column in columns if column not in same and not _is_empty(table, column))
    kept = _kept(columns) if shown.stored else columns
    above = tuple((one.heading, entry(one, head.row(0, named=True), pictures)) for one in same)
    rows = tuple(tuple(entry(column, row, pictures) for column in kept) for row in head.iter_rows(named=True))
    folded = tuple(column.heading for column in columns if column not in kept)
    return TableView(shown.name, shown.heading, kept, rows, table.height - head.height, above, folded)


def _is_same(table: pl.DataFrame, column: Column) -> bool:
    """Whether a column of words or whole numbers says the same in all of several rows."""
    values = table[column.name]
    plain = values.dtype == pl.String or values.dtype.is_integer() or values.dtype == pl.Boolean
    return plain and table.height > 1 and values.null_count() == 0 and values.n_unique() == 1


def _is_empty(table: pl.DataFrame, column: Column) -> bool:
    return table.height > 0 and table[column.name].null_count() == table.height


def _kept(columns: tuple[Column, ...]) -> tuple[Column, ...]:
    """The first columns; what was corrected, q, is always among them."""
    corrected = tuple(column for column in columns[MOST_COLUMNS:] if column.name == "q")
    return (*columns[: MOST_COLUMNS - len(corrected)], *corrected)


def columns_of(table: pl.DataFrame, concept: Concept = THE_CONCEPT) -> tuple[Column, ...]:
    """How each column is written, judged by all rows shown; the ends of an interval belong to their value's column."""
    ends = _ends(table)
    hidden = {name for pair in ends.values() for name in pair}
    found = []
    for name, kind in table.schema.items():
        if name not in hidden:
            places = text.decimals(table[name].drop_nulls().to_list()) if kind.is_float() else 0
            found.append(Column(name, label(name), kind.is_numeric(), places, ends.get(name), concept))
    return tuple(found)


def _ends(table: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """The columns of an interval's ends by their value's: `auroc_low` is of `auroc`, a bare `low` of what is before."""
    names = table.columns
    found: dict[str, tuple[str, str]] = {}
    for place, low in enumerate(names):
        high = f"{low.removesuffix('low')}high"
        if not (low == "low" or low.endswith("_low")) or high not in names or place == 0:
            continue
        own = low.removesuffix("low").removesuffix("_")
        value = own if own in names else names[place - 1]
        if table[value].dtype.is_float() and value not in found:
            found[value] = (low, high)
    return found


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
    if column.is_tagged:
        return tag(str(value), column.concept)
    directed = text.direction(value) if isinstance(value, str) else ""
    words = at_floor(column, row) or plain(column, value)
    return Markup("<span{}>{}{}</span>").format(directed, words, powers(interval(column, row)))


def interval(column: Column, row: Mapping[str, Any]) -> str:
    """The ends of a value's interval, as ` [0.71, 0.95]`; nothing where there is none."""
    if column.ends is None or any(row.get(end) is None for end in column.ends):
        return ""
    low, high = (text.number(row[end], column.places) for end in column.ends)
    return f" [{low}, {high}]"


def at_floor(column: Column, row: Mapping[str, Any]) -> str:
    """`≤ 0.0099` where p is the least that the row's draws can give; empty elsewhere."""
    p, draws = row[column.name], row.get("draws")
    found = resolved(p, draws) if column.name == "p" and p is not None and draws else ""
    return found if found.startswith("≤") else ""


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
        return text.mixed(", ".join(f"{LANGUAGE_NAMES.get(key, key)} {item}" for key, item in value.items()))
    if isinstance(value, Sequence) and not isinstance(value, str):
        return Markup(" ").join(_item(column, item) for item in value)
    return text.mixed(_spelled(value, column.concept) if isinstance(value, str) else value)


def _spelled(words: str, concept: Concept) -> str:
    """Words in which a column of labels is named with its language: `NAME_ar = …` by "NAME (Arabic) = …"."""
    for code, language in LANGUAGE_NAMES.items():
        words = words.replace(f"{concept.name}_{code} ", f"{concept.name} ({language}) ")
    return words


def _item(column: Column, value: Any) -> Markup:
    words = text.token_text(value).strip() if isinstance(value, str) else value
    shown = plain(column, words)
    return Markup('<span class="item"{}>{}</span>').format(text.direction(str(words)), shown)


def powers(words: str) -> Markup:
    """`4.2·10^−5` with its power raised, wherever it stands."""
    return Markup(_POWER.sub(r"<sup>\1</sup>", str(escape(words))))


def tag(value: str, concept: Concept) -> Markup:
    """A language or a label of the concept with its colour beside it."""
    colour = {**concept.colours, **LANGUAGES}.get(value, "#BBBBBB")
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
