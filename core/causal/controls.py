"""Random features that could have been the chosen ones: as active, as strong, but not associated with gender."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from scipy import sparse
from torch import Tensor

from core.activations.positions import position_sets
from core.analysis.result import AnalysisInputs, LayerInputs
from core.features.associations import DECISION_SETS, associate, image_labels
from core.features.row_groups import code_blocks, feature_cells, find_cells
from core.lm.patched import CAPTION, IMAGE, LAST_PROMPT, PROMPT

SEGMENTS = (IMAGE, PROMPT, CAPTION, LAST_PROMPT)
"""Segment codes, in the order of a profile's rows."""
ASSOCIATED = 0.1
"""A feature with a smaller p, in any language and position set of the selection split, is no control."""
_TESTED = ("image", "last-prompt", "pre-gender", "first-gendered")
_NEAREST = 20
_FLOOR = 1e-8


@dataclass(frozen=True)
class Profile:
    """How features behave on the selection split, whatever the label, by segment (`SEGMENTS`) and language.

    `rate` is the share of rows they fire on, `mean` and `power` are the mean and the mean square of activations over
    all rows (decoder rows have unit length, so power is the mean squared contribution to the stream).
    """

    languages: tuple[str, ...]
    rows: Float[np.ndarray, "S L"]
    rate: Float[np.ndarray, "S L F"]
    mean: Float[np.ndarray, "S L F"]
    power: Float[np.ndarray, "S L F"]

    def means(self, features: Sequence[int], language: str) -> Mapping[int, Float[Tensor, " n"]]:
        """Mean activation of some features in each segment of a language, rows shared by all languages included."""
        place = self.languages.index(language)
        chosen = self.mean[:, place][:, list(features)]
        return {segment: torch.from_numpy(chosen[row]).float() for row, segment in enumerate(SEGMENTS)}

    def strength(self) -> Float[np.ndarray, " F"]:
        """Mean squared contribution over all rows."""
        weights = self.rows / max(self.rows.sum(), 1)
        return np.asarray((weights[:, :, None] * self.power).sum(axis=(0, 1)))


def profile_features(inputs: AnalysisInputs, layer_inputs: LayerInputs, split: str = "select") -> Profile:
    """Measure every feature of a layer in one pass over its index."""
    groups = _row_groups(inputs, layer_inputs.table.tokens, split)
    shape = (len(SEGMENTS) * (len(inputs.languages) + 1), layer_inputs.index.num_features)
    fired, sums, squares = (np.zeros(shape) for _ in range(3))
    for start, stop, block in code_blocks(layer_inputs):
        own = groups[start:stop]
        rows = np.flatnonzero(own >= 0)
        ones = np.ones(rows.size)
        grouping = sparse.csr_array((ones, (own[rows], rows)), shape=(shape[0], stop - start))
        sums += (grouping @ block).toarray()
        squares += (grouping @ block.power(2)).toarray()
        fired += (grouping @ (block != 0).astype(np.float64)).toarray()
    counts = np.bincount(groups[groups >= 0], minlength=shape[0]).astype(np.float64)
    return _profile(inputs.languages, counts, (fired, sums, squares))


def _profile(languages: tuple[str, ...], counts: np.ndarray, totals: Sequence[np.ndarray]) -> Profile:
    """Shared rows (language 0) count with every language's own."""

    def by_language(flat: np.ndarray) -> np.ndarray:
        cube = flat.reshape(len(SEGMENTS), len(languages) + 1, -1)
        return np.asarray(cube[:, 1:] + cube[:, :1])

    rows = by_language(counts[:, None])
    rate, mean, power = (by_language(total) / np.maximum(rows, 1) for total in totals)
    return Profile(languages, rows[:, :, 0], rate, mean, power)


def _row_groups(inputs: AnalysisInputs, tokens: pl.DataFrame, split: str) -> np.ndarray:
    """Each row's segment and language as one number, −1 for rows of other splits and other control tokens."""
    images = inputs.samples.filter(pl.col("split") == split)["image_id"].unique()
    last = position_sets(tokens, inputs.samples) == "last-prompt"
    names = {"image": 0, "prompt": 1, "caption": 2}
    tongues = {language: number + 1 for number, language in enumerate(inputs.languages)}
    segment = (
        pl.when(last)
        .then(3)
        .when(pl.col("special"))
        .then(None)
        .otherwise(pl.col("segment").cast(pl.String).replace_strict(names, default=None, return_dtype=pl.Int64))
    )
    language = pl.col("language").cast(pl.String).replace_strict(tongues, default=0, return_dtype=pl.Int64)
    group = (
        pl.when(pl.col("image_id").is_in(images.implode()))
        .then(segment * (len(inputs.languages) + 1) + language)
        .fill_null(-1)
    )
    return np.asarray(tokens.select(group.cast(pl.Int64)).to_series().to_numpy())


