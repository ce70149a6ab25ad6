"""What one language's directions do to the concept's first word in captions of every language.

x ← x ± c·v at every image, prompt and caption position, c such that every vector has the same mean ‖Δx‖ / ‖x‖ in every
language. Effect: log p(word of the first side) − log p(word of the other), half its difference between up and down, in
nats, by caption; even parts of the response, which any large change has, fall out.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from jaxtyping import Bool, Float
from torch import Tensor

from core.analysis.contrast import Interventions
from core.analysis.contrast.vectors import Vectors, strength, vectors_of
from core.causal.interventions import EditSite, Steering
from core.causal.pairs import MinimalPair, choose_samples, find_pairs, shared_contexts
from core.causal.runs import PairRuns, relative_norms
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.outcomes import word_ends
from core.stats.picking import of_layers

OWN = -1
"""The number of the fitted vector; random ones count from 0."""
RESPONSES = pl.Schema(
    {
        **dict.fromkeys(("source", "target", "vector"), pl.String),
        "draw": pl.Int64,
        "image_id": pl.String,
        "effect": pl.Float64,
    }
)
"""One row a vector's language, captions' language, kind of vector, draw and caption."""


@dataclass(frozen=True)
class Steered:
    """The responses at one layer, and what they were made with; `chosen` says how the layer was picked."""

    layer: int
    chosen: str
    responses: pl.DataFrame
    vectors: Mapping[str, Vectors]
    pairs: Mapping[str, Sequence[MinimalPair]]
    notes: tuple[str, ...]


class _Target:
    """The pairs of one language at one layer, steered by vectors of one added norm."""

    def __init__(
        self, loaded: LoadedModel, view: LayerView, pairs: Sequence[MinimalPair], ends: Bool[Tensor, " V"]
    ) -> None:
        self.pairs, self._view = pairs, view
        self._runs = PairRuns(loaded, pairs, ends)
        self._sites: list[EditSite] = self._runs.sites(view)

    def effect(self, vector: Float[Tensor, " D"], norm: float) -> Float[np.ndarray, " N"]:
        """The effect of a vector at a mean ‖Δx‖ / ‖x‖, pair by pair."""
        scaled = vector * (norm / relative_norms(self._sites, Steering(vector).delta))
        up, down = (self._runs.patched(self._view.layer, self._sites, Steering(v)) for v in (scaled, -scaled))
        return np.asarray((up - down) / 2)


def steer(inputs: AnalysisInputs, config: Interventions) -> Steered | None:
    """Steer captions of every language with every language's vectors; null where a language has none, or no caption."""
    loaded = inputs.open_model()
    chosen, ends = choose_samples(inputs, config.images), word_ends(loaded)
    pairs = {language: find_pairs(inputs, loaded, chosen.captions, language)[0] for language in inputs.languages}
    view, how = _picked(inputs, config)
    vectors = {name: vectors_of(view, name, config.features, config.draws, inputs.seed) for name in inputs.languages}
    if not all(pairs.values()) or not all(one.own for one in vectors.values()):
        return None
    frames = [RESPONSES.to_frame()]
    for number, (language, own) in enumerate(pairs.items()):
        target = _Target(loaded, view, own, ends)
        frames += [_frame(one, language, target, config.norm) for one in vectors.values()]
        inputs.progress(number + 1, len(pairs))
    notes = [note for name, own in pairs.items() for note in shared_contexts(own, name, inputs.counted)]
    return Steered(view.layer, how, pl.concat(frames), vectors, pairs, tuple(notes))


def _picked(inputs: AnalysisInputs, config: Interventions) -> tuple[LayerView, str]:
    """The layer at which each language's own features go most with the concept; the lower one of equals."""
    asked = inputs.layers if config.layers == "all" else config.layers
    near = sorted({min(inputs.layers, key=lambda layer: abs(layer - one)) for one in asked})
    views = [inputs.open_layer(layer) for layer in near]
    view = max(views, key=lambda one: strength(one, inputs.languages, config.features))
    return view, of_layers(len(views), inputs.concept.name)


def _frame(vectors: Vectors, language: str, target: _Target, norm: float) -> pl.DataFrame:
    rows = [pl.DataFrame(columns, schema=RESPONSES) for columns in _responses(vectors, language, target, norm)]
    return pl.concat(rows)


def _responses(vectors: Vectors, language: str, target: _Target, norm: float) -> Iterator[dict[str, object]]:
    images = [pair.image_id for pair in target.pairs]
    for kind, own in vectors.own.items():
        for draw, vector in enumerate((own, *vectors.random[kind]), OWN):
            place = {"source": vectors.language, "target": language, "vector": kind, "draw": draw}
            constant = {name: [value] * len(images) for name, value in place.items()}
            yield {**constant, "image_id": images, "effect": target.effect(vector, norm)}
