"""All features of a layer as one table that is sorted, filtered and shown page by page."""

import math
import re
from collections.abc import Collection, Mapping, Sequence
from difflib import get_close_matches
from typing import NamedTuple

import polars as pl

from core.features.indexed_layer import IndexedLayer
from explorer.reading.refusals import UNUSABLE, Refusal

LABEL = "label"
_PLACE = "place of the row"
_TERM = re.compile(r"(!?)([a-z0-9_]{1,64})(?:(>=|<=|!=|=|>|<|~)(.{1,200}))?", re.DOTALL)
MOST_TERMS = 10
_COMPARED = {
    ">": pl.Expr.gt,
    ">=": pl.Expr.ge,
    "<": pl.Expr.lt,
    "<=": pl.Expr.le,
    "=": pl.Expr.eq,
    "!=": pl.Expr.ne,
}


class Order(NamedTuple):
    """A column to sort by."""

    column: str
    descending: bool


def feature_table(layer: IndexedLayer, language: str | None = None, position_set: str | None = None) -> pl.DataFrame:
    """One row per feature: its statistics, and its strongest association with the concept among those of a language
    and a position set, or among all.

    Returns:
        The columns of `core.features.statistics.FEATURES` that hold one value, `association` = |AUROC − ½| and the
        columns of the association that it is of, with `associated_language` and `associated_set`.

    Raises:
        Refusal: there is no association of this language or position set.
    """
    statistics = layer.index.features.select(pl.exclude(pl.List))
    if layer.associations is None:
        return statistics.with_columns(association=pl.lit(None, pl.Float64))
    among = _among(layer.associations, {"language": language, "position_set": position_set})
    named = strongest(among).rename({"language": "associated_language", "position_set": "associated_set"})
    return statistics.join(named, on="feature", how="left", maintain_order="left")


def strongest(associations: pl.DataFrame) -> pl.DataFrame:
    """The strongest association of each feature, and `association` = |AUROC − ½|; of equal ones that of smallest p."""
    ranked = associations.with_columns(association=(pl.col("auroc").cast(pl.Float64) - 0.5).abs())
    return ranked.sort("association", "p", descending=[True, False], maintain_order=True).unique(
        "feature", keep="first", maintain_order=True
    )


def _among(associations: pl.DataFrame, wanted: Mapping[str, str | None]) -> pl.DataFrame:
    for column, value in wanted.items():
        if value is None:
            continue
        known = associations[column].unique().sort().to_list()
        if value not in known:
            raise Refusal(UNUSABLE, f"{column}: {value[:100]!r} was not tested in this layer; give one of {known}")
        associations = associations.filter(pl.col(column) == value)
    return associations


def with_labels(table: pl.DataFrame, labels: Mapping[int, str]) -> pl.DataFrame:
    """The table with the text of each feature's label, null where it has none."""
    if not labels:
        return table.with_columns(pl.lit(None, pl.String).alias(LABEL))
    named = pl.DataFrame({"feature": labels.keys(), LABEL: labels.values()}, {"feature": pl.UInt32, LABEL: pl.String})
    return table.join(named, on="feature", how="left", maintain_order="left")


def with_texts(table: pl.DataFrame, texts: pl.DataFrame) -> pl.DataFrame:
    """The table with what catalogues say of each feature, null where they say nothing.

    Args:
        table: the features of one layer.
        texts: feature, and the column that is added.
    """
    return table.join(texts, on="feature", how="left", maintain_order="left")


def chosen(table: pl.DataFrame, terms: Sequence[str]) -> pl.DataFrame:
    """The rows for which every term holds: `density>0.01`, `label~woman` (contains), `label` (is there), `!label`.

    Raises:
        Refusal: a term cannot be read, or names a column that is not there.
    """
    if len(terms) > MOST_TERMS:
        raise Refusal(UNUSABLE, f"filter: has {len(terms)} terms; give at most {MOST_TERMS}")
    for term in terms:
        table = table.filter(_condition(table.schema, term))
    return table


