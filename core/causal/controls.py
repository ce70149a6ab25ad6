"""Random features that could have been the chosen ones: as active, as strong, but not associated with the concept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float, Int

from core.features.associations import Labels, associate
from core.features.layer_view import LayerView
from core.features.profile import SEGMENTS
from core.lm.patched import IMAGE, PROMPT

ASSOCIATED = 0.05
"""A feature with a smaller p, in any language and position set of one of `SPLITS`, is no control."""
SPLITS = ("train", "select")
"""All images but the test images: the selection split alone is small, and misses what moves the word."""
CALIPERS = (1.25, 1.5, 2.0)
"""Largest factor between a drawn set and the chosen one in firing rate, mean squared contribution and added norm: the
tightest that gives as many sets as were asked for, else the widest."""
LEAST = 19
"""Fewest distinct sets that are a control: fewer cannot reach p = 0.05."""
_NEAREST = 40
_ROUNDS, _PROPOSALS = 40, 5_000
_FLOOR = 1e-8


@dataclass(frozen=True)
class RandomSets:
    """Random feature sets matched with the chosen one, all different; `pool` is how many features they are drawn from.

    `draws` is empty where fewer than `LEAST` sets (or than were asked for) lie within the widest caliper: there is no
    match, and without a control nothing can be claimed. `caliper` is the one that they lie within.
    """

    draws: tuple[tuple[int, ...], ...]
    pool: int
    caliper: float | None = None


@dataclass(frozen=True)
class Traits:
    """What feature sets are matched on, on the selection split, by language; for single features, m is F.

    `rate` is the mean firing rate of a set's features and `contribution` their summed mean squared contribution to the
    stream (squared units of the stream), over all rows; `norm` is their summed mean activation on image rows, on prompt
    rows and on caption rows before the concept's first word: about the length that an ablation takes out of the stream
    where the outcome is measured.
    """

    rate: Float[np.ndarray, "L m"]
    contribution: Float[np.ndarray, "L m"]
    norm: Float[np.ndarray, "3 L m"]

    @classmethod
    def of_features(cls, view: LayerView) -> "Traits":
        """The traits of every feature by itself."""
        profile = view.profile
        weights = (profile.rows / np.maximum(profile.rows.sum(axis=0), 1))[:, :, None]
        parts = [profile.mean[SEGMENTS.index(code)] for code in (IMAGE, PROMPT)]
        return cls(
            (weights * profile.rate).sum(axis=0),
            (weights * profile.power).sum(axis=0),
            np.stack([*parts, _before_the_word(view)]),
        )

    def of_sets(self, sets: Int[np.ndarray, "m n"]) -> "Traits":
        """The traits of m sets of n features."""
        rate, contribution, norm = self.rate[:, sets], self.contribution[:, sets], self.norm[:, :, sets]
        return Traits(rate.mean(axis=-1), contribution.sum(axis=-1), norm.sum(axis=-1))

    def factors(self, own: "Traits") -> Float[np.ndarray, " m"]:
        """The largest factor between each of the sets and the one set of `own`, over traits and languages.

        Of a part where the chosen set writes next to nothing (a tenth of its norm in the part where it writes most), no
        more is asked than that a drawn set writes next to nothing as well.
        """
        slack = 0.1 * own.norm.max(axis=0)
        parts = (
            _factor(self.rate, own.rate),
            _factor(self.contribution, own.contribution),
            _factor(self.norm, own.norm, slack).max(axis=0),
        )
        return np.asarray(np.max(parts, axis=(0, 1)))


def matched_controls(view: LayerView, chosen: Sequence[int], draws: int, seed: int) -> RandomSets:
    """Draw different feature sets within a caliper of the chosen one; no feature twice in a set.

    A set has one feature for each chosen one, among the 40 nearest in firing rate, mean squared contribution and norm.
    Features associated with the concept anywhere outside the test images are left out.
    """
    pool, features = _pool(view, chosen), Traits.of_features(view)
    if pool.size < len(chosen):
        return RandomSets((), int(pool.size))
    found = _matching(features, chosen, _nearest(view, features, pool, chosen), draws, np.random.default_rng(seed))
    for caliper in CALIPERS:
        sets = tuple(drawn for drawn, factor in found if factor <= caliper)[:draws]
        if len(sets) == draws:
            break
    return (
        RandomSets(sets, int(pool.size), caliper) if len(sets) >= min(draws, LEAST) else RandomSets((), int(pool.size))
    )


def similar_controls(view: LayerView, chosen: Sequence[int], draws: int, seed: int) -> RandomSets:
    """The same without a caliper, for vectors that are scaled to one length, of which nothing but direction is left."""
    pool, features = _pool(view, chosen), Traits.of_features(view)
    if pool.size < len(chosen):
        return RandomSets((), int(pool.size))
    nearest = _nearest(view, features, pool, chosen)
    found = _matching(features, chosen, nearest, draws, np.random.default_rng(seed), widest=np.inf)
    sets = tuple(drawn for drawn, _ in found)[:draws]
    return RandomSets(sets if len(sets) >= min(draws, LEAST) else (), int(pool.size))


def _pool(view: LayerView, chosen: Sequence[int]) -> np.ndarray:
    free: Bool[np.ndarray, " F"] = (least_p(view) >= ASSOCIATED) & (view.profile.rate.sum(axis=(0, 1)) > 0)
    free[list(chosen)] = False
    return np.flatnonzero(free)


def least_p(view: LayerView) -> Float[np.ndarray, " F"]:
    """The least p of each feature over languages, all position sets of the concept (its later words too) and `SPLITS`.

    A feature without enough support for a test has 1.
    """
    least = np.ones(view.profile.rate.shape[2])
    for language in view.languages:
        labels = Labels.of(view.concept, view.samples, language)
        for name in view.concept.questions:
            for split in SPLITS:
                found = associate(view.feature_sums, labels, language, name, split)
                np.minimum.at(least, found["feature"].to_numpy(), found["p"].to_numpy())
    return least


def _nearest(view: LayerView, features: Traits, pool: np.ndarray, chosen: Sequence[int]) -> list[np.ndarray]:
    """For each chosen feature those of the pool that behave most like it, by segment and language."""
    seen = view.profile.rows.reshape(-1) > 0
    count = view.profile.rate.shape[2]
    parts = [part.reshape(-1, count)[seen] for part in (view.profile.rate, view.profile.power)]
    stacked = np.concatenate([*parts, features.norm.reshape(-1, count)])
    # Half of what a feature has on average: next to nothing is next to nothing, however many times less it is.
    logs = np.log(stacked + 0.5 * stacked.mean(axis=1, keepdims=True) + _FLOOR).T
    scaled = (logs - logs.mean(axis=0)) / np.maximum(logs.std(axis=0), _FLOOR)
    distances = (np.linalg.norm(scaled[pool] - scaled[feature], axis=1) for feature in chosen)
    return [pool[np.argsort(distance, kind="stable")[:_NEAREST]] for distance in distances]


def _before_the_word(view: LayerView) -> Float[np.ndarray, "L F"]:
    """Mean activation on caption rows before the concept's first word, over the selection split's images."""
    images = set(view.samples.filter(pl.col("split") == "select")["image_id"])
    means = []
    for language in view.languages:
        found = view.feature_sums.by_image(language, view.concept.positions.before)
        rows = [row for row, image in enumerate(found.images) if image in images]
        means.append(found.means[rows].mean(axis=0) if rows else np.zeros(view.profile.rate.shape[2]))
    return np.stack(means)


def _matching(
    features: Traits,
    chosen: Sequence[int],
    nearest: Sequence[np.ndarray],
    draws: int,
    random: np.random.Generator,
    widest: float = CALIPERS[-1],
) -> list[tuple[tuple[int, ...], float]]:
    """Different sets within the widest caliper, with their factors, in the order in which they were drawn.

    Drawing ends when there are `draws` within the tightest caliper (any, if the widest is infinite), or after `_ROUNDS`
    rounds.
    """
    own, enough = features.of_sets(np.array([chosen])), CALIPERS[0] if np.isfinite(widest) else widest
    kept: dict[tuple[int, ...], tuple[tuple[int, ...], float]] = {}
    for _ in range(_ROUNDS):
        proposed = np.stack([random.choice(candidates, size=_PROPOSALS) for candidates in nearest], axis=1)
        factors = features.of_sets(proposed).factors(own)
        near = factors <= widest
        for drawn, factor in zip(proposed[near].tolist(), factors[near].tolist(), strict=True):
            ordered = tuple(sorted(drawn))
            if len(set(ordered)) == len(ordered):
                kept.setdefault(ordered, (tuple(drawn), factor))
        if sum(factor <= enough for _, factor in kept.values()) >= draws:
            break
    return list(kept.values())


def _factor(
    values: Float[np.ndarray, "*s L m"], own: Float[np.ndarray, "*s L 1"], slack: float | Float[np.ndarray, "L 1"] = 0.0
) -> Float[np.ndarray, "*s L m"]:
    """How many times larger or smaller the values are, at least 1; infinite beside 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        larger, smaller = (values - slack) / own, own / (values + slack)
    larger = np.where(own > 0, larger, np.where(values <= slack, 1.0, np.inf))
    return np.asarray(np.maximum(np.maximum(larger, np.nan_to_num(smaller, nan=1.0, posinf=np.inf)), 1.0))
