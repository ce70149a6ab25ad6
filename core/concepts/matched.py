"""The same direction in other SAEs: the decoder row nearest to a feature's, in SAEs of its layer and those beside."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import polars as pl
import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadInput
from core.sae.architectures import SparseAutoencoder

REACH = 1
"""Layers up and down in which a feature is looked for."""
MATCHES = pl.Schema(
    {
        "sae": pl.String,
        "feature": pl.UInt32,
        "layer": pl.Int64,
        "other_sae": pl.String,
        "other_layer": pl.Int64,
        "other_feature": pl.UInt32,
        "cosine": pl.Float64,
    }
)
"""One row per feature and other SAE that reads the same site within `REACH` layers: its feature whose decoder row has
the highest cosine with the feature's own."""


def decoder_matches(
    top: pl.DataFrame, declared: Sequence[Mapping[str, Any]], load: Callable[[str], SparseAutoencoder]
) -> pl.DataFrame:
    """Rows of `MATCHES` for the features of `top` (`sae`, `feature`); each SAE is loaded once, one at a time, and a
    second time where features are taken from it. SAEs that cannot be read are left out.

    Args:
        top: the features, the best first.
        declared: of each SAE `key`, `layer` and `site`.
        load: opens an SAE by its key.
    """
    known = {one["key"]: one for one in declared}
    own = _directions(top, load)
    rows: list[tuple[Any, ...]] = []
    for other in declared:
        near = [key for key in own if key != other["key"] and _is_near(known[key], other)]
        if not near:
            continue
        try:
            decoder = torch.nn.functional.normalize(load(other["key"]).W_dec.detach().float(), dim=-1)
        except (BadInput, OSError):
            continue
        for key in near:
            features, directions = own[key]
            best = (directions.to(decoder) @ decoder.T).max(dim=1)
            for feature, cosine, found in zip(features, best.values.tolist(), best.indices.tolist(), strict=True):
                rows.append((key, feature, known[key]["layer"], other["key"], other["layer"], found, cosine))
    return pl.DataFrame(rows, schema=MATCHES, orient="row").sort("sae", "feature", "other_layer", "other_sae")


def _is_near(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    return bool(one["site"] == other["site"] and abs(one["layer"] - other["layer"]) <= REACH)


def _directions(
    top: pl.DataFrame, load: Callable[[str], SparseAutoencoder]
) -> dict[str, tuple[list[int], Float[Tensor, "n D"]]]:
    found = {}
    for key in dict.fromkeys(top["sae"].to_list()):
        features = top.filter(pl.col("sae") == key)["feature"].to_list()
        rows = load(key).W_dec.detach()[features].float()
        found[key] = (features, torch.nn.functional.normalize(rows, dim=-1))
    return found
