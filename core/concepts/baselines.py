"""What reads the concept without an SAE: a probe of the stream, a bag of words, length alone.

Each is fitted on the selection split and scores the held-out sentences. Where there is something to choose (a layer, a
strength), cross-validation on the selection split chooses it, families kept together.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float
from scipy import sparse
from sklearn.feature_extraction.text import CountVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedGroupKFold

from core.concepts.full_sentences import SELECTION, FullSentences
from core.concepts.measures import Auroc
from core.stats.intervals import auroc
from core.stats.probes import Labelled, difference_of_means

STRENGTHS = (0.01, 0.1, 1.0, 10.0)
"""Inverse regularisation strengths of the bag of words."""
FOLDS = 5
WORDS = r"(?u)\w+|[^\w\s]"
"""A word or a sign of its own, in any script."""

Scores = list[Float[np.ndarray, " N"]]
"""Of all sentences, by setting."""
Fit = Callable[[Bool[np.ndarray, " N"]], Scores]
"""Fits every setting on some sentences, and scores all."""


@dataclass(frozen=True, eq=False)
class Baseline:
    """A way to read the concept, fitted on the selection split.

    Args:
        method: "difference of means", "bag of words", "length".
        setting: layer or strength; empty where there is none.
        layer: of the stream; null where it reads none.
        auroc_selection: on the selection split; cross-validated where it was fitted.
        scores: of all N sentences.
    """

    method: str
    setting: str
    layer: int | None
    auroc_selection: float
    scores: Float[np.ndarray, " N"]


def mean_probes(
    sentences: FullSentences, streams: Mapping[int, Float[np.ndarray, "N D"]], contrast: Auroc, seed: int
) -> list[Baseline]:
    """A difference-of-means probe on the stream of each layer."""
    layers, positive = sorted(streams), contrast.classes(sentences.labels).astype(bool)

    def fit(rows: Bool[np.ndarray, " N"]) -> Scores:
        every = (np.asarray(streams[layer], dtype=np.float64) for layer in layers)
        return [difference_of_means(Labelled(x[rows], positive[rows])).score(x) for x in every]

    found = _fitted(sentences, contrast, fit, seed)
    return [
        Baseline("difference of means", f"layer {layer}", layer, *one) for layer, one in zip(layers, found, strict=True)
    ]


def bag_of_words(sentences: FullSentences, texts: Sequence[str], contrast: Auroc, seed: int) -> list[Baseline]:
    """Logistic regression on word counts, at each strength; the vocabulary is that of the sentences fitted on."""
    every, positive = np.array(texts, dtype=object), contrast.classes(sentences.labels)

    def fit(rows: Bool[np.ndarray, " N"]) -> Scores:
        counter = CountVectorizer(token_pattern=WORDS).fit(every[rows])
        counts = sparse.csr_array(counter.transform(every))
        models = (LogisticRegression(C=strength, max_iter=2000) for strength in STRENGTHS)
        return [model.fit(counts[rows], positive[rows]).decision_function(counts) for model in models]

    found = _fitted(sentences, contrast, fit, seed)
    return [Baseline("bag of words", f"C = {own:g}", None, *one) for own, one in zip(STRENGTHS, found, strict=True)]


def length_alone(sentences: FullSentences, contrast: Auroc) -> Baseline:
    """The number of tokens, in the direction that it has on the selection split."""
    used = contrast.uses(sentences.labels) & (sentences.split == SELECTION)
    area = auroc(sentences.log_length[used], contrast.classes(sentences.labels[used]))
    sign = -1.0 if area < 0.5 else 1.0
    return Baseline("length", "", None, max(area, 1 - area), sign * sentences.log_length)


def best_setting(settings: Sequence[Baseline]) -> Baseline:
    """The one with the highest AUROC on the selection split; the first where several tie."""
    return max(settings, key=lambda one: -1.0 if math.isnan(one.auroc_selection) else one.auroc_selection)


def _fitted(
    sentences: FullSentences, contrast: Auroc, fit: Fit, seed: int
) -> list[tuple[float, Float[np.ndarray, " N"]]]:
    """Cross-validated AUROC on the selection split (NaN with too few families) and scores of a fit on all of it.

    The AUROC is the mean over folds, whose scores are not on one scale.
    """
    used = contrast.uses(sentences.labels) & (sentences.split == SELECTION)
    rows, positive = np.flatnonzero(used), contrast.classes(sentences.labels)
    scores, areas = fit(used), []
    for inside, outside in family_folds(positive[rows], sentences.families[rows], seed):
        chosen, tested = np.zeros(used.size, bool), rows[outside]
        chosen[rows[inside]] = True
        if np.unique(positive[chosen]).size == np.unique(positive[tested]).size == 2:
            areas.append([auroc(own[tested], positive[tested]) for own in fit(chosen)])
    means = np.mean(areas, axis=0) if areas else np.full(len(scores), math.nan)
    return [(float(mean), own) for mean, own in zip(means, scores, strict=True)]


def family_folds(positive: np.ndarray, families: np.ndarray, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Folds that keep families together: five, or as many as each side has families."""
    smallest = min(np.unique(families[positive == side]).size for side in (0, 1))
    folds = min(FOLDS, smallest, int(positive.sum()), int((1 - positive).sum()))
    if folds < 2:
        return []
    together = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    return list(together.split(positive, positive, families))
