"""How well an SAE rebuilds the stream, on the images of each split."""

from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse
from torch import Tensor

from core.data.splits import SPLITS
from core.features.layer_view import LayerView
from core.features.row_groups import code_blocks
from core.sae.metrics import DENSE_RATE, unexplained_share

IDENTICAL = 1e-10
"""Rows whose variance is a smaller share of their mean square than this are identical: what is left is rounding."""
_SEGMENTS = ("image", "prompt", "caption")
_GROUPS = [(split, segment) for split in SPLITS for segment in _SEGMENTS]


def quality(sums: "GroupSums", layer: int) -> pl.DataFrame:
    """Reconstruction by split and segment (all, image, prompt, caption), special rows left out.

    Only test images are held out: selection images take part in early stopping and in the choice among SAEs.

    Returns:
        layer, split, segment, rows, l0 (active features per row), fvu (Σ‖x − x̂‖² / Σ‖x − x̄‖², x̄ the mean of these
        rows; NaN where the rows are identical), explained_variance (1 − ΣVar(x − x̂) / ΣVar(x), in which a constant
        offset does not count; NaN likewise), cosine (mean of cos(x, x̂)), dead and dense (shares of features silent
        on, and active on more than 10 % of, these rows).
    """
    rows = []
    for split in SPLITS:
        for segment in ("all", *_SEGMENTS):
            members = _members(split, segment)
            if sums.scalars[members, 0].sum() > 0:
                rows.append({"layer": layer, "split": split, "segment": segment, **sums.describe(members)})
    return pl.DataFrame(rows)


def quality_summary(measured: pl.DataFrame) -> pl.DataFrame:
    """One row per layer, over all segments: what the test split measures, and fvu_train, dead and dense of training."""
    whole = measured.filter(pl.col("segment") == "all")
    test = whole.filter(pl.col("split") == "test").select("layer", "rows", "fvu", "explained_variance", "cosine", "l0")
    train = whole.filter(pl.col("split") == "train").select("layer", pl.col("fvu").alias("fvu_train"), "dead", "dense")
    names = ("layer", "rows", "fvu", "fvu_train", "explained_variance", "cosine", "l0", "dead", "dense")
    return train.join(test, on="layer", how="full", coalesce=True).sort("layer").select(names)


def _members(split: str, segment: str) -> list[int]:
    return [number for number, group in enumerate(_GROUPS) if group[0] == split and segment in ("all", group[1])]


def _group_of_row(tokens: pl.DataFrame, splits: pl.DataFrame) -> Int[np.ndarray, " T"]:
    frame = tokens.select("image_id", "segment", "special").join(
        splits.select("image_id", "split"), on="image_id", how="left", maintain_order="left"
    )
    number = pl.lit(-1)
    for group, (split, segment) in enumerate(_GROUPS):
        chosen = ~pl.col("special") & (pl.col("segment") == segment) & (pl.col("split") == split)
        number = pl.when(chosen).then(group).otherwise(number)
    return frame.select(number.cast(pl.Int64)).to_series().to_numpy()


@dataclass(frozen=True)
class GroupSums:
    """Sums over each group's rows.

    `scalars` [G, 5]: rows, ‖x − b‖², ‖x − x̂‖², cos(x, x̂), active features; `stream` [G, D]: x − b, with b the
    decoder's bias, which keeps the sums small; `offset` [G, D]: x − x̂; `active` [G, F]: rows on which a feature is
    active.
    """

    scalars: Float[np.ndarray, "G 5"]
    stream: Float[np.ndarray, "G D"]
    offset: Float[np.ndarray, "G D"]
    active: Float[np.ndarray, "G F"]

    def segment_means(self, bias: Float[np.ndarray, " D"]) -> dict[str, Float[np.ndarray, " D"]]:
        """Mean of the stream over the training rows of each segment (the decoder's bias where it has none)."""
        means = {}
        for segment in _SEGMENTS:
            group = _members("train", segment)
            means[segment] = self.stream[group].sum(axis=0) / max(self.scalars[group, 0].sum(), 1) + bias
        return means

    def describe(self, groups: list[int]) -> dict[str, float]:
        """The measures of `quality` over some groups together."""
        rows, squares, residual, cosine, entries = (float(v) for v in self.scalars[groups].sum(axis=0))
        spread = squares - float(np.square(self.stream[groups].sum(axis=0)).sum()) / rows
        variance = spread if spread > IDENTICAL * squares else 0.0
        forgiven = float(np.square(self.offset[groups].sum(axis=0)).sum()) / rows
        fvu, unexplained = (unexplained_share(error, variance) for error in (residual, residual - forgiven))
        rates = self.active[groups].sum(axis=0) / rows
        return {
            "rows": int(rows),
            "l0": entries / rows,
            "fvu": fvu,
            "explained_variance": 1 - unexplained,
            "cosine": cosine / rows,
            "dead": float((rates == 0).mean()),
            "dense": float((rates > DENSE_RATE).mean()),
        }


def sum_groups(inputs: LayerView, splits: pl.DataFrame) -> GroupSums:
    """Measure a layer's SAE in one pass over its rows; `splits` has image_id and split."""
    group_of_row = _group_of_row(inputs.table.tokens, splits)
    shape = len(_GROUPS)
    scalars = np.zeros((shape, 5))
    stream_sum, offset = (np.zeros((shape, inputs.table.d_model)) for _ in range(2))
    active = np.zeros((shape, inputs.index.num_features))
    decoder, bias = (_array(weights) for weights in (inputs.sae.W_dec, inputs.sae.b_dec))
    for start, stop, codes in code_blocks(inputs.index):
        grouping = _grouping(group_of_row[start:stop])
        stream = inputs.table.block(start, stop).numpy() - bias
        rebuilt = codes @ decoder
        scalars += grouping @ _row_scalars(stream, rebuilt, np.diff(codes.indptr), bias)
        stream_sum += grouping @ stream
        offset += grouping @ (stream - rebuilt)
        codes.data = (codes.data != 0).astype(np.float64)
        active += (grouping @ codes).toarray()
    return GroupSums(scalars, stream_sum, offset, active)


def _array(weights: Tensor) -> np.ndarray:
    return np.asarray(weights.detach().float().cpu().numpy())


def _row_scalars(
    stream: Float[np.ndarray, "T D"],
    rebuilt: Float[np.ndarray, "T D"],
    entries: Int[np.ndarray, " T"],
    bias: np.ndarray,
) -> Float[np.ndarray, "T 5"]:
    """Rows of `GroupSums.scalars`; `stream` and `rebuilt` are relative to the bias."""
    squares, residual = (np.square(x, dtype=np.float64).sum(axis=1) for x in (stream, stream - rebuilt))
    x, y = stream + bias, rebuilt + bias
    norms = np.maximum(np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1), 1e-12)
    cosine = np.einsum("td,td->t", x, y, dtype=np.float64) / norms
    return np.stack([np.ones(len(stream)), squares, residual, cosine, entries], axis=1)


def _grouping(groups: Int[np.ndarray, " T"]) -> sparse.csr_array:
    rows = np.flatnonzero(groups >= 0)
    return sparse.csr_array((np.ones(rows.size), (groups[rows], rows)), shape=(len(_GROUPS), groups.size))
