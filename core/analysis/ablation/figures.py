"""The ablation's figures: effects among their random controls, every intervention side by side, effect against cost."""

from collections.abc import Mapping

import altair as alt
import polars as pl

from core.data.concept import Concept, side_noun
from core.data.known_concepts import THE_CONCEPT
from core.figures.theme import (
    HALF,
    HEIGHT,
    LANGUAGE_NAMES,
    REFERENCE,
    WIDTH,
    Figure,
    control_colour,
    language_colour,
)

_CHOSEN, _RANDOM = "chosen features", "random features"
_POWERS = alt.Axis(format=".0e", tickCount=4)


def figures(tables: Mapping[str, pl.DataFrame], concept: Concept = THE_CONCEPT) -> dict[str, Figure]:
    """The figures that the tables have something for, in the concept's words."""
    effects = tables["effects"]
    if effects.is_empty():
        return {}
    found = {"effect": _effect(effects, tables["draws"], concept), "interventions": _interventions(effects, concept)}
    found["specificity"] = _specificity(effects, tables["specificity"], concept)
    if "curve" in tables:
        found["curve"] = _curve(tables["curve"], concept)
    return found


def _primary(concept: Concept) -> pl.Expr:
    return (pl.col("intervention") == "zero ablation") & (pl.col("outcome") == concept.positions.first)


def _shift(concept: Concept) -> str:
    """The title of the axis of effects."""
    return f"Shift toward the other {side_noun(concept)} (nats)"


def _languages(table: pl.DataFrame) -> list[str]:
    return [language for language in ("en", "ar") if language in table["language"].unique().to_list()]


def _effect(effects: pl.DataFrame, draws: pl.DataFrame, concept: Concept) -> Figure:
    measured = effects.filter(_primary(concept) & (pl.col("language") != "all"))
    title = _shift(concept)
    panels = [_effect_panel(measured, draws, language, title) for language in _languages(measured)]
    number = draws.select(pl.col("draw").n_unique()).item() if draws.height else 0
    images = max(measured["images"].to_list())
    caption = (
        f"Shift of log p(whole word of the other {side_noun(concept)}) − log p(the caption's own), in nats, when the "
        f"layer's chosen features are set to zero: points, with 95 % intervals over {images} test units. Grey: "
        f"{number} random feature sets matched on firing rate, mean squared contribution and added norm, not "
        f"associated with {concept.name}. Dashed: no effect."
    )
    return Figure(alt.hconcat(*panels).resolve_scale(x="shared"), caption)


def _effect_panel(
    measured: pl.DataFrame, draws: pl.DataFrame, language: str, title: str
) -> alt.LayerChart | alt.FacetChart:
    own = measured.filter(pl.col("language") == language).sort("layer")
    own = own.select("layer", "effect", "low", "high", pl.lit(_CHOSEN).alias("set"))
    random = draws.filter(pl.col("language") == language).sort("layer", "draw")
    random = random.select("layer", "effect", pl.lit(_RANDOM).alias("set"))
    y = alt.Y("layer:O", title="Layer")
    x = alt.X("effect:Q", title=title, axis=alt.Axis(tickCount=4))
    colour = control_colour("set", [_CHOSEN], [_RANDOM])
    zero = alt.Chart(pl.DataFrame({"zero": [0.0]})).mark_rule(color=REFERENCE, strokeDash=[4, 3]).encode(x="zero:Q")
    ticks = alt.Chart(random).mark_tick(thickness=1, opacity=0.6, size=16).encode(y=y, x=x, color=colour)
    base = alt.Chart(own).encode(y=y, color=colour)
    span = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    layers = (zero, ticks, span, base.mark_point(size=70).encode(x=x))
    return alt.layer(*layers, width=HALF, height=HEIGHT, title=LANGUAGE_NAMES[language])


