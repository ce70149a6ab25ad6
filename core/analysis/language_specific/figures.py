"""The languages' figures: classes of features by layer, and how selective features are."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl

from core.analysis.language_specific.profiles import BETWEEN, SHARED
from core.data.languages import LANGUAGE_NAMES
from core.figures.heat_map import layer_axis
from core.figures.theme import CONTROLS, HALF, LANGUAGES, SEQUENTIAL, Figure, by_panel, layer_x

BINS = 20
_TITLES = {"SAE": "SAE", "frozen": "Frozen dictionary"}


def figures(tables: Mapping[str, pl.DataFrame]) -> dict[str, Figure]:
    """The figures that the tables have something for."""
    found = {}
    if tables["classes"].drop_nulls("share").height:
        found["classes"] = _classes(tables["classes"].drop_nulls("share"))
    if tables["profiles"].height:
        found["selectivity"] = _selectivity(tables["profiles"])
    return found


def _panels(table: pl.DataFrame) -> dict[str, str]:
    return {name: _TITLES[name] for name in table["dictionary"].unique(maintain_order=True)}


def _classes(classes: pl.DataFrame) -> Figure:
    names = classes["class"].unique(maintain_order=True).to_list()
    first, second = names[:2]
    order = [first, SHARED, BETWEEN, second]
    words = {first: f"{LANGUAGE_NAMES[first]}-specific", second: f"{LANGUAGE_NAMES[second]}-specific"}
    words |= {SHARED: "shared", BETWEEN: "between"}
    colours = {first: LANGUAGES[first], second: LANGUAGES[second], SHARED: LANGUAGES["shared"], BETWEEN: CONTROLS[1]}
    table = classes.select(
        "dictionary",
        "layer",
        pl.col("class").replace(words),
        pl.col("class").replace_strict({name: place for place, name in enumerate(order)}).alias("order"),
        "share",
    )
    scale = alt.Scale(domain=[words[name] for name in order], range=[colours[name] for name in order])
    areas = (
        alt.Chart(table)
        .mark_area(interpolate="step")
        .encode(
            x=layer_x(),
            y=alt.Y("share:Q", title="Live features (%)", axis=alt.Axis(format="%"), scale=alt.Scale(domain=[0, 1])),
            color=alt.Color("class:N", title="Fire on captions", scale=scale),
            order=alt.Order("order:Q"),
        )
        .properties(width=HALF, height=HALF)
    )
    return Figure(
        by_panel(areas, "dictionary", _panels(classes)),
        "Live features by class and layer, on test images with captions in both languages: those that fire nearly in "
        "one language alone, those that fire about as often in both (shared), and those between. The frozen "
        "dictionary, where there is one, has random decoder directions and a trained encoder.",
    )


def _selectivity(profiles: pl.DataFrame) -> Figure:
    width = 2 / BINS
    place = ((pl.col("selectivity") + 1) / width).floor().clip(0, BINS - 1).cast(pl.Int32)
    counted = profiles.group_by("dictionary", "layer", place.alias("bin"), maintain_order=True).len()
    table = counted.with_columns(
        (pl.col("len") / pl.col("len").sum().over("dictionary", "layer")).round(4).alias("share"),
        (-1 + width * (pl.col("bin") + 0.5)).round(3).alias("selectivity"),
    ).select("dictionary", "layer", "selectivity", "share")
    languages = [name.removeprefix("rate_") for name in profiles.columns if name.startswith("rate_")]
    ends = [LANGUAGE_NAMES[language] for language in languages]
    bins = np.round(-1 + width * (np.arange(BINS) + 0.5), 3)[::-1].tolist()
    labels = [bins[0], bins[BINS // 4], bins[BINS // 2], bins[3 * BINS // 4], bins[-1]]
    panel = (
        alt.Chart(table)
        .mark_rect()
        .encode(
            x=alt.X("layer:O", axis=layer_axis(table["layer"])),
            y=alt.Y(
                "selectivity:O",
                sort=bins,
                scale=alt.Scale(domain=bins),
                axis=alt.Axis(title=f"Selectivity ({ends[1]} −1, {ends[0]} 1)", values=labels, format=".1f"),
            ),
            color=alt.Color(
                "share:Q", title="Features", scale=alt.Scale(scheme=SEQUENTIAL), legend=alt.Legend(format="%")
            ),
            tooltip=["layer", "selectivity", alt.Tooltip("share:Q", format=".1%")],
        )
        .properties(width=HALF, height=HALF)
    )
    return Figure(
        by_panel(panel, "dictionary", _panels(profiles)),
        f"How live features of each layer spread over selectivity: (rate on {ends[0]} captions − rate on {ends[1]} "
        "captions) / their sum, on test images. At 1 and −1 a feature fires in one language alone, at 0 as often in "
        "both.",
    )
