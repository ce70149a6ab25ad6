"""What a study's analyses found of a feature: tests, explanations, promoted tokens, and what intervening does."""

from typing import Any, NamedTuple

import polars as pl

from core.reading.study import OpenedStudy
from explorer.dashboard import words
from explorer.dashboard.charts import Chart, Frame, Line, Point, line_chart
from explorer.dashboard.found import Found, found
from explorer.dashboard.grids import Grid, grid
from explorer.reading.library import ShownLayer

_MOST_TOKENS = 12
_TESTS = ("language", "position_set", "auroc", "q", "support")
_REPORTED = ("question", "language", "position_set", "auroc", "q", "passes", "shared_with", "images")
_EXPLAINED = ("explanation", "score", "control")
_EFFECTS = ("language", "outcome", "intervention", "effect", "control", "q", "images")


class Ways(NamedTuple):
    """Tokens that a feature promotes and suppresses, and where they were read."""

    promoted: tuple[dict[str, Any], ...]
    suppressed: tuple[dict[str, Any], ...]
    source: str


class Intervened(NamedTuple):
    """What was done to a set of features that this one is of."""

    words: str
    effects: Grid | None
    others: Grid | None = None
    charts: tuple[Chart, ...] = ()


def tested(shown: ShownLayer, feature: int) -> Grid | None:
    """How the feature goes with the concept on the selection split, in each language and position set, the strongest
    first: the one that tables of features show."""
    own = shown.indexed.associations_of(feature)
    if own is None or own.is_empty():
        return None
    distance = (pl.col("auroc").cast(pl.Float64) - 0.5).abs()
    return grid(own.sort(distance, -pl.col("p"), descending=True, nulls_last=True, maintain_order=True), _TESTS)


def reported(interpretation: Found, layer: int, feature: int) -> Grid | None:
    """The same on the test split, where the analysis of interpretation chose the feature."""
    own = interpretation.table("associations", layer=layer, feature=feature)
    return None if own is None else grid(own, _REPORTED, of="auroc")


def explained(interpretation: Found, layer: int, feature: int) -> Grid | None:
    """Explanations with their scores on held-out examples and the score of a shuffled control."""
    own = interpretation.table("explanations", layer=layer, feature=feature)
    return None if own is None else grid(own.sort("score", descending=True), _EXPLAINED, of="score")


def ways(shown: ShownLayer, interpretation: Found, feature: int) -> Ways | None:
    """The tokens that the feature promotes and suppresses: of the step that describes all features, or else of the
    analysis of interpretation; null where neither has them."""
    layer = shown.indexed.layer
    own = shown.study.influences(layer, feature)
    source = "from the step describe_features"
    if own is None:
        own, source = interpretation.table("promoted", layer=layer, feature=feature), "from the analysis interpretation"
    if own is None:
        return None
    first = own.filter(pl.col("rank") <= _MOST_TOKENS).sort("rank")
    promoted, suppressed = (tuple(first.filter(direction=way).to_dicts()) for way in ("promoted", "suppressed"))
    return Ways(promoted, suppressed, source)


def ablated(study: OpenedStudy, layer: int, feature: int) -> Intervened | None:
    """The ablation of the features of a layer, where this one is among them."""
    ablation = found(study, "ablation")
    own = ablation.table("features", layer=layer, feature=feature)
    chosen, effects = (ablation.table(name, layer=layer) for name in ("features", "effects"))
    if own is None or chosen is None or effects is None:
        return None
    said = (
        f"It is one of the {chosen.height} features of layer {layer} that the ablation took out together: effects are "
        "of all of them at once, in nats. Control: random feature sets matched on firing rate, mean squared "
        "contribution and added norm."
    )
    tested, others = (effects.filter(known) for known in (pl.col("control").is_not_null(), pl.col("control").is_null()))
    return Intervened(said, _effects(tested), _effects(others))


def _effects(rows: pl.DataFrame) -> Grid | None:
    return grid(rows, _EFFECTS, of="effect") if rows.height else None


def amplified(study: OpenedStudy, layer: int, feature: int) -> Intervened | None:
    """The response to the dose of the features of a layer, where this one is among them."""
    amplification = found(study, "amplification")
    own = amplification.table("features", layer=layer, feature=feature)
    chosen, response = (amplification.table(name, layer=layer) for name in ("features", "response"))
    slopes = amplification.table("slopes", layer=layer)
    if own is None or chosen is None or response is None:
        return None
    said = (
        f"It is one of the {chosen.height} features of layer {layer} that were turned up together: the curves are of "
        "all of them at once, beside the difference of means. Control of the slopes: random feature sets of the same "
        "length and random signs."
    )
    columns = ("language", "vector", "slope", "control", "q", "images")
    return Intervened(
        said, None if slopes is None else grid(slopes, columns, of="slope"), None, tuple(_doses(response))
    )


def _doses(response: pl.DataFrame) -> list[Chart]:
    drawn = []
    for (code,), rows in response.partition_by("language", as_dict=True, maintain_order=True).items():
        vectors = rows.sort("dose").partition_by("vector", as_dict=True, maintain_order=True)
        lines = [
            Line(
                str(name),
                f"c{place % 3}",
                [Point(*row) for row in part.select("dose", "log_odds", "low", "high").rows()],
            )
            for place, ((name,), part) in enumerate(vectors.items())
        ]
        drawn.append(line_chart(Frame(f"{words.language(str(code))}: log odds (nats)", "Dose", reference=0.0), lines))
    return [chart for chart in drawn if chart is not None]
