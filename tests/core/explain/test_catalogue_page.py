"""docs/catalogue.md shows the tables' columns and types as they are declared; tests/saeflow runs its code."""

import re

import polars as pl
import pytest

from core.explain.importing.scores import METRICS
from core.explain.published import PUBLISHED
from tests.flows.commands import PROJECT

PAGE = (PROJECT / "docs" / "catalogue.md").read_text(encoding="utf-8")


def _told(kind: pl.DataType) -> str:
    if isinstance(kind, pl.List):
        return f"List({_told(kind.inner)})"  # type: ignore[arg-type]
    if isinstance(kind, pl.Struct):
        return f"Struct({', '.join(f'{field.name} {_told(field.dtype)}' for field in kind.fields)})"  # type: ignore[arg-type]
    return str(kind)


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_tables_columns_are_the_declared_ones(name: str) -> None:
    section = PAGE.partition(f"### {name}\n")[2].partition("\n### ")[0]
    rows = re.findall(r"^\| `(\w+)` \| ([^|]+) \|", section, re.MULTILINE)
    assert rows == [(column, _told(kind)) for column, kind in PUBLISHED[name].items()]


def test_every_kind_of_raw_score_is_on_the_page() -> None:
    section = PAGE.partition("## Import and export")[2]
    assert all(f"`{kind}`" in section for kind in METRICS)
