"""From image-by-image effects to means with intervals, controls, shares of the ceiling, and sentences."""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import polars as pl
from scipy import stats

from core.analysis.ablation.measures import FIRST, SWAP_ALL, ZERO, Measured
from core.stats.intervals import bootstrap_mean, permutation_p, resamples
from core.stats.picking import of_layers, picked_layer

ALL = "all"
"""The language of rows in which an image's captions were averaged."""

EFFECTS = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "outcome": pl.String,
        "intervention": pl.String,
        "images": pl.UInt32,
        "effect": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
        "p": pl.Float64,
        "q": pl.Float64,
        "share": pl.Float64,
        "share_low": pl.Float64,
        "share_high": pl.Float64,
    }
)
SPECIFICITY = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "images": pl.UInt32,
        "kl": pl.Float64,
        "low": pl.Float64,
        "high": pl.Float64,
        "control": pl.Float64,
        "control_low": pl.Float64,
        "control_high": pl.Float64,
        "draws": pl.UInt32,
        "relative_norm": pl.Float64,
        "control_norm": pl.Float64,
    }
)


def summarise(layer: int, measured: Sequence[Measured], bootstrap: int, seed: int) -> pl.DataFrame:
    """One row a language (and all of them averaged by image), outcome and intervention."""
    effects = _with_all(pl.concat([part.effects for part in measured]), ["outcome", "intervention"])
    draws = _with_all(pl.concat([part.draws for part in measured]), ["draw"])
    rows = []
    keys = ["language", "outcome", "intervention"]
    for (language, outcome, intervention), part in effects.group_by(keys, maintain_order=True):
        found = bootstrap_mean(part["effect"].to_numpy(), bootstrap, seed)
        row = {
            "layer": layer,
            "language": language,
            "outcome": outcome,
            "intervention": intervention,
            "images": part.height,
            "effect": found.mean,
            "low": found.low,
            "high": found.high,
        }
        if outcome == FIRST:
            ceiling = effects.filter(
                (pl.col("language") == language) & (pl.col("outcome") == FIRST) & (pl.col("intervention") == SWAP_ALL)
            )
            row |= _share(part, ceiling, bootstrap, seed)
        if intervention == ZERO and outcome == FIRST:
            row |= _against(found.mean, draws.filter(pl.col("language") == language))
        rows.append(row)
    return pl.DataFrame(rows, schema=EFFECTS)