def ordered(table: pl.DataFrame, asked: str) -> pl.DataFrame:
    """The rows by a column, `-` before its name from the largest on; empty values last, ties by feature.

    Raises:
        Refusal: there is no such column.
    """
    order = Order(asked.removeprefix("-"), asked.startswith("-"))
    _known(table.schema, order.column, "sort")
    return table.sort(order.column, descending=order.descending, nulls_last=True, maintain_order=True)


def places(table: pl.DataFrame, terms: Sequence[str], asked: str, also: pl.Expr | None = None) -> pl.Series:
    """The numbers of the rows for which every term and `also` hold, in the order asked: of the table only the columns
    that are named are filtered and sorted.

    Raises:
        Refusal: as `chosen` and `ordered`.
    """
    named = check_names(table.columns, terms, asked)
    columns = [*named, *(also.meta.root_names() if also is not None else ())]
    narrow = table.select(list(dict.fromkeys(columns))).with_row_index(_PLACE)
    found = narrow if also is None else narrow.filter(also)
    return ordered(chosen(found, terms), asked)[_PLACE]


def holding(table: pl.DataFrame, terms: Sequence[str]) -> pl.Series:
    """For each row, whether every one of some terms holds.

    Raises:
        Refusal: as `chosen`.
    """
    if len(terms) > MOST_TERMS:
        raise Refusal(UNUSABLE, f"filter: has {len(terms)} terms; give at most {MOST_TERMS}")
    holds = pl.all_horizontal(*(_condition(table.schema, term) for term in terms))
    return table.select(holds.alias(_PLACE))[_PLACE]


def row_order(table: pl.DataFrame, asked: str) -> pl.Series:
    """The numbers of all rows in the order asked.

    Raises:
        Refusal: as `ordered`.
    """
    return ordered(table.select(asked.removeprefix("-")).with_row_index(_PLACE), asked)[_PLACE]


def check_names(names: Collection[str], terms: Sequence[str], asked: str) -> list[str]:
    """The columns that an order and terms are of.

    Raises:
        Refusal: a term cannot be read, or one of them is none of the table's columns, which are `names`.
    """
    named = [(asked.removeprefix("-"), "sort"), *((_read(term)[1], "filter") for term in terms)]
    for column, field in named:
        _known(names, column, field)
    return [column for column, _ in named]


def _condition(schema: pl.Schema, term: str) -> pl.Expr:
    denied, column, compared, value = _read(term)
    _known(schema, column, "filter")
    if compared is None:
        return pl.col(column).is_null() if denied else pl.col(column).is_not_null()
    if denied:
        raise Refusal(UNUSABLE, f"filter: {term[:100]!r}: `!` stands before a column alone")
    if compared == "~":
        text = pl.col(column).cast(pl.String).str.to_lowercase()
        return text.str.contains(value.lower(), literal=True).fill_null(False)
    if schema[column] == pl.String:
        return _COMPARED[compared](pl.col(column), pl.lit(value)).fill_null(False)
    return _COMPARED[compared](pl.col(column), pl.lit(_number(value, term))).fill_null(False)


def _read(term: str) -> tuple[str, str, str | None, str]:
    """Whether a term denies, its column, its comparison and its value."""
    read = _TERM.fullmatch(term)
    if read is None:
        raise Refusal(UNUSABLE, f"filter: {term[:100]!r} is no term; write a column, one of > >= < <= = != ~, a value")
    denied, column, compared, value = read.groups()
    return denied, column, compared, value or ""


def _number(value: str, term: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise Refusal(UNUSABLE, f"filter: {term[:100]!r}: {value[:50]!r} is no number")
    return number


def _known(names: Collection[str], column: str, field: str) -> None:
    if column not in names:
        near = get_close_matches(column, names, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(names)}"
        raise Refusal(UNUSABLE, f"{field}: there is no column {column[:100]!r}; {hint}")
