"""Whether a feature follows one thing of a sentence rather than another: pairs that differ in that one thing alone.

Each pair is two sentences of one scene. The response to a flip is the mean over a scene's pairs of the absolute change
of the activation at the last token, in standard deviations of the feature over all sentences.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.errors import BadInput
from core.stats.intervals import bootstrap_mean
from core.stats.permuted import rank_p, sign_flip_p


@dataclass(frozen=True)
class Flip:
    """What the two sentences of a pair differ in: their values in one column."""

    column: str
    between: tuple[str, str]

    def pairs(self, sentences: pl.DataFrame, fixed: Sequence[str]) -> Int[np.ndarray, "P 2"]:
        """The rows of each pair, which agree in the columns `fixed`, in the order of `between`.

        Raises:
            BadInput: a column is missing, several sentences are one side of a pair, or there is no pair.
        """
        missing = [name for name in (self.column, *fixed) if name not in sentences.columns]
        if missing:
            raise BadInput(f"flip of {self.column}: the sentences have no column {missing[0]!r}")
        rows = sentences.select(self.column, *fixed).with_row_index("row")
        sides = [rows.filter(pl.col(self.column) == value).drop(self.column) for value in self.between]
        if any(side.select(fixed).is_duplicated().any() for side in sides):
            raise BadInput(f"flip of {self.column}: several sentences agree in {', '.join(fixed)}; name more columns")
        joined = sides[0].join(sides[1], on=list(fixed), how="inner", nulls_equal=True, maintain_order="left")
        if joined.is_empty():
            raise BadInput(f"flip of {self.column}: no two sentences differ in {' and '.join(self.between)} alone")
        return joined.select("row", "row_right").to_numpy().astype(np.int64)


@dataclass(frozen=True)
class Preference:
    """How much more a feature responds to its own flip than to the other, in standard deviations of its activation.

    `own` and `other` are the two responses; `low` and `high` are the ends of `value`'s 95 % bootstrap interval over
    `scenes`. `control` and its ends (2.5th and 97.5th percentile) are the same of `controls` other features, null where
    there are none; `p` is two-sided, the larger of that against them and of that against exchanged flips.
    """

    value: float
    low: float
    high: float
    own: float
    other: float
    scenes: int
    control: float | None
    control_low: float | None
    control_high: float | None
    controls: int
    p: float | None


def responses(
    active: Float[np.ndarray, "N F"], pairs: Int[np.ndarray, "P 2"], scenes: Int[np.ndarray, " N"]
) -> Float[np.ndarray, "S F"]:
    """The response of each feature to a flip, scene by scene in the order of their numbers; NaN where a scene has no
    pair, or a feature never changes."""
    spread = active.std(axis=0)
    changes = np.abs(active[pairs[:, 0]] - active[pairs[:, 1]]) / np.where(spread > 0, spread, np.nan)
    which = scenes[pairs[:, 0]]
    counts = np.bincount(which, minlength=int(scenes.max()) + 1).astype(np.float64)
    sums = np.zeros((len(counts), active.shape[1]))
    np.add.at(sums, which, changes)
    return np.asarray(sums / np.where(counts > 0, counts, np.nan)[:, None])


def preference(
    active: Float[np.ndarray, "N F"],
    scenes: np.ndarray,
    flips: tuple[Int[np.ndarray, "P 2"], Int[np.ndarray, "Q 2"]],
    draws: int,
    seed: int,
) -> Preference:
    """Compare the response of the first feature to its own flip with that to the other; the further ones are controls.

    Args:
        active: activations at the last token; the feature's own column is the first.
        scenes: what each sentence is a version of.
        flips: the pairs of the own and of the other flip.
        draws: bootstrap resamples, and exchanges of the two flips within scenes.
        seed: of both.

    Raises:
        BadInput: the feature is equally active on all sentences, or no scene has pairs of both flips.
    """
    codes = np.unique(scenes, return_inverse=True)[1]
    own, other = (responses(active, pairs, codes) for pairs in flips)
    whole = np.isfinite(own[:, 0] - other[:, 0])
    if not whole.any():
        raise BadInput("the feature is as active on all sentences, or no scene has pairs of both flips")
    differences = own[whole] - other[whole]
    first = differences[:, 0]
    low, value, high = bootstrap_mean(first, draws, seed)
    drawn = differences[:, 1:].mean(axis=0)
    drawn = drawn[np.isfinite(drawn)]
    ends = [float(end) for end in np.quantile(drawn, [0.025, 0.975])] if drawn.size else [None, None]
    return Preference(
        value=value,
        low=low,
        high=high,
        own=float(own[whole, 0].mean()),
        other=float(other[whole, 0].mean()),
        scenes=len(first),
        control=float(drawn.mean()) if drawn.size else None,
        control_low=ends[0],
        control_high=ends[1],
        controls=int(drawn.size),
        p=max(rank_p(value, drawn), sign_flip_p(first, draws, seed)) if drawn.size else None,
    )
