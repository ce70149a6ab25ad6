"""Means by group, resampled over groups, then units within each; how they agree with a number known of each group."""

import math
from collections.abc import Callable, Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int

from core.stats.intervals import Interval, bootstrap_mean, permutation_p
from core.stats.permuted import rank_p
from core.stats.two_level import Nested

LEAST_GROUPS = 5
"""Fewest groups whose order is compared with anything."""
_AT_ONCE = 4_000_000

Groups = Float[np.ndarray, "draws G"]


@dataclass(frozen=True, eq=False)
class GroupMeans:
    """Values [n, V], NaN where unknown, in G groups (`codes` [n], 0 … G − 1); `units` [n] are drawn together."""

    values: Float[np.ndarray, "n V"]
    codes: Int[np.ndarray, " n"]
    units: Int[np.ndarray, " n"]

    @classmethod
    def of(
        cls, values: Float[np.ndarray, "n V"], groups: Sequence[Hashable], units: Int[np.ndarray, " n"]
    ) -> "GroupMeans":
        """Number the groups in the order of their names."""
        names = {name: code for code, name in enumerate(sorted(set(groups), key=str))}
        return cls(values, np.array([names[group] for group in groups], dtype=np.int64), units)

    @property
    def count(self) -> int:
        """How many groups there are."""
        return int(self.codes.max(initial=-1)) + 1

    @cached_property
    def nested(self) -> Nested:
        """What a resample draws."""
        return Nested.of(self.codes.tolist(), self.units)

    @cached_property
    def means(self) -> Float[np.ndarray, "G V"]:
        """The mean of each group over its values; NaN without any."""
        return np.asarray(self._weighted(np.ones((1, len(self.codes))))[1][0])

    def drawn(self, draws: int, seed: int) -> tuple[Groups, Float[np.ndarray, "draws G V"]]:
        """How many times each group stands in each resample, and its mean there; NaN where it has no value."""
        return self._weighted(self.nested.counts(draws, seed).astype(np.float64))

    def _weighted(self, counts: Float[np.ndarray, "draws n"]) -> tuple[Groups, Float[np.ndarray, "draws G V"]]:
        member = (self.codes[:, None] == np.arange(self.count)).astype(np.float64)
        times = counts @ member / np.maximum(member.sum(axis=0), 1)
        means = []
        for values in self.values.T:
            known = np.isfinite(values)[:, None] * member
            sums, whole = counts @ (known * np.nan_to_num(values)[:, None]), counts @ known
            means.append(np.divide(sums, whole, out=np.full(sums.shape, np.nan), where=whole > 0))
        return times, np.stack(means, axis=2)


@dataclass(frozen=True, eq=False)
class Agreement:
    """A number over groups with the ends of its interval (NaN: none), and the same in each draw of its control."""

    value: float
    low: float
    high: float
    null: Float[np.ndarray, " draws"] = field(repr=False)

    @classmethod
    def of(
        cls, value: float, drawn: Float[np.ndarray, " draws"] | None, null: Float[np.ndarray, " draws"]
    ) -> "Agreement":
        """With the percentile interval of resamples, those without a value left out; null: no interval."""
        finite = np.zeros(0) if drawn is None else drawn[np.isfinite(drawn)]
        low, high = np.quantile(finite, [0.025, 0.975]) if finite.size else (math.nan, math.nan)
        return cls(value, float(low), float(high), null)

    @property
    def p(self) -> float:
        """Two-sided: how far the value lies from the mean of all draws, itself among them."""
        return rank_p(self.value, self.null)


def columns_of(found: Agreement, above: bool = False) -> dict[str, float | int | None]:
    """An agreement as columns: value, low, high, permuted, permuted_low, permuted_high, draws, p; null where NaN.

    With `above` p is one-sided: only larger values count.
    """
    p = permutation_p(found.value, found.null) if above else found.p
    ends = np.quantile(found.null, [0.025, 0.975]) if found.null.size else (math.nan, math.nan)
    mean = found.null.mean().round(12) + 0.0 if found.null.size else math.nan  # a centred null leaves 1e-17
    names = ("value", "low", "high", "permuted", "permuted_low", "permuted_high", "p")
    values = (found.value, found.low, found.high, mean, *ends, p)
    known = {name: float(number) if math.isfinite(number) else None for name, number in zip(names, values, strict=True)}
    return {**known, "draws": found.null.size}


def weighted_spearman(x: Groups, y: Groups, times: Groups) -> Float[np.ndarray, " draws"]:
    """Spearman's rank correlation over groups that stand `times` times each, ties averaged, row by row; groups without
    a value are left out. NaN where one side is constant."""
    found = [_spearman(x[rows], y[rows], times[rows]) for rows in _portions(*x.shape)]
    return np.concatenate(found) if found else np.zeros(0)


