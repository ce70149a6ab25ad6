"""How alike a feature behaves on an image's two captions, and which features of the languages go together."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int
from scipy import sparse

from core.analysis.alignment.design import Design
from core.analysis.alignment.values import OverImages
from core.features.caption_rows import PairedCaptions
from core.features.shuffles import exchanged
from core.stats.matching import MIN_ROWS, QUANTILE, Pairs, match_decoders

MATCHINGS = 20
"""Shuffles behind the threshold of a match at most; fewer, two at least, where these give `ENOUGH` matches."""
ENOUGH = 4000
_BLOCK = 1024

FEATURES = pl.Schema(
    {
        "feature": pl.UInt32,
        **dict.fromkeys(("correlation", "jaccard", "p"), pl.Float64),
        "counterpart": pl.UInt32,
        "counterpart_correlation": pl.Float64,
    }
)
"""One row a live feature."""


@dataclass(frozen=True)
class SameImage:
    """`correlation` and `jaccard` are means over features that are active on at least ten images in each language.

    `matched` are the languages' mutual nearest features beyond those of shuffled pairs, of `live` ones that are active
    on at least ten images in the first.
    """

    table: pl.DataFrame
    correlation: OverImages
    jaccard: OverImages
    matched: Pairs
    live: int

    @property
    def same(self) -> int:
        """How many features are their own counterpart."""
        return int((self.matched.first == self.matched.second).sum())


def compare_captions(captions: PairedCaptions, design: Design, seed: int) -> SameImage:
    """Compare a layer's features on the first and the second captions of `design.images`."""
    first, second = captions.first.means, captions.second.means
    live = np.flatnonzero(live_features(first) & live_features(second))
    blocks = [live[start : start + _BLOCK] for start in range(0, max(live.size, 1), _BLOCK)]
    parts: tuple[list[_Measured], list[_Measured]] = ([], [])
    for own in blocks:
        one, other = (side[:, own].toarray().astype(np.float64) for side in (first, second))
        parts[0].append(measured(one, other, design, correlated))
        parts[1].append(measured(_fires(one), _fires(other), design, jaccard))
    matched = matched_features(first, second, design, seed)
    return SameImage(
        table=_table(live, parts, design, matched),
        correlation=_joined(parts[0]),
        jaccard=_joined(parts[1]),
        matched=matched,
        live=int(live_features(first).sum()),
    )


