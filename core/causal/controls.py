"""Random features that could have been the chosen ones: as active, as strong, but not associated with the concept."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.features.associations import Labels, associate
from core.features.layer_view import LayerView
from core.features.profile import SEGMENTS, Profile
from core.lm.patched import CAPTION, IMAGE, PROMPT

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
_PARTS = {"image": (IMAGE,), "text": (PROMPT, CAPTION)}


@dataclass(frozen=True)
class Control:
    """Random feature sets matched with the chosen one, all different; `pool` is how many features they are drawn from.

    `draws` is empty where fewer than `LEAST` sets (or than were asked for) lie within the widest caliper: there is no
    match, and without a control nothing can be claimed. `caliper` is the one that they lie within.
    """

    draws: tuple[tuple[int, ...], ...]
    pool: int
    caliper: float | None = None


@dataclass(frozen=True)
class Traits:
    """What feature sets are matched on, over the rows of the selection split, by language.

    `rate` is the mean firing rate of a set's features and `contribution` their summed mean squared contribution to the
    stream (squared units of the stream), over all rows; `norm` is the root of the latter by part (image rows; prompt
    and caption rows): about the length that an ablation takes out of the stream there.
    """

    rate: Float[np.ndarray, "L m"]
    contribution: Float[np.ndarray, "L m"]
    norm: Float[np.ndarray, "2 L m"]

    @classmethod
    def of(cls, profile: Profile, sets: Int[np.ndarray, "m n"]) -> "Traits":
        """The traits of m sets of n features."""
        everything = range(len(SEGMENTS))
        rate = _over_rows(profile.rows, profile.rate, everything)[:, sets].mean(axis=-1)
        contribution = _over_rows(profile.rows, profile.power, everything)[:, sets].sum(axis=-1)
        parts = [
            _over_rows(profile.rows, profile.power, [SEGMENTS.index(code) for code in codes])[:, sets].sum(axis=-1)
            for codes in _PARTS.values()
        ]
        return cls(rate, contribution, np.sqrt(np.stack(parts)))

    def factors(self, own: "Traits") -> Float[np.ndarray, " m"]:
        """The largest factor between each of the sets and the one set of `own`, over traits and languages.

        Of a part where the chosen set writes next to nothing (5 % of its norm over all rows), no more is asked than
        that a drawn set writes next to nothing as well.
        """
        slack = 0.05 * np.sqrt(own.contribution)
        parts = (
            _factor(self.rate, own.rate),
            _factor(self.contribution, own.contribution),
            _factor(self.norm, own.norm, slack).max(axis=0),
        )
        return np.asarray(np.max(parts, axis=(0, 1)))


def matched_controls(view: LayerView, chosen: Sequence[int], draws: int, seed: int) -> Control:
    """Draw different feature sets within a caliper of the chosen one; no feature twice in a set.

    A set has one feature for each chosen one, among the 40 nearest in firing rate and mean squared contribution by
    segment and language. Features associated with the concept anywhere outside the test images are left out.
    """
    pool = _pool(view, chosen)
    if pool.size < len(chosen):
        return Control((), int(pool.size))
    traits = _traits(view.profile)
    nearest = [_nearest(traits, pool, feature) for feature in chosen]
    found = _matching(view.profile, chosen, nearest, draws, np.random.default_rng(seed))
    for caliper in CALIPERS:
        sets = tuple(features for features, factor in found if factor <= caliper)[:draws]
        if len(sets) == draws:
            break
    return Control(sets, int(pool.size), caliper) if len(sets) >= min(draws, LEAST) else Control((), int(pool.size))


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


def _traits(profile: Profile) -> Float[np.ndarray, "F traits"]:
    """Log firing rates and log powers, each scaled to unit spread."""
    seen = profile.rows.reshape(-1) > 0
    features = profile.rate.shape[2]
    parts = [np.log(part.reshape(-1, features)[seen] + _FLOOR) for part in (profile.rate, profile.power)]
    stacked = np.concatenate(parts).T
    return np.asarray((stacked - stacked.mean(axis=0)) / np.maximum(stacked.std(axis=0), _FLOOR))


def _nearest(traits: np.ndarray, pool: np.ndarray, feature: int) -> np.ndarray:
    distance = np.linalg.norm(traits[pool] - traits[feature], axis=1)
    return pool[np.argsort(distance, kind="stable")[:_NEAREST]]


def _matching(
    profile: Profile, chosen: Sequence[int], nearest: Sequence[np.ndarray], draws: int, random: np.random.Generator
) -> list[tuple[tuple[int, ...], float]]:
    """Different sets within the widest caliper, with their factors, in the order in which they were drawn.

    Drawing ends when there are `draws` within the tightest caliper, or after `_ROUNDS` rounds.
    """
    own = Traits.of(profile, np.array([chosen]))
    kept: dict[tuple[int, ...], tuple[tuple[int, ...], float]] = {}
    for _ in range(_ROUNDS):
        proposed = np.stack([random.choice(candidates, size=_PROPOSALS) for candidates in nearest], axis=1)
        factors = Traits.of(profile, proposed).factors(own)
        near = factors <= CALIPERS[-1]
        for features, factor in zip(proposed[near].tolist(), factors[near].tolist(), strict=True):
            ordered = tuple(sorted(features))
            if len(set(ordered)) == len(ordered):
                kept.setdefault(ordered, (tuple(features), factor))
        if sum(factor <= CALIPERS[0] for _, factor in kept.values()) >= draws:
            break
    return list(kept.values())


def _over_rows(
    rows: Float[np.ndarray, "S L"], values: Float[np.ndarray, "S L F"], places: Sequence[int]
) -> Float[np.ndarray, "L F"]:
    """Means over the rows of some segments, by language; 0 where there are no rows."""
    chosen = list(places)
    counts = rows[chosen]
    return np.asarray((counts[:, :, None] * values[chosen]).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)[:, None])


def _factor(
    values: Float[np.ndarray, "*s L m"], own: Float[np.ndarray, "*s L 1"], slack: float | Float[np.ndarray, "L 1"] = 0.0
) -> Float[np.ndarray, "*s L m"]:
    """How many times larger or smaller the values are, at least 1; infinite beside 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        larger, smaller = (values - slack) / own, own / (values + slack)
    larger = np.where(own > 0, larger, np.where(values <= slack, 1.0, np.inf))
    return np.asarray(np.maximum(np.maximum(larger, np.nan_to_num(smaller, nan=1.0, posinf=np.inf)), 1.0))
