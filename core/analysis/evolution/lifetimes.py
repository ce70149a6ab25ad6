"""The evolution of features in tables and numbers."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl

from core.analysis.evolution.persistence import Chosen, Step
from core.stats.intervals import wilson


def flow_table(
    steps: Sequence[Step],
    live: list[np.ndarray],
    matched: pl.DataFrame,
    thresholds: list[float],
    seed: int,
) -> pl.DataFrame:
    """What happens between each two layers.

    Returns:
        layer, next_layer, live, next_live, matched, births (live above without a match below), deaths, persistence
        (matched / live) with its Wilson interval, threshold (99.9th percentile under row permutation), correlation and
        cosine (medians over matches), decoder_agrees (share of matches that are mutual nearest by decoder cosine too),
        and of the followed features: ranked_features (those that have rate-matched ones), ranked_persistence,
        control_persistence of the rate-matched ones, with the central 95 % of draws.
    """
    rows = []
    for number, step in enumerate(steps):
        part = matched.filter(pl.col("layer") == step.layer)
        alive, above = int(live[number].sum()), int(live[number + 1].sum())
        low, share, high = wilson(part.height, alive)
        rows.append(
            {
                "layer": step.layer,
                "next_layer": step.next_layer,
                "live": alive,
                "next_live": above,
                "matched": part.height,
                "births": above - part.height,
                "deaths": alive - part.height,
                "persistence": share,
                "persistence_low": low,
                "persistence_high": high,
                "threshold": thresholds[number],
                "correlation": part["correlation"].median(),
                "cosine": part["cosine"].median(),
                "decoder_agrees": part["decoder_agrees"].mean(),
                **_followed(step, seed),
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def _followed(step: Step, seed: int) -> dict[str, float | int | None]:
    features = list(step.chosen.matched.features)
    names = ("ranked_persistence", "control_persistence", "control_low", "control_high")
    if not features:
        return {"ranked_features": 0, **dict.fromkeys(names)}
    low, high = np.quantile(step.drawn(seed).mean(axis=1), [0.025, 0.975])
    values = (step.kept[features].mean(), step.control_kept.mean(), low, high)
    return {"ranked_features": len(features), **dict(zip(names, map(float, values), strict=True))}


def lifetimes(tracks: pl.DataFrame, layers: tuple[int, ...]) -> pl.DataFrame:
    """How many tracks last how many of the measured layers: lifetime, tracks, and how many of them are cut short by
    the first or the last layer, so that they may be longer."""
    spans = tracks.group_by("track").agg(
        pl.len().alias("lifetime"), pl.col("layer").min().alias("born"), pl.col("layer").max().alias("last")
    )
    cut = (pl.col("born") == layers[0]) | (pl.col("last") == layers[-1])
    counted = spans.group_by("lifetime").agg(pl.len().alias("tracks"), cut.sum().alias("cut_short"))
    return counted.sort("lifetime")


def survival(tracks: pl.DataFrame, chosen: Mapping[int, Chosen], layers: tuple[int, ...]) -> pl.DataFrame:
    """Share of a layer's features whose track is still there in a later layer.

    Returns:
        features ("all" live ones, "ranked": the highest-ranked ones that have rate-matched features, "matched": those,
        averaged over the candidates of each), layer, later_layer, count, share.
    """
    members = {layer: tracks.filter(pl.col("layer") == layer) for layer in layers}
    rows = []
    for number, layer in enumerate(layers):
        track = dict(members[layer].select("feature", "track").iter_rows())
        matched = chosen[layer].matched
        for later in layers[number:]:
            there = set(members[later]["track"].to_list())
            reached = {feature: own in there for feature, own in track.items()}
            shares: dict[str, list[float]] = {
                "all": list(reached.values()),
                "ranked": [reached[feature] for feature in matched.features],
                "matched": [float(np.mean([reached[int(one)] for one in drawn])) for drawn in matched.candidates],
            }
            rows += [(name, layer, later, len(part), float(np.mean(part))) for name, part in shares.items() if part]
    schema = {"features": pl.String, "layer": pl.UInt16, "later_layer": pl.UInt16, "count": pl.UInt32}
    found = pl.DataFrame(rows, schema={**schema, "share": pl.Float64}, orient="row")
    order = pl.Enum(["all", "ranked", "matched"])
    return found.sort(pl.col("features").cast(order), "layer", "later_layer")


def metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Flat numbers for MLflow."""
    flow, table = tables["flow"], tables["lifetimes"]
    lengths = np.repeat(table["lifetime"].to_numpy(), table["tracks"].to_numpy())
    found = {
        "persistence_mean": flow["persistence"].mean(),
        "persistence_min": flow["persistence"].min(),
        "ranked_persistence_mean": flow["ranked_persistence"].cast(pl.Float64).mean(),
        "control_persistence_mean": flow["control_persistence"].cast(pl.Float64).mean(),
        "decoder_agreement_mean": flow["decoder_agrees"].cast(pl.Float64).mean(),
        "tracks": lengths.size,
        "lifetime_mean": lengths.mean() if lengths.size else None,
    }
    if "ceiling" in tables:
        found["seed_ceiling_mean"] = tables["ceiling"]["share"].mean()
        found["of_ceiling_mean"] = tables["ceiling"]["of_ceiling"].mean()
    known = {name: float(value) for name, value in found.items() if isinstance(value, int | float | np.number)}
    return {name: value for name, value in known.items() if math.isfinite(value)}


_NO_CEILING = (
    "Births, deaths and lifetimes have no seed ceiling yet: how many features two SAEs of a layer share when "
    "trained from different seeds was not measured, so features that SAE training finds only by chance count as "
    "born and dead."
)
_CEILING = (
    "The seed ceiling is the share of a layer's live features that have a match in the SAE of the layer trained alike "
    "from the next seed, on the same rows and by the same rule. The layers' own SAEs start from the same directions, "
    "which by itself makes neighbouring layers match; across seeds they do not. Births, deaths and lifetimes in the "
    "other tables are of SAEs of one seed; births_beyond and deaths_beyond are across seeds, less those that two seeds "
    "of one layer show."
)


def notes(text_only: bool, missing: int, unmatched: int, ceiling: bool = False) -> tuple[str, ...]:
    """What was left out, and how to read what is there."""
    lines = [
        _CEILING if ceiling else _NO_CEILING,
        "Matches need a feature active on at least 10 of the compared rows, which are of test images.",
        "CKA compares the stream's image means, without the SAEs; dimensions that vary more than ten times the median "
        "one are brought down to it.",
    ]
    if unmatched:
        lines.append(
            f"No match for {unmatched} of the followed features: too few others of the layer fire as often and have "
            "no association with the concept; the comparison leaves them out."
        )
    if text_only:
        lines.append("Text only: no CKA on image tokens.")
    if missing:
        lines.append(
            f"{missing} of the compared rows are not finite or outliers in some layer and count as silent there."
        )
    return tuple(lines)
