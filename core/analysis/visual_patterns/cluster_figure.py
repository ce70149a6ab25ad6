"""One small mean map per cluster of features."""

import math

import altair as alt
import polars as pl

from core.figures.theme import SEQUENTIAL, Figure

_SIDE = 84
_MOST_LINES = 3
_LETTERS = 18


def cluster_figure(clusters: pl.DataFrame) -> Figure:
    """A row of maps per layer, the largest cluster first."""
    rows = []
    for (layer,), part in clusters.group_by("layer", maintain_order=True):
        panels = [_panel(row) for row in part.iter_rows(named=True)]
        titled = alt.TitleParams(f"Layer {layer}", anchor="start")
        rows.append(alt.hconcat(*panels, spacing=14).properties(title=titled))
    caption = (
        "Live features clustered by where in the image and on what they fire, test images: the mean share of each cell "
        "in a feature's activation, the number of features, and the attributes most over-represented where they are "
        "strong. Each map has its own scale. Correlational: image tokens attend to each other both ways."
    )
    return Figure(alt.vconcat(*rows, spacing=24), caption)


def _panel(row: dict[str, object]) -> alt.Chart:
    values = [float(value) for value in row["map"]]  # type: ignore[attr-defined]
    side, largest = math.isqrt(len(values)), max(values) or 1.0
    cells = pl.DataFrame(
        {
            "x": [number % side for number in range(side**2)],
            "y": [number // side for number in range(side**2)],
            "share": [value / largest for value in values],
        }
    )
    hidden = alt.Axis(labels=False, ticks=False, domain=False, grid=False)
    colour = alt.Color(
        "share:Q", title="Share of the strongest cell", scale=alt.Scale(scheme=SEQUENTIAL, domain=[0, 1])
    )
    named = [part if len(part) <= _LETTERS else f"{part[: _LETTERS - 1]}…" for part in _what(str(row["what"]))]
    count = f"{row['features']} feature{'' if row['features'] == 1 else 's'}"
    title = alt.TitleParams([count, *named], fontSize=9, anchor="start")
    chart: alt.Chart = (
        alt.Chart(cells)
        .mark_rect()
        .encode(x=alt.X("x:O", title=None, axis=hidden), y=alt.Y("y:O", title=None, axis=hidden), color=colour)
    )
    drawn: alt.Chart = chart.properties(width=_SIDE, height=_SIDE, title=title)
    return drawn


def _what(text: str) -> list[str]:
    """The values without the log odds; yes and no keep the attribute's name."""
    parts = [part.rpartition(" (")[0] for part in text.split(", ") if part]
    values = [part if part.endswith((": true", ": false")) else part.partition(": ")[2] for part in parts]
    return [value.replace("_", " ") for value in values if value][:_MOST_LINES]
