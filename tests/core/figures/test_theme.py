"""Panels show their own rows, however the layers of a chart came by their tables."""

import re
from typing import Any
from xml.etree import ElementTree

import altair as alt
import polars as pl
import pytest

from core.figures import Figure
from core.figures.theme import by_panel, only, rule
from core.figures.vector import plain_svg
from core.figures.writers import to_spec

TABLE = pl.DataFrame({"panel": ["a"] * 3 + ["b"] * 5, "x": range(8), "y": [0.1 * x for x in range(8)]})
POINTS = alt.Chart(TABLE).mark_point().encode(x="x:Q", y="y:Q")
TICKS = alt.Chart(TABLE).mark_tick().encode(x="x:Q", y="y:Q")
OTHER = alt.Chart(TABLE.with_columns(z=pl.col("y") + 1)).mark_point().encode(x="x:Q", y="z:Q")
NAMES = {"a": "A", "b": "B"}


def marks(chart: Any, kind: str) -> list[int]:
    """How many marks of a kind the renderer draws in each panel."""
    root = ElementTree.fromstring(plain_svg(to_spec(Figure(chart, ""))))
    panels = [group for group in root.iter() if re.search(r"\bconcat_\d+_group\b", group.get("class", ""))]
    return [sum(len(group) for group in panel.iter() if is_mark(group.get("class", ""), kind)) for panel in panels]


def is_mark(name: str, kind: str) -> bool:
    return name.startswith(f"mark-{kind} role-mark")


@pytest.mark.parametrize(
    ("chart", "symbols"),
    [
        (POINTS, 1),
        (POINTS + TICKS, 1),
        (POINTS + TICKS + rule(0.5), 1),
        (rule(0.5) + POINTS, 1),
        (rule(0.5) + POINTS + TICKS, 1),
        (alt.layer(POINTS, TICKS, rule(0.5)), 1),
        (POINTS + OTHER, 2),
        (alt.layer(rule(0.5) + POINTS, OTHER), 2),
        (alt.layer(POINTS + TICKS, rule(0.5) + OTHER), 2),
        (rule(0.5) + POINTS.transform_filter("datum.x >= 0").transform_calculate(panel="'none'"), 1),
    ],
)
def test_a_panel_draws_its_own_rows_alone(chart: Any, symbols: int) -> None:
    drawn = by_panel(chart, "panel", NAMES)
    assert marks(drawn, "symbol") == [3 * symbols, 5 * symbols]
    assert marks(drawn, "rule") == [int("reference" in str(chart.to_dict()))] * 2


def test_a_chart_without_the_column_is_refused() -> None:
    with pytest.raises(ValueError, match="'missing'"):
        only(rule(0.5) + POINTS, "missing", "a")


def test_a_chart_is_left_as_it_was() -> None:
    chart = rule(0.5) + POINTS
    before = chart.to_dict()
    only(chart, "panel", "a")
    assert chart.to_dict() == before
