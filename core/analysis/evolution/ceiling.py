"""The seed ceiling: how many features of a layer a second SAE of it has, trained alike from another seed.

Features that training finds only by chance have no match in the second SAE, and would be born and die between layers
that are the same. The layers' own SAEs start from one seed, that is from the same directions, so that neighbouring
layers share more features than two seeds of one layer do: what is read against the ceiling is the match of a layer's
SAE with the next layer's second one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from jaxtyping import Int
from scipy import sparse

from core.features.encoded import sparse_code
from core.features.layer_view import LayerView
from core.sae.architectures import SparseAutoencoder
from core.stats.estimate import Estimate, Source
from core.stats.intervals import bootstrap_mean, wilson
from core.stats.matching import Codes, match_activations, permuted_threshold

BOOTSTRAP = 1000
_CEILING: dict[str, Any] = {
    "layer": pl.UInt16,
    **dict.fromkeys(("live", "matched"), pl.UInt32),
    **dict.fromkeys(("share", "low", "high"), pl.Float64),
    "across": pl.UInt32,
    **dict.fromkeys(("across_share", "across_low", "across_high", "of_ceiling"), pl.Float64),
    **dict.fromkeys(("births_beyond", "deaths_beyond"), pl.Int64),
}
CEILING = pl.Schema(_CEILING)
"""One row per layer: its live features; those with a match in the second SAE of the layer (the ceiling) and in the
second SAE of the next layer (across), with Wilson intervals; the second share over the first; and births in the next
layer and deaths in this one beyond those that two seeds of one layer show."""


@dataclass(frozen=True)
class SeedMatch:
    """How many live features of a layer have a match in its second SAE, and in the next layer's (null in the last)."""

    live: int
    matched: int
    across: int | None = None


def sibling_codes(opened: LayerView, sibling: SparseAutoencoder, rows: Int[np.ndarray, " R"]) -> Codes:
    """The second SAE's features on the rows; rows that are not there (−1) are silent."""
    there = np.flatnonzero(rows >= 0)
    code = sparse_code(sibling, opened.table.read(rows[there]))
    ones = np.ones(there.size, dtype=np.float32)
    placed = sparse.csr_array((ones, (there, np.arange(there.size))), shape=(rows.size, there.size))
    return Codes.of(sparse.csr_array(placed @ code))


def matches(own: Codes, other: Codes, strata: Int[np.ndarray, " R"], permutations: int, seed: int) -> int:
    """How many features of two SAEs match, by the rule by which layers are matched."""
    threshold = permuted_threshold(own, other, strata, permutations, seed)
    return int((match_activations(own, other).value > threshold).sum())


def ceiling_table(found: Mapping[int, SeedMatch]) -> pl.DataFrame:
    """Rows of `CEILING`; layers in order."""
    rows = []
    for number, (layer, one) in enumerate(found.items()):
        low, share, high = wilson(one.matched, one.live)
        row: dict[str, Any] = {"layer": layer, "live": one.live, "matched": one.matched}
        row |= {"share": share, "low": low, "high": high}
        if one.across is not None:
            following = list(found.values())[number + 1]
            low, across, high = wilson(one.across, one.live)
            row |= {"across": one.across, "across_share": across, "across_low": low, "across_high": high}
            row["of_ceiling"] = across / share if share else None
            row |= {"births_beyond": following.matched - one.across, "deaths_beyond": one.matched - one.across}
        rows.append(row)
    return pl.DataFrame(rows, CEILING)


def ceiling_summary(flow: pl.DataFrame, ceiling: pl.DataFrame, seed: int) -> list[dict[str, Any]]:
    """The measures over all layers: their name, value, interval over layers, and n.

    A chain's mean lifetime is features over chains, and every match makes two chains one. Of the ceiling it is what it
    would be if the share `of_ceiling` of each layer's features had a match in the next one; all layers at most.
    """
    rows = []
    for name, column in (("seed ceiling", "share"), ("across", "across_share"), ("of ceiling", "of_ceiling")):
        values = ceiling[column].drop_nulls().to_numpy()
        low, mean, high = bootstrap_mean(values, BOOTSTRAP, seed)
        rows.append({"measure": name, "value": mean, "low": low, "high": high, "n": values.size})
    features = int(flow["live"].sum()) + int(flow["next_live"][-1])
    kept = ceiling.select((pl.col("of_ceiling") * pl.col("live")).sum()).item()
    fewest = int(ceiling["live"].max())  # type: ignore[arg-type]  # no chain has two features of one layer
    for name, links in (("mean lifetime", flow["matched"].sum()), ("lifetime of ceiling", kept)):
        chains = max(features - float(links), fewest)
        rows.append({"measure": name, "value": features / chains, "n": round(chains)})
    return rows


_WORDS = {
    "seed ceiling": (
        "seed_ceiling",
        "share of a layer's live features with a match in a second SAE of the layer",
        "share",
    ),
    "across": ("across", "share with a match in the next layer's second SAE, which starts from another seed", "share"),
    "of ceiling": ("of_ceiling", "that share over the share that two seeds of one layer have", ""),
    "mean lifetime": (
        "lifetime.mean",
        "mean lifetime of a chain of matches between SAEs of one seed",
        "measured layers",
    ),
    "lifetime of ceiling": (
        "lifetime.of_ceiling",
        "mean lifetime at the share over that of two seeds",
        "measured layers",
    ),
}


def ceiling_findings(summary: pl.DataFrame) -> tuple[Estimate, ...]:
    """What the ceiling says, as descriptions; none where it was not measured."""
    rows = {row["measure"]: row for row in summary.rows(named=True)}
    return tuple(_described(rows[measure], *words) for measure, words in _WORDS.items() if measure in rows)


def ceiling_caveat(summary: pl.DataFrame) -> str:
    """What the ceiling means for persistence."""
    rows = dict(summary.select("measure", "value").iter_rows())
    if "seed ceiling" not in rows:
        return (
            "SAEs of one seed start from the same directions in every layer, which alone lets features match; two SAEs "
            "of one layer would not share all features either, and that ceiling is not measured (sae.seed: [0, 1] does)"
        )
    return (
        f"the layers' SAEs start from one seed: {rows['across']:.1%} have a match in a next layer's SAE of another "
        f"seed, and {rows['seed ceiling']:.1%} in a second SAE of their own layer"
    )


def _described(row: Mapping[str, Any], name: str, quantity: str, unit: str) -> Estimate:
    return Estimate(
        name=name,
        quantity=quantity,
        value=row["value"],
        unit=unit,
        n=row["n"],
        counted="chains" if row["low"] is None else "layers, interval over them",
        source=Source("summary", {"measure": row["measure"]}, "value"),
        interval=None if row["low"] is None else (row["low"], row["high"]),
        described=True,
    )
