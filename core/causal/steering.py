"""Vectors to steer with, and the response to them at one layer and in one language."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.controls import RandomSets
from core.causal.interventions import Steering
from core.causal.pairs import MinimalPair
from core.causal.runs import CaptionRuns, PairRuns, relative_norms
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.row_groups import stream_means
from core.lm.loaded import LoadedModel

FEATURES, DIFFERENCE = "features", "difference of means"
QUANTILE = 0.995
RANDOM = pl.Schema(
    {
        "language": pl.String,
        "draw": pl.Int64,
        "image_id": pl.String,
        "sample_id": pl.String,
        "log_odds": pl.Float64,
    }
)
"""Responses of random vectors, one row per caption and draw."""


@dataclass(frozen=True)
class Directions:
    """What is added at dose 1, by name: every vector toward the concept's first side, the comparators as long as the
    features'.

    `random` are sets of matched, unassociated features with random signs, scaled alike.
    """

    vectors: Mapping[str, Float[Tensor, " D"]]
    random: tuple[Float[Tensor, " D"], ...]
    quantiles: tuple[float, ...]
    signs: tuple[int, ...]


def feature_vector(view: LayerView, features: Sequence[int], signs: Sequence[int]) -> Float[Tensor, " D"]:
    """Σ_f sign_f · q_f · d_f, q_f being the feature's 99.5th percentile when active."""
    scales = torch.tensor([sign * upper_quantile(view, f) for sign, f in zip(signs, features, strict=True)])
    decoder = view.sae.W_dec.detach()[list(features)].float().cpu()
    vector: Tensor = scales.to(decoder) @ decoder
    return vector


def upper_quantile(view: LayerView, feature: int) -> float:
    """The feature's 99.5th percentile over the rows, special ones left out, on which it is active; 0 if it never is."""
    rows, values = view.index.csc(feature)
    usable = ~view.table.tokens["special"].to_numpy()[np.asarray(rows, dtype=np.int64)]
    active = np.asarray(values, dtype=np.float64)[usable]
    return float(np.quantile(active, QUANTILE)) if active.size else 0.0


def difference_of_means(view: LayerView) -> Float[Tensor, " D"] | None:
    """Mean of the stream on the first side minus that on the other, at the decision positions of the selection split,
    languages averaged."""
    concept = view.concept
    for names in (concept.decision_sets, (concept.positions.first,)):
        found = []
        for language in view.languages:
            labels = Labels.of(concept, view.samples, language)
            for name in names:
                images, means = stream_means(view.stream_sums, view.groups, language, name)
                known = labelled_images(images, labels, "select")
                if known is not None:
                    rows = means[known.rows]
                    found.append(rows[known.positive].mean(axis=0) - rows[~known.positive].mean(axis=0))
        if found:
            return torch.from_numpy(np.mean(found, axis=0)).float()
    return None


def directions(view: LayerView, features: Sequence[int], control: RandomSets, seed: int) -> Directions:
    """The vectors of one layer."""
    signs = view.ranking.signs(features)
    own = feature_vector(view, features, signs)
    vectors = {FEATURES: own}
    difference = difference_of_means(view)
    if difference is not None and float(difference.norm()) > 0:
        vectors[DIFFERENCE] = difference / difference.norm() * own.norm()
    generator = np.random.default_rng(seed)
    random = []
    for drawn in control.draws:
        vector = feature_vector(view, drawn, generator.choice([-1, 1], size=len(drawn)).tolist())
        random.append(vector / vector.norm().clamp(min=1e-12) * own.norm())
    quantiles = tuple(upper_quantile(view, feature) for feature in features)
    return Directions(vectors, tuple(random), quantiles, tuple(signs))


