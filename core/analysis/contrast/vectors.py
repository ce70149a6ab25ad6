"""Directions of one language: its difference of means and its features, fitted on its selection images alone.

Position sets whose rows are the same in all languages are left out: a vector read there would be every language's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.controls import similar_controls
from core.causal.steering import DIFFERENCE, FEATURES, feature_vector
from core.causal.steering_vectors import from_covariance
from core.features.associations import Labels, labelled_images
from core.features.layer_view import LayerView
from core.features.ranking import Ranking
from core.features.row_groups import stream_means


@dataclass(frozen=True)
class Vectors:
    """What is steered with in the name of one language, by kind, toward the concept's first side; of any length.

    `random` are of the same kind: sets of unassociated features that behave like the chosen ones, with random signs;
    and directions drawn from the covariance of the selection images' rows.
    """

    language: str
    features: tuple[int, ...]
    own: Mapping[str, Float[Tensor, " D"]]
    random: Mapping[str, tuple[Float[Tensor, " D"], ...]]


def own_ranking(view: LayerView, language: str) -> Ranking:
    """How features go with the concept in one language alone."""
    return replace(view.ranking, languages=(language,))


def strength(view: LayerView, languages: Sequence[str], features: int) -> float:
    """The mean |AUROC − ½| of each language's own strongest features, averaged over languages."""
    rankings = [own_ranking(view, language) for language in languages]
    return float(np.mean([one.association(one.strongest()[:features]) for one in rankings if one.strongest()] or [0.0]))


def vectors_of(view: LayerView, language: str, features: int, draws: int, seed: int) -> Vectors:
    """The vectors of a language at one layer; a kind that cannot be had, or has no length, is left out."""
    ranking = own_ranking(view, language)
    chosen = tuple(ranking.strongest()[:features])
    own: dict[str, Float[Tensor, " D"]] = {}
    random: dict[str, tuple[Float[Tensor, " D"], ...]] = {}
    if chosen:
        rng = np.random.default_rng([seed, view.layer])
        own[FEATURES] = feature_vector(view, chosen, ranking.signs(chosen))
        drawn = similar_controls(view, chosen, draws, seed).draws
        signs = [rng.choice([-1, 1], size=len(one)).tolist() for one in drawn]
        random[FEATURES] = tuple(feature_vector(view, *one) for one in zip(drawn, signs, strict=True))
    rows = _labelled_rows(view, language)
    if rows:
        own[DIFFERENCE] = difference(rows)
        random[DIFFERENCE] = from_covariance(view, draws, 1.0, seed)
    kept = {kind: vector for kind, vector in own.items() if float(vector.norm()) > 0}
    return Vectors(language, chosen, kept, {kind: tuple(filter(torch.any, random[kind])) for kind in kept})


Rows = list[tuple[Float[np.ndarray, "n D"], Bool[np.ndarray, " n"]]]


def difference(rows: Rows) -> Float[Tensor, " D"]:
    """Mean row of the first side minus that of the other, averaged over position sets."""
    found = [x[positive].mean(axis=0) - x[~positive].mean(axis=0) for x, positive in rows]
    return torch.from_numpy(np.mean(found, axis=0)).float()


def _labelled_rows(view: LayerView, language: str) -> Rows:
    """Selection images' mean rows and sides by position set: the decision sets', or else the first word's."""
    concept, labels = view.concept, Labels.of(view.concept, view.samples, language)
    for names in (concept.decision_sets, (concept.positions.first,)):
        rows: Rows = []
        for name in names:
            if name in view.groups.shared_sets:
                continue
            images, means = stream_means(view.stream_sums, view.groups, language, name)
            known = labelled_images(images, labels, "select")
            if known is not None:
                rows.append((means[known.rows].astype(np.float64), known.positive))
        if rows:
            return rows
    return []