def _with_all(frame: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Add rows of language `all`: each image's mean over the languages that it was measured in."""
    if frame["language"].n_unique() < 2:
        return frame.select("language", *keys, "image_id", "effect")
    both = frame.group_by([*keys, "image_id"], maintain_order=True).agg(pl.col("effect").mean())
    both = both.with_columns(pl.lit(ALL).alias("language"))
    columns = ["language", *keys, "image_id", "effect"]
    return pl.concat([both.select(columns), frame.select(columns)])


def _share(part: pl.DataFrame, ceiling: pl.DataFrame, bootstrap: int, seed: int) -> dict[str, float]:
    """Effect over interchange effect, a ratio of means over the images that have both; resampled together."""
    joined = part.select("image_id", "effect").join(
        ceiling.select("image_id", pl.col("effect").alias("ceiling")), on="image_id", maintain_order="left"
    )
    if joined.is_empty() or part["intervention"][0] == SWAP_ALL:
        return {}
    effect, whole = joined["effect"].to_numpy(), joined["ceiling"].to_numpy()
    if bootstrap_mean(whole, bootstrap, seed).low <= 0:
        return {}  # no ceiling to speak of: the ratio would explode
    counts = resamples(effect.size, bootstrap, seed)
    low, high = np.quantile((counts @ effect) / (counts @ whole), [0.025, 0.975])
    return {"share": float(effect.sum() / whole.sum()), "share_low": float(low), "share_high": float(high)}


def _against(effect: float, draws: pl.DataFrame) -> dict[str, float | int]:
    """Where the effect stands among the random sets' (one-sided: toward the other gender)."""
    if draws.is_empty():
        return {"draws": 0}
    means = draws.group_by("draw").agg(pl.col("effect").mean()).sort("draw")["effect"].to_numpy()
    low, high = np.quantile(means, [0.025, 0.975])
    return {
        "control": float(means.mean()),
        "control_low": float(low),
        "control_high": float(high),
        "draws": means.size,
        "p": permutation_p(effect, means),
    }


def with_q(effects: pl.DataFrame) -> pl.DataFrame:
    """Benjamini-Hochberg over all layers and languages; rows that average languages repeat those and are left out."""
    tested = pl.col("p").is_not_null() & (
        (pl.col("language") != ALL) if (effects["language"] != ALL).any() else pl.lit(True)
    )
    numbered = effects.with_row_index("row")
    family = numbered.filter(tested)
    if family.is_empty():
        return effects
    q = pl.DataFrame({"row": family["row"], "q": stats.false_discovery_control(family["p"].to_numpy())})
    return numbered.drop("q").join(q, on="row", how="left", maintain_order="left").select(EFFECTS.names())


def specificity(layer: int, measured: Sequence[Measured], bootstrap: int, seed: int) -> pl.DataFrame:
    """KL at the words that do not differ, by language: of the features, and of random sets."""
    rows = []
    for part in measured:
        own = part.divergence.filter(pl.col("kind") == "features")
        found = bootstrap_mean(own["kl"].to_numpy(), bootstrap, seed)
        random = part.divergence.filter((pl.col("kind") == "random") & pl.col("kl").is_finite())
        means = random.group_by("draw").agg(pl.col("kl").mean()).sort("draw")["kl"].to_numpy()
        low, high = np.quantile(means, [0.025, 0.975]) if means.size else (math.nan, math.nan)
        row = {
            "layer": layer,
            "language": own["language"][0],
            "images": own.height,
            "kl": found.mean,
            "low": found.low,
            "high": found.high,
            "control": float(means.mean()) if means.size else math.nan,
            "control_low": float(low),
            "control_high": float(high),
            "draws": means.size,
            "relative_norm": part.norm,
            "control_norm": part.control_norm,
        }
        rows.append(row)
    return pl.DataFrame(rows, schema=SPECIFICITY)


def primary_row(effects: pl.DataFrame, layer: int) -> dict[str, object]:
    """The primary outcome's row at a layer, languages averaged where there are several."""
    primary = effects.filter((pl.col("intervention") == ZERO) & (pl.col("outcome") == FIRST))
    rows = primary.filter(pl.col("layer") == layer)
    averaged = rows.filter(pl.col("language") == ALL)
    return (averaged if averaged.height else rows).row(0, named=True)


def headlines(tables: Mapping[str, pl.DataFrame]) -> tuple[str, ...]:
    """One layer against its control and ceiling, by language, and what it costs elsewhere."""
    effects = tables["effects"]
    layer = picked_layer(tables["features"])
    best = primary_row(effects, layer)
    layers = effects["layer"].n_unique()
    features, picked = tables["features"].filter(pl.col("layer") == layer).height, of_layers(layers, "gender")
    sentences = [
        f"Taking {features} gender features out at layer {layer} {picked} moves the first gendered "
        f"word by {_interval(best)} nats toward the other gender ({best['images']} test images); {_control(best)}."
    ]
    own = effects.filter((pl.col("layer") == layer) & (pl.col("outcome") == FIRST))
    if best["share"] is not None:
        ceiling = own.filter((pl.col("intervention") == SWAP_ALL) & (pl.col("language") == best["language"]))
        sentences.append(
            f"That is {_percent(best)} of what showing the gender twin instead does "
            f"({_interval(ceiling.row(0, named=True))} nats)."
        )
    single = own.filter((pl.col("intervention") == ZERO) & (pl.col("language") != ALL)).sort("language")
    if single.height > 1:
        parts = (f"{row['language']} {_interval(row)} nats (q = {_small(row['q'])})" for row in single.rows(named=True))
        sentences.append(f"By language at layer {layer}: {'; '.join(parts)}.")
    sentences.append(_cost(tables["specificity"].filter(pl.col("layer") == layer), layer))
    return tuple(sentences)


def _interval(row: Mapping[str, object]) -> str:
    return f"{row['effect']:.2f} [{row['low']:.2f}, {row['high']:.2f}]"


def _percent(row: Mapping[str, object]) -> str:
    share, low, high = (float(str(row[name])) * 100 for name in ("share", "share_low", "share_high"))
    return f"{share:.0f} % [{low:.0f}, {high:.0f}]"


def _small(value: object) -> str:
    return "not tested" if value is None else f"{value:.2g}"


def _control(row: Mapping[str, object]) -> str:
    if row["control"] is None:
        return "no random control could be drawn"
    span = f"{row['control']:.2f} [{row['control_low']:.2f}, {row['control_high']:.2f}]"
    return f"{row['draws']} random sets, matched and not associated, give {span}, p = {_small(row['p'])}"


def _cost(rows: pl.DataFrame, layer: object) -> str:
    parts = (
        f"{row['language']} {row['kl']:.2g} [{row['low']:.2g}, {row['high']:.2g}] nats a token "
        f"(random sets {row['control']:.2g})"
        for row in rows.sort("language").rows(named=True)
    )
    return f"All other words of the caption move by KL {'; '.join(parts)} at layer {layer}."


def metrics(tables: Mapping[str, pl.DataFrame]) -> dict[str, float]:
    """The primary effects and their controls, by layer and language."""
    flat: dict[str, float] = {}
    effects = tables["effects"].filter((pl.col("intervention") == ZERO) & (pl.col("outcome") == FIRST))
    for row in effects.rows(named=True):
        for name in ("effect", "control", "p", "share"):
            if row[name] is not None and math.isfinite(row[name]):
                flat[f"layer_{row['layer']}.{row['language']}.{name}"] = row[name]
    for row in tables["specificity"].rows(named=True):
        if math.isfinite(row["kl"]):
            flat[f"layer_{row['layer']}.{row['language']}.kl"] = row["kl"]
    return flat