class SteeringRuns:
    """Minimal pairs and whole captions of one language, steered; every frame has one row per caption."""

    def __init__(
        self, loaded: LoadedModel, language: str, pairs: Sequence[MinimalPair], ends: Bool[Tensor, " V"]
    ) -> None:
        self.language = language
        self._loaded, self._pairs = loaded, PairRuns(loaded, pairs, ends)

    @property
    def pairs(self) -> Sequence[MinimalPair]:
        """The pairs, one per caption."""
        return self._pairs.pairs

    @cached_property
    def _captions(self) -> CaptionRuns:
        return CaptionRuns(self._loaded, self._pairs.pairs)

    def respond(self, opened: LayerView, steer: Directions, doses: Sequence[float]) -> pl.DataFrame:
        """Every vector at every dose: language, vector, dose, image_id, sample_id, log_odds (nats), caption_ce (nats a
        token), relative_norm (of the dose)."""
        layer, sites = opened.layer, self._pairs.sites(opened)
        captions = self._captions.sites(opened)
        clean = self._captions.clean_states(layer, captions)
        frames = []
        for name, vector in steer.vectors.items():
            for dose in doses:
                patch = Steering(vector * dose)
                _, entropy = self._captions.divergence(layer, captions, clean, patch)
                found = (self._pairs.patched(layer, sites, patch), entropy)
                frames.append(self._frame(name, dose, found, relative_norms(sites, patch.delta)))
        return pl.concat(frames)

    def respond_briefly(
        self, opened: LayerView, vectors: Mapping[str, Float[Tensor, " D"]], doses: Sequence[float]
    ) -> pl.DataFrame:
        """The same of other vectors, without what other words pay: `caption_ce` is NaN."""
        layer, sites = opened.layer, self._pairs.sites(opened)
        nothing = np.full(len(self._pairs.pairs), np.nan)
        frames = []
        for name, vector in vectors.items():
            for dose in doses:
                patch = Steering(vector * dose)
                found = (self._pairs.patched(layer, sites, patch), nothing)
                frames.append(self._frame(name, dose, found, relative_norms(sites, patch.delta)))
        return pl.concat(frames)

    def respond_clean(self, opened: LayerView, steer: Directions) -> pl.DataFrame:
        """What `respond` gives for the features' vector at dose 0."""
        return self.respond(opened, replace(steer, vectors={FEATURES: steer.vectors[FEATURES]}), [0.0])

    def _frame(self, name: str, dose: float, found: tuple[np.ndarray, np.ndarray], norm: float) -> pl.DataFrame:
        pairs = self._pairs.pairs
        columns = {
            "language": [self.language] * len(pairs),
            "vector": [name] * len(pairs),
            "dose": [float(dose)] * len(pairs),
            "image_id": [pair.image_id for pair in pairs],
            "sample_id": [pair.sample_id for pair in pairs],
            "log_odds": found[0],
            "caption_ce": found[1],
            "relative_norm": [norm] * len(pairs),
        }
        return pl.DataFrame(columns)

    def random_slopes(self, opened: LayerView, steer: Directions, between: tuple[float, float]) -> pl.DataFrame:
        """Every random vector's slope between two doses, one below and one above 0: language, draw, image_id,
        sample_id, slope."""
        low, high = between
        above, below = (self.random_responses(opened, steer, dose) for dose in (high, low))
        slope = ((above["log_odds"] - below["log_odds"]) / (high - low)).alias("slope")
        return above.drop("log_odds").with_columns(slope)

    def random_responses(self, opened: LayerView, steer: Directions, dose: float) -> pl.DataFrame:
        """Every random vector at one dose: language, draw, image_id, sample_id, log_odds."""
        layer, sites, pairs = opened.layer, self._pairs.sites(opened), self._pairs.pairs
        frames = [RANDOM.to_frame()]
        for number, vector in enumerate(steer.random):
            columns = {
                "language": [self.language] * len(pairs),
                "draw": [number] * len(pairs),
                "image_id": [pair.image_id for pair in pairs],
                "sample_id": [pair.sample_id for pair in pairs],
                "log_odds": self._pairs.patched(layer, sites, Steering(vector * dose)),
            }
            frames.append(pl.DataFrame(columns, schema=RANDOM))
        return pl.concat(frames)