def matched_features(first: sparse.csr_array, second: sparse.csr_array, design: Design, seed: int) -> Pairs:
    """Mutual nearest features whose correlation over images exceeds the 99.9th percentile of those of shuffled pairs.

    A correlation is the cosine of values less their mean, so that features are matched as directions are, by blocks.
    """
    alive = live_features(first), live_features(second)
    lower, upper = _centred(first), _centred(second)
    fewest = max(1, min(int(live.sum()) for live in alive))
    rng = np.random.default_rng(seed)
    orders = [exchanged(design.strata, rng) for _ in range(min(MATCHINGS, max(2, -(-ENOUGH // fewest))))]
    null = np.concatenate([match_decoders(lower, upper[:, order], alive).value for order in orders])
    pairs = match_decoders(lower, upper, alive)
    kept = pairs.value > (np.quantile(null, QUANTILE) if null.size else math.inf)
    return Pairs(pairs.first[kept], pairs.second[kept], pairs.value[kept])


def live_features(means: sparse.csr_array) -> Bool[np.ndarray, " F"]:
    """The features that are active on at least ten of the images."""
    return np.asarray(np.bincount(means.indices, minlength=means.shape[1]) >= MIN_ROWS)


def _centred(means: sparse.csr_array) -> Float[np.ndarray, "F N"]:
    dense = means.toarray().astype(np.float32)
    return np.ascontiguousarray((dense - dense.mean(axis=0)).T)


@dataclass(frozen=True)
class _Measured:
    """A measure of B features, and how many shuffles reach it; beside them its sum over those that have one and their
    number, in each resample and in each shuffle."""

    observed: Float[np.ndarray, " B"]
    exceeding: Int[np.ndarray, " B"]
    resampled: Float[np.ndarray, "draws 2"]
    shuffled: Float[np.ndarray, "permutations 2"]


Measure = Callable[[Float[np.ndarray, "6 *draws B"]], Float[np.ndarray, "*draws B"]]
"""From the sums of 1, x, y, x², y² and xy over images."""


def correlated(sums: Float[np.ndarray, "6 *draws B"]) -> Float[np.ndarray, "*draws B"]:
    """Pearson's correlation; NaN where one is constant."""
    n, x, y, xx, yy, xy = sums
    spread = (n * xx - x * x) * (n * yy - y * y)
    known = (n * xx - x * x > 1e-9 * n * xx) & (n * yy - y * y > 1e-9 * n * yy)
    return np.asarray(np.where(known, (n * xy - x * y) / np.sqrt(np.where(known, spread, 1)), math.nan))


def jaccard(sums: Float[np.ndarray, "6 *draws B"]) -> Float[np.ndarray, "*draws B"]:
    """Images on both of whose captions a feature fires over those on either; of values that are 0 or 1."""
    _, x, y, _, _, xy = sums
    either = x + y - xy
    return np.asarray(np.where(either > 0, xy / np.where(either > 0, either, 1), math.nan))


def measured(first: np.ndarray, second: np.ndarray, design: Design, measure: Measure) -> _Measured:
    """A measure of features [N, B] on the first and the second captions."""
    one = np.ones(first.shape)
    terms = np.stack([one, first, second, first**2, second**2, first * second])
    sums = terms.sum(axis=1)
    observed, resampled = measure(sums), measure(np.stack([design.counts @ term for term in terms]))
    shuffled, exceeding = np.zeros((len(design.orders), 2)), np.zeros(observed.size, np.int64)
    for draw, order in enumerate(design.orders):
        sums[5] = np.einsum("nb,nb->b", first, second[order])
        found = measure(sums)
        shuffled[draw] = np.nansum(found), np.isfinite(found).sum()
        exceeding += found >= observed - 1e-9
    counted = np.stack([np.nansum(resampled, axis=-1), np.isfinite(resampled).sum(axis=-1)], axis=-1)
    return _Measured(observed, exceeding, counted, shuffled)


def _joined(parts: Sequence[_Measured]) -> OverImages:
    observed = np.concatenate([part.observed for part in parts])
    resampled = np.sum([part.resampled for part in parts], axis=0)
    shuffled = np.sum([part.shuffled for part in parts], axis=0)
    value = float(np.nanmean(observed)) if np.isfinite(observed).any() else math.nan
    return OverImages(value, _mean(resampled), _mean(shuffled))


def _fires(values: Float[np.ndarray, "N B"]) -> Float[np.ndarray, "N B"]:
    return (values > 0).astype(np.float64)


def _mean(counted: Float[np.ndarray, "draws 2"]) -> Float[np.ndarray, " draws"]:
    sums, counts = counted.T
    return np.asarray(np.divide(sums, counts, out=np.full(counts.shape, math.nan), where=counts > 0))


def _table(
    live: Int[np.ndarray, " B"], parts: tuple[Sequence[_Measured], Sequence[_Measured]], design: Design, matched: Pairs
) -> pl.DataFrame:
    own, other = parts
    exceeding = np.concatenate([part.exceeding for part in own])
    correlation = np.concatenate([part.observed for part in own])
    table = pl.DataFrame(
        {
            "feature": live,
            "correlation": correlation,
            "jaccard": np.concatenate([part.observed for part in other]),
            "p": np.where(np.isfinite(correlation), (1 + exceeding) / (1 + len(design.orders)), math.nan),
        }
    ).with_columns(pl.col("p").fill_nan(None))
    pairs = {"feature": matched.first, "counterpart": matched.second, "counterpart_correlation": matched.value}
    joined = table.join(pl.DataFrame(pairs), on="feature", how="left", maintain_order="left")
    return joined.select(FEATURES.names()).cast(FEATURES)
