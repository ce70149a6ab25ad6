"""What a concept scan ranks: the activation of every feature of every SAE at the last token of each sentence."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy import sparse

from core.errors import BadInput

SELECTION = "selection"
"""The split that features, layers and settings are chosen on."""
HELD_OUT = "held-out"
"""The split that what was chosen is scored on."""
LABELS = (0, 1, 2, 3)
"""Irrelevant, vaguely related, loosely related, clean example."""


@dataclass(frozen=True)
class Columns:
    """Which feature each column is: number `feature` [F] of the SAE `keys[owner]` [F]."""

    keys: tuple[str, ...]
    owner: Int[np.ndarray, " F"]
    feature: Int[np.ndarray, " F"]

    @classmethod
    def of(cls, keys: Sequence[str], starts: Int[np.ndarray, " S+1"]) -> "Columns":
        """All features of each SAE in turn: that of `keys[s]` holds columns `starts[s]` up to `starts[s + 1]`."""
        owner = np.repeat(np.arange(len(keys), dtype=np.int32), np.diff(starts))
        return cls(tuple(keys), owner, (np.arange(owner.size) - np.asarray(starts)[owner]).astype(np.int32))

    def take(self, columns: Int[np.ndarray, " m"]) -> "Columns":
        """Some of the columns."""
        return Columns(self.keys, self.owner[columns], self.feature[columns])

    def saes(self) -> list[str]:
        """The SAE's key of each column."""
        return [self.keys[number] for number in self.owner]


@dataclass(frozen=True)
class FullSentences:
    """N labelled sentences and the activations of all F features of all SAEs at each one's last token.

    Args:
        active: [N, F], any sparse format, kept by column; a feature that does not fire has no entry.
        columns: the SAE of each column.
        labels: 0 to 3 per sentence.
        log_length: natural logarithm of each sentence's number of tokens.
        families: the family of each sentence; the sentences of one family are not independent.
        split: "selection" or "held-out", one per family.
    """

    active: sparse.csc_array
    columns: Columns
    labels: Int[np.ndarray, " N"]
    log_length: Float[np.ndarray, " N"]
    families: np.ndarray
    split: np.ndarray

    def __post_init__(self) -> None:
        object.__setattr__(self, "active", sparse.csc_array(self.active))
        rows, width = self.active.shape
        lengths = {len(part) for part in (self.labels, self.log_length, self.families, self.split)}
        if lengths != {rows} or self.columns.owner.size != width:
            raise ValueError(
                f"{rows} × {width} activations of {lengths} sentences and {self.columns.owner.size} features"
            )

    def rows(self, chosen: Bool[np.ndarray, " N"]) -> "FullSentences":
        """Some of the sentences."""
        parts = (self.labels[chosen], self.log_length[chosen], self.families[chosen], self.split[chosen])
        return FullSentences(self.active[chosen], self.columns, *parts)

    @cached_property
    def selection(self) -> "FullSentences":
        """The sentences to choose on."""
        return self.rows(self.split == SELECTION)

    @cached_property
    def held_out(self) -> "FullSentences":
        """The sentences to score on."""
        return self.rows(self.is_held_out)

    @property
    def is_held_out(self) -> Bool[np.ndarray, " N"]:
        """Which sentences are held out."""
        return np.asarray(self.split == HELD_OUT)

    def support(self) -> Int[np.ndarray, " F"]:
        """How many sentences each feature fires on."""
        fires = np.concatenate([[0], np.cumsum(self.active.data != 0)])
        return np.diff(fires[self.active.indptr])

    def features(self, chosen: Int[np.ndarray, " m"]) -> "FullSentences":
        """Some of the features."""
        return replace(self, active=self.active[:, chosen], columns=self.columns.take(chosen))

    def with_features(self, active: sparse.sparray, columns: Columns) -> "FullSentences":
        """The same sentences with the activations of other dictionaries."""
        return replace(self, active=active, columns=columns)


def side_by_side(parts: Iterable[tuple[str, sparse.sparray]]) -> tuple[sparse.csc_array, Columns]:
    """The activations [N, F_s] of several SAEs, by key, as one matrix [N, F] and its columns."""
    keys, matrices = zip(*((key, sparse.csc_array(matrix)) for key, matrix in parts), strict=True)
    starts = np.cumsum([0, *(matrix.shape[1] for matrix in matrices)])
    return sparse.csc_array(sparse.hstack(matrices, format="csc")), Columns.of(keys, starts)


def check_sentences(sentences: FullSentences) -> None:
    """Refuse what cannot be ranked and scored.

    Raises:
        BadInput: a label outside 0–3, a class that a split lacks, a split of one family, or a family in both splits.
    """
    strange = sorted(set(sentences.labels.tolist()) - set(LABELS))
    if strange:
        raise BadInput(f"concept_strength_label: {strange[0]} is none of 0, 1, 2, 3")
    unknown = sorted(set(sentences.split.tolist()) - {SELECTION, HELD_OUT})
    if unknown:
        raise BadInput(f"split: {unknown[0]!r} is neither {SELECTION!r} nor {HELD_OUT!r}")
    parts = {name: sentences.split == name for name in (SELECTION, HELD_OUT)}
    for name, part in parts.items():
        missing = sorted(set(LABELS) - set(sentences.labels[part].tolist()))
        if missing:
            raise BadInput(f"concept_strength_label: no {name} sentence has {missing[0]}; add sentences of that label")
        if len(set(sentences.families[part].tolist())) < 2:
            raise BadInput(f"family: all {name} sentences are of one family; add sentences of another")
    both = sorted(set.intersection(*(set(sentences.families[part].tolist()) for part in parts.values())))
    if both:
        raise BadInput(f"family: {both[0]!r} is in both splits; keep the sentences of a family in one")
