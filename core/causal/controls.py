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
CALIPER = 1.5
"""Largest factor between a drawn set and the chosen one in firing rate, mean squared contribution and added norm."""
LEAST = 19
"""Fewest distinct sets that are a control: fewer cannot reach p = 0.05."""
_NEAREST = 40
_ROUNDS, _PROPOSALS = 20, 5_000
_FLOOR = 1e-8
_PARTS = {"image": (IMAGE,), "text": (PROMPT, CAPTION)}


@dataclass(frozen=True)
class Control:
    """Random feature sets matched with the chosen one, all different; `pool` is how many features they are drawn from.

    `draws` is empty where fewer than `LEAST` sets (or than were asked for) lie within the caliper: there is no match,
    and without a control nothing can be claimed.
    """

    draws: tuple[tuple[int, ...], ...]
    pool: int


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

    def within(self, own: "Traits", caliper: float) -> Bool[np.ndarray, " m"]:
        """Which of the sets differ from the one set of `own` by the factor at most, in every trait and language.

        Of a part where the chosen set writes next to nothing (5 % of its norm over all rows), no more is asked than
        that a drawn set writes next to nothing as well.
        """
        slack = 0.05 * np.sqrt(own.contribution)
        near = (
            _is_near(self.rate, own.rate, caliper),
            _is_near(self.contribution, own.contribution, caliper),
            _is_near(self.norm, own.norm, caliper, slack).all(axis=0),
        )
        return np.asarray(np.all(near, axis=(0, 1)))


def matched_controls(view: LayerView, chosen: Sequence[int], draws: int, seed: int) -> Control:
    """Draw different feature sets within the caliper of the chosen one; no feature twice in a set.

    A set has one feature for each chosen one, among the 40 nearest in firing rate and mean squared contribution by
    segment and language. Features associated with the concept anywhere outside the test images are left out.
    """
    pool = _pool(view, chosen)
    if pool.size < len(chosen):
        return Control((), int(pool.size))
    traits = _traits(view.profile)
    nearest = [_nearest(traits, pool, feature) for feature in chosen]
    sets = _matching(view.profile, chosen, nearest, draws, np.random.default_rng(seed))
    return Control(sets if len(sets) >= min(draws, LEAST) else (), int(pool.size))


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
) -> tuple[tuple[int, ...], ...]:
    """The first `draws` different sets within the caliper, of at most `_ROUNDS` rounds of proposals."""
    own = Traits.of(profile, np.array([chosen]))
    kept: dict[tuple[int, ...], tuple[int, ...]] = {}
    for _ in range(_ROUNDS):
        proposed = np.stack([random.choice(candidates, size=_PROPOSALS) for candidates in nearest], axis=1)
        near = Traits.of(profile, proposed).within(own, CALIPER)
        for features in proposed[near].tolist():
            ordered = tuple(sorted(features))
            if len(set(ordered)) == len(ordered):
                kept.setdefault(ordered, tuple(features))
        if len(kept) >= draws:
            break
    return tuple(kept.values())[:draws]


def _over_rows(
    rows: Float[np.ndarray, "S L"], values: Float[np.ndarray, "S L F"], places: Sequence[int]
) -> Float[np.ndarray, "L F"]:
    """Means over the rows of some segments, by language; 0 where there are no rows."""
    chosen = list(places)
    counts = rows[chosen]
    return np.asarray((counts[:, :, None] * values[chosen]).sum(axis=0) / np.maximum(counts.sum(axis=0), 1)[:, None])


def _is_near(
    values: Float[np.ndarray, "*s L m"],
    own: Float[np.ndarray, "*s L 1"],
    caliper: float,
    slack: float | Float[np.ndarray, "L 1"] = 0.0,
) -> Bool[np.ndarray, "*s L m"]:
    return np.asarray((values <= own * caliper + slack) & (values >= own / caliper - slack))