@dataclass(frozen=True)
class GenderScores:
    """What the selection split says of every feature: the least p it has anywhere, and which gender it speaks for."""

    least_p: Float[np.ndarray, " F"]
    leans: Mapping[str, Float[np.ndarray, " F"]]
    """AUROC − ½ by position set, averaged over languages (0 where a feature is not supported)."""

    @property
    def lean(self) -> Float[np.ndarray, " F"]:
        """The sum over the decision positions; the first gendered word's where those have nothing."""
        decision = sum((self.leans[name] for name in DECISION_SETS), np.zeros_like(self.least_p))
        return np.where(decision != 0, decision, self.leans["first-gendered"])

    def association(self, features: Sequence[int], position_sets: Sequence[str] = DECISION_SETS) -> float:
        """How strongly some features go with gender: their mean |AUROC − ½|, each at its best position set.

        A layer is picked for the headline by this, so that no test image takes part in the choice.
        """
        for names in (position_sets, ("first-gendered",)):
            strength = np.max([np.abs(self.leans[name][list(features)]) for name in names], axis=0)
            if strength.any():
                return float(strength.mean())
        return 0.0

    def signs(self, features: Sequence[int]) -> list[int]:
        """+1 for features of the female side, −1 for those of the male side."""
        return [1 if self.lean[feature] >= 0 else -1 for feature in features]


def gender_scores(inputs: AnalysisInputs, layer_inputs: LayerInputs) -> GenderScores:
    """Test all features of a layer on the selection split."""
    cells = feature_cells(layer_inputs, find_cells(layer_inputs.table.tokens, inputs.samples))
    least = np.ones(layer_inputs.index.num_features)
    leans = {name: np.zeros(layer_inputs.index.num_features) for name in _TESTED}
    for language in inputs.languages:
        labels = image_labels(inputs.samples, language)
        for name in _TESTED:
            tested = associate(cells, labels, language, name, "select")
            features = tested["feature"].to_numpy()
            least[features] = np.minimum(least[features], tested["p"].to_numpy())
            leans[name][features] += (tested["auroc"].to_numpy() - 0.5) / len(inputs.languages)
    return GenderScores(least, leans)


@dataclass(frozen=True)
class Control:
    """Random feature sets matched with the chosen one; `pool` is how many features they are drawn from."""

    draws: tuple[tuple[int, ...], ...]
    pool: int


def matched_controls(profile: Profile, scores: GenderScores, chosen: Sequence[int], draws: int, seed: int) -> Control:
    """Draw feature sets, one feature for each chosen one among the 20 nearest in firing rate and mean squared
    contribution, by segment and language; no feature twice in a set.

    Features associated with gender anywhere on the selection split are left out of the pool.
    """
    pool = _pool(profile, scores, chosen)
    if pool.size < len(chosen):
        return Control((), int(pool.size))
    traits = _traits(profile)
    nearest = [_nearest(traits, pool, feature) for feature in chosen]
    random = np.random.default_rng(seed)
    return Control(tuple(_draw(nearest, pool, random) for _ in range(draws)), int(pool.size))


def _pool(profile: Profile, scores: GenderScores, chosen: Sequence[int]) -> np.ndarray:
    free: Bool[np.ndarray, " F"] = (scores.least_p >= ASSOCIATED) & (profile.rate.sum(axis=(0, 1)) > 0)
    free[list(chosen)] = False
    return np.flatnonzero(free)


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


def _draw(nearest: Sequence[np.ndarray], pool: np.ndarray, random: np.random.Generator) -> tuple[int, ...]:
    taken: list[int] = []
    for candidates in nearest:
        free = np.setdiff1d(candidates, taken)
        free = free if free.size else np.setdiff1d(pool, taken)
        taken.append(int(random.choice(free)))
    return tuple(taken)
