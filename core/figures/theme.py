"""One look for every figure: a font with Arabic, fixed colours by meaning, axes with units.

How to draw a figure (`core/analysis/NAME/figures.py`):

    from core.figures.theme import HEIGHT, WIDTH, Figure, language_colour, layer_x

    def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
        return {"emergence": _emergence(tables["emergence"])}

    def _emergence(table: pl.DataFrame) -> Figure:
        base = alt.Chart(table).encode(x=layer_x(), color=language_colour())
        scale = alt.Scale(domain=[0.4, 1])
        line = base.mark_line(point=True).encode(y=alt.Y("auroc:Q", title="AUROC", scale=scale))
        band = base.mark_area(opacity=BAND).encode(y=alt.Y("low:Q", title="AUROC", scale=scale), y2="high:Q")
        chart = (band + line + rule(0.5)).properties(width=WIDTH, height=HEIGHT)
        return Figure(chart, "Held-out AUROC by layer and language. Band: 95 % interval over images; dashed: chance.")

- Hand over a plain polars table of what is drawn (aggregate first: every row is written into the JSON), in a fixed row
  order. Never call `.configure_*`, `alt.theme` or `alt.data_transformers`: the writer adds the theme.
- Give width and height to every panel (`WIDTH` × `HEIGHT`; `HALF` for two side by side; `alt.Step(n)` for heat maps of
  many rows). 520 px are a full column of text: the report shows it as drawn, the PNG prints it at 200 dpi.
- Every axis has a title with its unit ("ΔP(female), points", "Layer", "Rows"). The caption is a finding's legend: what
  is drawn, the unit, the interval, the control, n. No chart title that repeats the caption.
- Colours have fixed meanings: `language_colour`, `label_colour`, `control_colour`, `segment_colour`; `SEQUENTIAL` for
  amounts, `DIVERGING` with `domainMid=0` for signed values. `REFERENCE` draws zero or chance: `rule(0.5)`.
- A control is grey and dashed, its interval a grey band; what was measured has colour.
- Arabic text needs nothing: the font has it, and the renderer joins and orders it. Numbers stay in Western digits.
- A mapping from a table that may be empty: leave the figure out of the dictionary; an empty panel says nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import altair as alt
import polars as pl

FONT = "Saeflow Sans"
WIDTH = 520
HALF = 225
HEIGHT = 260
BAND = 0.18
"""Opacity of an interval's band."""

INK = "#1f2328"
MUTED = "#57606a"
REFERENCE = "#8c959f"
GRID = "#e7eaee"
ON_PALE = "#1a1d21"
"""Letters on a pale area: dark on a dark page too."""

# Okabe & Ito 2008 and Paul Tol's muted scheme: told apart with every common colour blindness, and in print.
LANGUAGES = {"en": "#0072B2", "ar": "#D55E00", "shared": "#5B3A8C", "image": "#5B3A8C"}
SEGMENTS = {"image": "#5B3A8C", "prompt": "#999933", "caption": "#0072B2", "item": "#5B3A8C"}
POSITIONS = ("#5B3A8C", "#D55E00", "#0072B2", "#8C510A", "#BF9B6A", "#9AA5B1")
"""By position set, in reading order: image, last prompt row, before the concept's word, on it, on later ones, other."""
MEASURED = "#C03A2B"
SERIES = ("#0072B2", "#D55E00", "#009E73", "#AA3377", "#E69F00", "#56B4E9", "#5B3A8C", "#8C510A")
CONTROLS = ("#6E7781", "#A8B0B8", "#8A7F70", "#C4B9A6")
SEQUENTIAL: Final = "viridis"
DIVERGING: Final = "purpleorange"
LANGUAGE_NAMES = {"en": "English", "ar": "Arabic", "shared": "Shared", "image": "Image"}

Chart = alt.TopLevelMixin
"""Whatever Altair can write: a chart, a layer, a concatenation, a facet."""


@dataclass(frozen=True)
class Figure:
    """A chart and the sentences under it; `alt` is read aloud in its place (empty: the caption)."""

    chart: Chart
    caption: str
    alt: str = ""


def layer_x(title: str = "Layer", field: str = "layer") -> alt.X:
    """The x axis of everything that runs over layers: whole numbers, neither an invented zero nor layers beyond."""
    scale = alt.Scale(zero=False, nice=False, padding=8)
    return alt.X(f"{field}:Q", title=title, axis=alt.Axis(tickMinStep=1, format="d"), scale=scale)


def rule(y: float) -> alt.Chart:
    """A dashed horizontal line at a reference value: zero, chance, the baseline."""
    chart = alt.Chart(pl.DataFrame({"reference": [y]})).mark_rule(color=REFERENCE, strokeDash=[4, 3])
    line: alt.Chart = chart.encode(y="reference:Q")
    return line


def language_colour(field: str = "language", present: Sequence[str] = ("en", "ar")) -> alt.Color:
    """Colour by language code, named in full in the legend."""
    names = {code: LANGUAGE_NAMES[code] for code in present}
    return _fixed(field, {code: LANGUAGES[code] for code in present}, "Language", names)


def label_colour(field: str, colours: Mapping[str, str], present: Sequence[str]) -> alt.Color:
    """Colour by a concept's label, in the concept's `colours`; the legend is titled as the field."""
    return _fixed(field, {label: colours[label] for label in present}, field.capitalize())


def segment_colour(field: str = "segment", present: Sequence[str] = ("image", "prompt", "caption")) -> alt.Color:
    """Colour by segment of the sequence."""
    return _fixed(field, {segment: SEGMENTS[segment] for segment in present}, "Segment")


