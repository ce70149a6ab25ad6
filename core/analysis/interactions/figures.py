"""Interactions by pair as a heat map, and the features that fire together as a network."""

from collections.abc import Mapping

import altair as alt
import numpy as np
import polars as pl

from core.data.concept import Concept, side_noun
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import DIVERGING, HALF, INK, LANGUAGE_NAMES, ON_PALE, REFERENCE, WIDTH, Figure

LEAST_JACCARD = 0.02
"""Pairs with a smaller Jaccard index have no line in the network."""


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    found: dict[str, Figure] = {}
    if tables["pairs"].height:
        found["interactions"] = _interactions(tables["pairs"], concept)
    if tables["network"].filter(pl.col("jaccard") >= LEAST_JACCARD).height:
        found["network"] = _network(tables["network"], tables["features"], concept)
    return found


def _interactions(pairs: pl.DataFrame, concept: Concept) -> Figure:
    languages = [language for language in ("en", "ar") if language in pairs["language"].to_list()]
    order = list(dict.fromkeys([*pairs["feature"].to_list(), *pairs["partner"].to_list()]))
    limit = max(float(np.abs(pairs["interaction"].to_numpy()).max()), 1e-9)
    panels = [_panel(pairs.filter(language=language), language, order, limit) for language in languages]
    draws = max(pairs["draws"].to_list())
    caption = (
        f"Layer {pairs['layer'][0]}: shift of the first {concept.adjective} word when two features are set to zero, "
        f"beyond the sum of their own shifts, in nats toward the other {side_noun(concept)}; means over test images, "
        f"features in the order of their rank. Ring: the 95 % interval leaves 0 out, and the mean lies outside the "
        f"central 95 % of {draws} matched random pairs; not corrected over pairs."
    )
    return Figure(alt.hconcat(*panels), caption)


def _panel(pairs: pl.DataFrame, language: str, order: list[int], limit: float) -> alt.LayerChart | alt.FacetChart:
    apart = (pl.col("interaction") > pl.col("control_high")) | (pl.col("interaction") < pl.col("control_low"))
    sure = apart & ((pl.col("low") > 0) | (pl.col("high") < 0))
    table = pairs.select("feature", "partner", "interaction", sure.fill_null(False).alias("sure"))
    scale = alt.Scale(scheme=DIVERGING, domain=[-limit, limit], domainMid=0)
    base = alt.Chart(table).encode(
        x=alt.X("feature:O", title="Feature", sort=order[:-1], axis=alt.Axis(labelAngle=0)),
        y=alt.Y("partner:O", title="Feature", sort=order[1:]),
    )
    squares = base.mark_rect().encode(color=alt.Color("interaction:Q", title="Nats", scale=scale))
    numbers = base.mark_text(fontSize=9.5, color=ON_PALE).encode(text=alt.Text("interaction:Q", format=".2f"))
    rings = base.transform_filter("datum.sure").mark_point(
        shape="square", size=620, filled=False, strokeWidth=1.2, color=INK
    )
    return alt.layer(squares, numbers, rings, width=HALF, height=alt.Step(34), title=LANGUAGE_NAMES[language])


def _network(network: pl.DataFrame, features: pl.DataFrame, concept: Concept) -> Figure:
    edges = network.filter(pl.col("jaccard") >= LEAST_JACCARD)
    nodes = _placed(features["feature"].to_list(), edges)
    nodes = nodes.join(features.select("feature", "rank", "lean"), on="feature", maintain_order="left")
    ends = nodes.select("feature", "x", "y")
    lines = edges.join(ends, on="feature", maintain_order="left").join(
        ends.rename({"feature": "partner", "x": "x2", "y": "y2"}), on="partner", maintain_order="left"
    )
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-1.2, 1.2]))
    y = alt.Y("y:Q", axis=None, scale=alt.Scale(domain=[-1.2, 1.2]))
    width = alt.StrokeWidth("jaccard:Q", title="Jaccard index", scale=alt.Scale(range=[0.4, 5]))
    drawn = alt.Chart(lines.select("x", "y", "x2", "y2", "jaccard"))
    strokes = drawn.mark_rule(color=REFERENCE, opacity=0.7).encode(x=x, y=y, x2="x2", y2="y2", strokeWidth=width)
    limit = max(float(np.abs(features["lean"].to_numpy()).max()), 1e-9)
    scale = alt.Scale(scheme=DIVERGING, domain=[-limit, limit], domainMid=0)
    base = alt.Chart(nodes).encode(x=x, y=y)
    points = base.mark_point(size=320, stroke=INK, strokeWidth=0.6).encode(
        fill=alt.Color("lean:Q", title="AUROC − ½", scale=scale)
    )
    dark = alt.condition(f"abs(datum.lean) > {0.6 * limit}", alt.value("white"), alt.value(ON_PALE))
    names = base.mark_text(fontSize=9).encode(text="feature:N", color=dark)
    caption = (
        f"Layer {features['layer'][0]}: the {features.height} highest-ranked features; lines join those that fire in "
        f"the same rows (Jaccard index at least {LEAST_JACCARD}), special rows left out. Colour: the "
        f"{side_noun(concept)} of a feature's association on the selection split. Described, not "
        "tested: there is no interval."
    )
    return Figure(alt.layer(strokes, points, names, width=WIDTH - 120, height=WIDTH - 120), caption)


def _placed(features: list[int], edges: pl.DataFrame) -> pl.DataFrame:
    """The features on a circle, in the order of the second eigenvector of the graph's Laplacian (Fiedler 1973), so that
    those that fire together stand together."""
    place = {feature: number for number, feature in enumerate(features)}
    weights = np.zeros((len(features), len(features)))
    for one, other, jaccard in edges.select("feature", "partner", "jaccard").iter_rows():
        weights[place[one], place[other]] = weights[place[other], place[one]] = jaccard
    laplacian = np.diag(weights.sum(axis=1)) - weights
    vector = np.linalg.eigh(laplacian)[1][:, 1] if len(features) > 1 else np.zeros(1)
    angle = np.empty(len(features))
    angle[np.argsort(np.round(vector, 9), kind="stable")] = 2 * np.pi * np.arange(len(features)) / len(features)
    columns = {"feature": features, "x": np.cos(angle), "y": np.sin(angle)}
    return pl.DataFrame(columns, schema_overrides={"feature": pl.UInt32})
