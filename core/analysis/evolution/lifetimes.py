"""The evolution of features in tables, sentences and numbers."""

from collections.abc import Mapping

import numpy as np
import polars as pl

from core.stats.intervals import bootstrap_mean, wilson

BOOTSTRAP = 1000


def flow_table(
    steps: list[tuple[int, int]],
    live: list[np.ndarray],
    matched: pl.DataFrame,
    measured: list[dict[str, float]],
    gender: pl.DataFrame,
) -> pl.DataFrame:
    """What happens between each two layers.

    Returns:
        layer, next_layer, live, next_live, matched, births (live above without a match below), deaths, persistence
        (matched / live) with its Wilson interval, threshold (99.9th percentile under row permutation), correlation and
        cosine (medians over matches), decoder_agrees (share of matches that are mutual nearest by decoder cosine too),
        gender_features and gender_persistence (of the layer's features that go most with gender).
    """
    rows = []
    for number, (layer, upper) in enumerate(steps):
        part = matched.filter(pl.col("layer") == layer)
        alive, above = int(live[number].sum()), int(live[number + 1].sum())
        low, share, high = wilson(part.height, alive)
        ours = gender.filter(pl.col("layer") == layer)
        kept = ours.join(part, on="feature", how="semi").height
        rows.append(
            {
                "layer": layer,
                "next_layer": upper,
                "live": alive,
                "next_live": above,
                "matched": part.height,
                "births": above - part.height,
                "deaths": alive - part.height,
                "persistence": share,
                "persistence_low": low,
                "persistence_high": high,
                "threshold": measured[number]["threshold"],
                "correlation": part["correlation"].median(),
                "cosine": part["cosine"].median(),
                "decoder_agrees": part["decoder_agrees"].mean(),
                "gender_features": ours.height,
                "gender_persistence": kept / ours.height if ours.height else None,
            }
        )
    return pl.DataFrame(rows, infer_schema_length=None)


def lifetimes(tracks: pl.DataFrame, layers: tuple[int, ...]) -> pl.DataFrame:
    """How many tracks last how many of the measured layers: lifetime, tracks, and how many of them are cut short by
    the first or the last layer, so that they may be longer."""
    spans = tracks.group_by("track").agg(
        pl.len().alias("lifetime"), pl.col("layer").min().alias("born"), pl.col("layer").max().alias("last")
    )
    cut = (pl.col("born") == layers[0]) | (pl.col("last") == layers[-1])
    counted = spans.group_by("lifetime").agg(pl.len().alias("tracks"), cut.sum().alias("cut_short"))
    return counted.sort("lifetime")


def survival(tracks: pl.DataFrame, gender: pl.DataFrame, layers: tuple[int, ...]) -> pl.DataFrame:
    """Share of a layer's features whose track is still there in a later layer.

    Returns:
        features ("all", or "gender": the layer's features that go most with gender), layer, later_layer, count, share.
    """
    chosen = {"all": tracks, "gender": tracks.join(gender, on=["layer", "feature"], how="semi")}
    members = {layer: set(tracks.filter(pl.col("layer") == layer)["track"].to_list()) for layer in layers}
    rows = []
    for name, table in chosen.items():
        for number, layer in enumerate(layers):
            here = set(table.filter(pl.col("layer") == layer)["track"].to_list())
            for later in layers[number:] if here else ():
                share = len(here & members[later]) / len(here)
                rows.append((name, layer, later, len(here), share))
    schema = {"features": pl.String, "layer": pl.UInt16, "later_layer": pl.UInt16, "count": pl.UInt32}
    return pl.DataFrame(rows, schema={**schema, "share": pl.Float64}, orient="row")


def headlines(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """One sentence a finding, with its null and interval."""
    flow = tables["flow"]
    kept = bootstrap_mean(flow["persistence"].to_numpy(), BOOTSTRAP, 0)
    lowest = flow.row(int(flow["persistence"].arg_min() or 0), named=True)
    found = [
        f"Of a layer's live features {kept.mean:.0%} [{kept.low:.0%}, {kept.high:.0%}] on average (interval over pairs "
        f"of layers) have a match in the next layer above the 99.9th percentile of permuted rows; fewest between "
        f"layers {lowest['layer']} and {lowest['next_layer']}: {lowest['persistence']:.0%}.",
        _lifetime_line(tables["lifetimes"]),
    ]
    both = flow.filter(pl.col("gender_persistence").is_not_null())
    if both.height:
        gain = bootstrap_mean((both["gender_persistence"] - both["persistence"]).to_numpy(), BOOTSTRAP, 0)
        found.append(
            f"From layer to layer {100 * gain.mean:+.0f} percentage points [{100 * gain.low:+.0f}, "
            f"{100 * gain.high:+.0f}] more of the features that go most with gender persist than of all features."
        )
    return tuple(found)


def _lifetime_line(table: pl.DataFrame) -> str:
    lengths = np.repeat(table["lifetime"].to_numpy(), table["tracks"].to_numpy())
    cut = int(table["cut_short"].sum())
    return (
        f"Half of the {lengths.size:,} chains of matches last {np.median(lengths):.0f} measured layers or fewer, "
        f"one in ten {np.quantile(lengths, 0.9):.0f} or more ({cut:,} touch the first or the last and may be longer)."
    )


def metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """Flat numbers for MLflow."""
    flow, table = tables["flow"], tables["lifetimes"]
    lengths = np.repeat(table["lifetime"].to_numpy(), table["tracks"].to_numpy())
    found = {
        "persistence_mean": flow["persistence"].mean(),
        "persistence_min": flow["persistence"].min(),
        "gender_persistence_mean": flow["gender_persistence"].mean(),
        "decoder_agreement_mean": flow["decoder_agrees"].mean(),
        "tracks": lengths.size,
        "lifetime_mean": lengths.mean() if lengths.size else None,
    }
    return {name: float(value) for name, value in found.items() if isinstance(value, int | float | np.number)}


def notes(text_only: bool, missing: int) -> tuple[str, ...]:
    """What was left out, and how to read what is there."""
    lines = [
        "Births, deaths and lifetimes have no seed ceiling yet: how many features two SAEs of a layer share when "
        "trained from different seeds was not measured, so features that SAE training finds only by chance count as "
        "born and dead.",
        "Matches need a feature active on at least 10 of the compared rows.",
        "CKA compares the stream's image means, without the SAEs; dimensions that vary more than ten times the median "
        "one are brought down to it.",
    ]
    if text_only:
        lines.append("Text only: no CKA on image tokens.")
    if missing:
        lines.append(
            f"{missing} of the compared rows are not finite or outliers in some layer and count as silent there."
        )
    return tuple(lines)