def position_colour(field: str, names: Sequence[str], present: Sequence[str]) -> alt.Color:
    """Colour by position set; `names` are all of the concept's, in reading order."""
    colours = dict(zip(names, POSITIONS, strict=True))
    return _fixed(field, {name: colours[name] for name in present}, "Positions")


def control_colour(field: str, measured: Sequence[str], controls: Sequence[str], title: str = "") -> alt.Color:
    """Colours for what was measured, greys for its controls (at most four), in the order given."""
    colours = (MEASURED,) if len(measured) == 1 else SERIES
    return _fixed(field, {**dict(zip(measured, colours)), **dict(zip(controls, CONTROLS))}, title)


def by_panel(
    chart: alt.Chart | alt.LayerChart | alt.FacetChart, field: str, values: Mapping[Any, str], columns: int = 2
) -> alt.ConcatChart:
    """One panel per value of `field`, under its name, scales shared; a facet would draw an axis under a missing
    panel."""
    panels = [only(chart, field, value).properties(title=name) for value, name in values.items()]
    return alt.concat(*panels, columns=min(columns, len(panels)))


def only(chart: Any, field: str, value: Any) -> Any:
    """The chart with the rows alone in which `field` is `value`; a layer without that column, such as `rule`, stays.

    A layer with a table of its own reads none of the filters around it: Vega-Lite starts again from that table. Altair
    lifts a table out of layers that share it, and leaves each its own as soon as the first two differ.

    Raises:
        ValueError: no table of the chart has the column.
    """
    kept = alt.FieldEqualPredicate(field=field, equal=value)
    own = [layer for layer in _units(chart) if layer.data is not alt.Undefined and _has(layer.data, field)]
    around = isinstance(chart, alt.LayerChart) and chart.data is not alt.Undefined and _has(chart.data, field)
    if not own and not around:
        raise ValueError(f"no table of the chart has the column {field!r}")
    if isinstance(chart, alt.LayerChart):
        chart = chart.copy(deep=["layer"])
        chart.layer = [_filtered(layer, field, kept) for layer in chart.layer]
    return chart.transform_filter(kept) if around or not isinstance(chart, alt.LayerChart) else chart


def _units(chart: Any) -> list[Any]:
    """The charts that a chart is layered of, whatever they are layered in; itself, if it is no layered one."""
    if not isinstance(chart, alt.LayerChart):
        return [chart]
    return [unit for layer in chart.layer for unit in _units(layer)]


def _filtered(layer: Any, field: str, kept: alt.FieldEqualPredicate) -> Any:
    """A layer of a chart, filtered before whatever else it does with a table of its own."""
    if isinstance(layer, alt.LayerChart):
        layer = layer.copy(deep=["layer"])
        layer.layer = [_filtered(inner, field, kept) for inner in layer.layer]
    if layer.data is alt.Undefined or not _has(layer.data, field):
        return layer
    layer = layer.copy(deep=["transform"])
    before = [] if layer.transform is alt.Undefined else list(layer.transform)
    layer.transform = [alt.FilterTransform(filter=kept), *before]
    return layer


def _has(data: Any, field: str) -> bool:
    """Whether a chart's data has a column; data that is no table may have any."""
    return field in data.columns if hasattr(data, "columns") else True


def _fixed(field: str, colours: Mapping[str, str], title: str, names: Mapping[str, str] | None = None) -> alt.Color:
    label = "datum.label"
    for value, name in (names or {}).items():
        label = f"datum.value === '{value}' ? '{name}' : ({label})"
    legend = alt.Legend(title=title or None, labelExpr=label) if names else alt.Legend(title=title or None)
    return alt.Color(f"{field}:N", scale=alt.Scale(domain=list(colours), range=list(colours.values())), legend=legend)


def theme() -> dict[str, Any]:
    """Vega-Lite's `config` of every figure."""
    text = {"font": FONT, "labelFont": FONT, "titleFont": FONT}
    axis = {
        **text,
        "labelFontSize": 11.5,
        "titleFontSize": 12.5,
        "titleFontWeight": "normal",
        "titleColor": INK,
        "labelColor": MUTED,
        "labelLimit": 260,
        "titlePadding": 8,
        "gridColor": GRID,
        "domainColor": REFERENCE,
        "tickColor": REFERENCE,
        "tickSize": 4,
        "labelOverlap": "greedy",
    }
    legend = {
        **text,
        "labelFontSize": 11.5,
        "titleFontSize": 11.5,
        "titleFontWeight": "bold",
        "labelColor": INK,
        "titleColor": INK,
        "labelLimit": 240,
        "symbolStrokeWidth": 2,
        "symbolOpacity": 1,
    }
    heading = {**text, "fontSize": 13, "labelFontSize": 12.5, "titleFontSize": 12.5, "color": INK, "anchor": "start"}
    return {
        "background": "white",
        "font": FONT,
        "padding": 8,
        "view": {"stroke": None, "continuousWidth": WIDTH, "continuousHeight": HEIGHT},
        "axis": axis,
        "axisX": {"grid": False},
        "legend": legend,
        "title": {**heading, "fontWeight": "bold", "subtitleFont": FONT, "subtitleColor": MUTED, "offset": 8},
        "header": {**text, "labelFontSize": 12.5, "titleFontSize": 12.5, "labelColor": INK, "titleColor": INK},
        "text": {"font": FONT, "fontSize": 11.5},
        "mark": {"color": SERIES[0]},
        "line": {"strokeWidth": 2, "strokeCap": "round"},
        "point": {"filled": True, "size": 42, "opacity": 1},
        "rule": {"color": INK},
        "bar": {"continuousBandSize": 12},
        "range": {"category": list(SERIES), "heatmap": {"scheme": SEQUENTIAL}, "ramp": {"scheme": SEQUENTIAL}},
    }
