"""Where in the layers the probe for the visible concept orders pictures that do not show it as the model's words do.

The probe is fitted on training pictures that show the concept, and never sees one that does not. Its AUROC on test
pictures that show it, the emergence of what is seen, stands beside; the two are different numbers of one probe.
"""

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import polars as pl
from jaxtyping import Float

from core.analysis.bias import Config
from core.analysis.bias.hidden import Hidden
from core.analysis.bias.rates import cells_of
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.stats.families import corrected_within
from core.stats.group_means import Agreement, GroupMeans, agreement, columns_of, weighted_spearman
from core.stats.intervals import auroc, bootstrap_auroc, permutation_p
from core.stats.probes import Labelled, logistic

READABLE = pl.Schema(
    {
        "layer": pl.UInt16,
        **dict.fromkeys(("language", "position_set", "against"), pl.String),
        **dict.fromkeys(("groups", "units"), pl.UInt32),
        **dict.fromkeys(("value", "low", "high", "permuted", "permuted_low", "permuted_high"), pl.Float64),
        "draws": pl.UInt32,
        **dict.fromkeys(("p", "p_curve", "q"), pl.Float64),
        "chosen": pl.Boolean,
        **dict.fromkeys(("auroc", "auroc_low", "auroc_high", "auroc_select"), pl.Float64),
        **dict.fromkeys(("train_images", "test_images"), pl.UInt32),
    }
)
"""One row per layer, language, position set and what the scores are compared with: Spearman's rho over groups of the
probe's mean score and the rate, with groups permuted; `p_curve` against the largest |rho| of any layer in each
permutation; q of the `chosen` layers. `auroc` is the same probe's on test pictures that show the concept."""
ASKED, PLANTED = "asked", "planted"
"""What the scores are compared with: P(first side) at the first word, or the planted rate."""


class _Curve(NamedTuple):
    language: str
    position_set: str
    against: str


class _Scored(NamedTuple):
    """A probe's scores of images that do not show the concept, and how it does on images that do."""

    images: list[str]
    scores: Float[np.ndarray, " n"]
    shown: dict[str, Any]


def readable_table(hidden: Hidden, config: Config, layers: Sequence[int]) -> pl.DataFrame:
    """`READABLE`; empty where samples have no groups."""
    concept = hidden.inputs.concept
    sets, rows = config.position_sets or concept.decision_sets, []
    nulls: dict[_Curve, list[np.ndarray]] = {}
    for number, layer in enumerate(layers if hidden.columns else ()):
        view = hidden.inputs.open_layer(layer)
        for position_set in sets:
            for language in hidden.inputs.languages:
                scored = _score(hidden, view, language, position_set)
                for against, found, counts in _compared(hidden, config, scored, language) if scored is not None else ():
                    assert scored is not None
                    place = _Curve(language, position_set, against)
                    nulls.setdefault(place, []).append(np.abs(found.null))
                    rows.append({"layer": layer, **place._asdict(), **counts, **columns_of(found), **scored.shown})
        hidden.inputs.progress(number + 1, len(layers))
    return _corrected(rows, nulls)


def _corrected(rows: Sequence[dict[str, Any]], nulls: dict[_Curve, list[np.ndarray]]) -> pl.DataFrame:
    highest = {place: np.max(some, axis=0) for place, some in nulls.items()}
    best = {
        place: max(
            (row for row in rows if _of(row) == place), key=lambda row: (row.get("auroc_select", 0), row["layer"])
        )
        for place in nulls
    }
    for row in rows:
        row["p_curve"] = permutation_p(abs(row["value"]), highest[_of(row)])
        row["chosen"] = row is best[_of(row)]
    table = pl.DataFrame(rows, schema=READABLE)
    tested_rows = table.with_columns(pl.when("chosen").then("p").alias("p"))
    q = corrected_within(tested_rows, pl.col("against"))["q"]
    return table.with_columns(q).sort("language", "position_set", "against", "layer")


def _of(row: dict[str, Any]) -> _Curve:
    return _Curve(row["language"], row["position_set"], row["against"])


def _score(hidden: Hidden, view: LayerView, language: str, position_set: str) -> _Scored | None:
    """Null where too few images of either side are there to fit the probe, or none that do not show the concept."""
    inputs = hidden.inputs
    images, x = stream_means(view.stream_sums, view.groups, language, position_set)
    table = Labels.of(inputs.concept, inputs.samples, language).table
    labels = Labels(table.filter(pl.col("image_id").is_in(hidden.visible.shown)), inputs.concept.sides)
    parts = {}
    for split in ("train", "select", "test"):
        known = labelled_images(images, labels, split) if images else None
        if known is not None:
            units = inputs.units([images[row] for row in known.rows])
            parts[split] = Labelled(x[known.rows].astype(np.float64), known.positive, units=units)
    unseen = set(hidden.visible.hidden)
    rows = [row for row, image in enumerate(images) if image in unseen]
    if "train" not in parts or not rows:
        return None
    probe = logistic(parts["train"], inputs.seed)
    shown: dict[str, Any] = {"train_images": len(parts["train"].y)}
    if "select" in parts:
        shown["auroc_select"] = auroc(probe.score(parts["select"].x), parts["select"].y.astype(np.int64))
    if "test" in parts:
        test = parts["test"]
        area = bootstrap_auroc(probe.score(test.x), test.y.astype(np.int64), 200, inputs.seed, test.units)
        shown |= {"auroc": area.mean, "auroc_low": area.low, "auroc_high": area.high, "test_images": len(test.y)}
    return _Scored([images[row] for row in rows], probe.score(x[rows].astype(np.float64)), shown)


def _compared(
    hidden: Hidden, config: Config, scored: _Scored, language: str
) -> Iterator[tuple[str, Agreement, dict[str, int]]]:
    column = hidden.columns[0]
    own = pl.DataFrame({"image_id": scored.images, "score": scored.scores})
    known = own.join(hidden.groups.select("image_id", "unit", pl.col(column).alias("group")), on="image_id")
    means = known.drop_nulls("group").group_by("group", "unit").agg(pl.col("score").mean())
    rates = cells_of(hidden, column, language).drop_nulls("rate").select("group", "unit", "rate")
    cells = means.join(rates, on=["group", "unit"], how="left").sort("group", "unit")
    planted = hidden.planted
    if planted is not None and planted.column == column:
        told = cells["group"].replace_strict(dict(planted.rates), default=None, return_dtype=pl.Float64)
        cells = cells.with_columns(told.alias("planted"))
    for against, name in ((ASKED, "rate"), (PLANTED, "planted")):
        if name in cells.columns and cells.height:
            values = cells.select(pl.col("score", name).cast(pl.Float64).fill_null(float("nan"))).to_numpy()
            groups = GroupMeans.of(values, cells["group"].to_list(), cells["unit"].to_numpy())
            draws = (config.bootstrap, config.permutations)
            found = agreement(groups, (0, 1), weighted_spearman, draws, hidden.inputs.seed)
            if found is not None:
                yield against, found, {"groups": groups.count, "units": cells.height}