def _portions(draws: int, groups: int) -> Iterator[slice]:
    size = max(1, _AT_ONCE // max(groups**2, 1))
    return (slice(start, start + size) for start in range(0, draws, size))


def _spearman(x: Groups, y: Groups, times: Groups) -> Float[np.ndarray, " draws"]:
    weight = np.where(np.isfinite(x) & np.isfinite(y), times, 0)
    first, second = _ranks(np.nan_to_num(x), weight), _ranks(np.nan_to_num(y), weight)
    scale = np.sqrt((weight * first**2).sum(axis=1) * (weight * second**2).sum(axis=1))
    products = (weight * first * second).sum(axis=1)
    return np.asarray(np.divide(products, scale, out=np.full(len(scale), np.nan), where=scale > 1e-9))


def _ranks(values: Groups, weight: Groups) -> Groups:
    """Mid-ranks less their mean, of values that stand `weight` times each."""
    below = np.sign(values[:, :, None] - values[:, None, :])
    ranks = np.einsum("dgh,dh->dg", below, weight)
    return np.asarray(ranks - (ranks * weight).sum(axis=1, keepdims=True) / np.maximum(weight.sum(axis=1), 1)[:, None])


def mean_error(x: Groups, y: Groups, times: Groups) -> Float[np.ndarray, " draws"]:
    """Mean absolute difference over groups that stand `times` times each, row by row."""
    weight = np.where(np.isfinite(x) & np.isfinite(y), times, 0)
    whole = weight.sum(axis=1)
    sums = (weight * np.abs(np.nan_to_num(x) - np.nan_to_num(y))).sum(axis=1)
    return np.asarray(np.divide(sums, whole, out=np.full(whole.shape, np.nan), where=whole > 0))


def agreement(
    groups: GroupMeans,
    columns: tuple[int, int],
    measure: Callable[[Groups, Groups, Groups], Float[np.ndarray, " draws"]],
    draws: tuple[int, int],
    seed: int,
) -> Agreement | None:
    """How the group means of two columns agree by `measure` (`weighted_spearman`, `mean_error`).

    Args:
        groups: the values.
        columns: the two columns of `values`; the second one's group means are permuted over groups for the control.
        measure: of group means and how often each group stands.
        draws: resamples (groups, then units within each), and permutations.
        seed: of both.

    Returns:
        The value, its percentile interval, the permuted one, and the two-sided p of the permutation; null with fewer
        than `LEAST_GROUPS` groups that have both numbers, or where one side is the same in all of them.
    """
    own, other = (groups.means[:, column] for column in columns)
    known = np.isfinite(own) & np.isfinite(other)
    if known.sum() < LEAST_GROUPS or np.ptp(own[known]) == 0 or np.ptp(other[known]) == 0:
        return None
    value = float(measure(own[None], other[None], np.ones((1, groups.count)))[0])
    times, means = groups.drawn(draws[0], seed)
    drawn = measure(means[:, :, columns[0]], means[:, :, columns[1]], times) if groups.nested.several else None
    shuffled = np.random.default_rng([seed, 1]).permuted(np.tile(other[known], (draws[1], 1)), axis=1)
    return Agreement.of(value, drawn, measure(np.tile(own[known], (draws[1], 1)), shuffled, np.ones(shuffled.shape)))


def explained(groups: GroupMeans, column: int, draws: int, seed: int) -> Agreement | None:
    """The share of a column's variance that groups explain: adjusted η² (ε², Kelley 1935), all values of which are
    known.

    Its control are values permuted over groups. Its interval is that of the F distribution, of groups drawn at random
    (Searle 1971, Linear Models, ch. 9; approximate where groups differ in size): resamples count a group that was drawn
    twice as two groups of equal means. Fewer than `LEAST_GROUPS` groups have none.

    Returns:
        Null with one group, no variance, or as many groups as values.
    """
    values, size, count = groups.values[:, column], len(groups.codes), groups.count
    if count < 2 or size <= count or np.ptp(values) == 0:
        return None
    member = groups.codes[:, None] == np.arange(count)
    once = np.ones((1, count))
    rng = np.random.default_rng([seed, 1])
    permuted = rng.permuted(np.tile(values, (draws, 1)), axis=1)
    null = np.array([_eta2(row, member, once)[0] for row in permuted])
    value = float(_eta2(values, member, once)[0])
    low, high = _f_ends(value, size, count) if count >= LEAST_GROUPS else (math.nan, math.nan)
    return Agreement(value, low, high, null)


def _f_ends(value: float, size: int, count: int) -> tuple[float, float]:
    """Ends of the 95 % interval of adjusted η² of `size` values in `count` groups: its F over F's own quantiles."""
    from scipy.stats import f  # what reads a finished study needs none of it

    free = (count - 1, size - count)
    if value >= 1:
        return 1.0, 1.0
    own = ((size - 1) / (1 - value) - free[1]) / free[0]
    low, high = (1 - (size - 1) / (free[1] + free[0] * own / f.ppf(part, *free)) for part in (0.975, 0.025))
    return float(low), float(high)


def groups_alone(count: int, draws: int, seed: int) -> Groups:
    """How many times each group stands in resamples that draw groups alone."""
    return np.random.default_rng(seed).multinomial(count, np.full(count, 1 / count), size=draws).astype(np.float64)


def _eta2(
    values: Float[np.ndarray, " n"], member: Bool[np.ndarray, "n G"], times: Groups
) -> Float[np.ndarray, " draws"]:
    """Adjusted η² where each group stands `times` times, with all its values."""
    sizes = member.sum(axis=0)
    means = values @ member / sizes
    within = times @ (np.square(values - means[member.argmax(axis=1)]) @ member)
    whole, kinds = times @ sizes, times.sum(axis=1)
    centre = times @ (sizes * means) / whole
    total = within + (times * sizes * np.square(means - centre[:, None])).sum(axis=1)
    spare = whole > kinds
    share = np.divide(within, total, out=np.full(total.shape, np.nan), where=(total > 0) & spare)
    return np.asarray(1 - share * (whole - 1) / np.maximum(whole - kinds, 1))


def mean_over_groups(groups: GroupMeans, column: int, draws: int, seed: int) -> Interval:
    """The mean over all values of a column, with the interval over groups, then units within each; over units alone
    where groups are `too_few`."""
    drawn = groups.units if too_few(groups, column) else groups.nested
    return bootstrap_mean(groups.values[:, column], draws, seed, drawn)


def too_few(groups: GroupMeans, column: int) -> bool:
    """Whether fewer than `LEAST_GROUPS` groups have a value of a column; those that share a unit are one."""
    return np.unique(groups.nested.groups[np.isfinite(groups.values[:, column])]).size < LEAST_GROUPS