def _interventions(effects: pl.DataFrame, concept: Concept) -> Figure:
    title = _shift(concept)
    own = effects.filter((pl.col("outcome") == concept.positions.first) & (pl.col("language") != "all"))
    order = own["intervention"].unique(maintain_order=True).to_list()
    layer = pl.format("Layer {}", "layer").alias("where")
    table = own.sort("layer", maintain_order=True).select(layer, "language", "intervention", "effect", "low", "high")
    base = alt.Chart(table).encode(
        y=alt.Y("intervention:N", title=None, sort=order),
        yOffset=alt.YOffset("language:N", sort=["en", "ar"]),
        color=language_colour(present=_languages(own)),
    )
    span = base.mark_rule(strokeWidth=2).encode(x=alt.X("low:Q", title=title), x2="high:Q")
    points = base.mark_point().encode(x=alt.X("effect:Q", title=title))
    panel = alt.layer(span, points).properties(width=WIDTH - 180, height=alt.Step(14))
    places = table["where"].unique(maintain_order=True).to_list()
    header = alt.Header(labelAngle=0, labelAlign="left")  # upright: an 8 on its side reads ∞
    chart = panel.facet(row=alt.Row("where:N", title=None, sort=places, header=header))
    caption = (
        f"Every intervention on the first {concept.adjective} word, by layer, with 95 % intervals over images. "
        f"Ablations set the layer's chosen features to zero or to their mean; interchanges put the {concept.name} "
        "twin's stream in place of the image's own and are the ceiling that an ablation is measured against."
    )
    return Figure(chart, caption)


def _specificity(effects: pl.DataFrame, specificity: pl.DataFrame, concept: Concept) -> Figure:
    title = _shift(concept)
    effect = effects.filter(_primary(concept) & (pl.col("language") != "all")).select(
        "layer", "language", "effect", pl.col("control").alias("random_effect")
    )
    joined = specificity.join(effect, on=["layer", "language"], maintain_order="left")
    chosen = joined.select("layer", "language", "kl", "effect", pl.lit(_CHOSEN).alias("set"))
    random = joined.select(
        "layer",
        "language",
        pl.col("control").alias("kl"),
        pl.col("random_effect").alias("effect"),
        pl.lit(_RANDOM).alias("set"),
    )
    table = pl.concat([chosen, random]).drop_nulls().with_columns(pl.col("layer").cast(pl.String))
    base = alt.Chart(table).encode(
        x=alt.X("kl:Q", title="KL at all other words (nats per token)", axis=alt.Axis(tickCount=4, format="~g")),
        y=alt.Y("effect:Q", title=title),
    )
    points = base.mark_point(size=80).encode(
        color=control_colour("set", [_CHOSEN], [_RANDOM]),
        shape=_shape(_languages(effect)),
    )
    labels = base.transform_filter(alt.datum.set == _CHOSEN).mark_text(dx=9, align="left").encode(text="layer:N")
    caption = (
        f"Shift of the {concept.adjective} word (up) against its cost, the KL divergence at all words that tell no "
        f"{concept.name} (right), by layer (numbers) and language. Grey: the mean of the random sets."
    )
    return Figure((points + labels).properties(width=WIDTH, height=HEIGHT), caption)


def _shape(languages: list[str]) -> alt.Shape:
    """A shape per language, named in full in the legend."""
    named = [LANGUAGE_NAMES[language] for language in languages]
    legend = alt.Legend(title="Language", labelExpr=f"{named}[indexof({languages}, datum.label)]")
    return alt.Shape("language:N", scale=alt.Scale(domain=languages), legend=legend)


def _curve(curve: pl.DataFrame, concept: Concept) -> Figure:
    table = curve.filter(pl.col("kl") > 0).select("layer", "language", "set", "dose", "kl", "effect")
    panels = [
        _curve_panel(table.filter(layer=layer), layer, _shift(concept))
        for layer in sorted(set(table["layer"].to_list()))
    ]
    caption = (
        f"Shift of the first {concept.adjective} word (up) against the KL divergence at all words that tell no "
        f"{concept.name} (right, logarithmic), when the chosen features are taken out by dose (numbers: 1 is zero "
        "ablation, more is beyond it). Grey: random sets at dose 1. At equal KL both cost the same elsewhere."
    )
    return Figure(alt.concat(*panels, columns=2).resolve_scale(x="shared", y="shared"), caption)


def _curve_panel(table: pl.DataFrame, layer: int, title: str) -> alt.LayerChart | alt.FacetChart:
    x = alt.X("kl:Q", title="KL at all other words (nats per token)", scale=alt.Scale(type="log"), axis=_POWERS)
    y, languages = alt.Y("effect:Q", title=title), _languages(table)
    names = _shape(languages)
    random = alt.Chart(table.filter(set=_RANDOM)).mark_point(color=REFERENCE, size=18).encode(x=x, y=y, shape=names)
    chosen = alt.Chart(table.filter(set=_CHOSEN).sort("language", "dose"))
    own = chosen.encode(x=x, y=y, color=language_colour(present=languages), order="dose:Q")
    doses = own.mark_text(dy=-9, fontSize=9).encode(text="dose:N")
    layers = (random, own.mark_line(point=True), doses)
    return alt.layer(*layers, width=HALF, height=HALF, title=f"Layer {layer}")
