"""Interchanges of one language's pairs, layer by layer and position set by position set, image by image."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.interchange import Donated, Donors
from core.causal.pair_positions import EVERY, Words, position_masks
from core.causal.pairs import MinimalPair
from core.causal.runs import PairRuns
from core.data.concept import Concept
from core.lm.loaded import LoadedModel

TWIN, OTHER = "twin", "same gender"
"""Whose stream is put in: the gender twin's, or that of another picture of the same gender, the control."""
EFFECTS = pl.Schema(
    {
        "layer": pl.UInt16,
        "language": pl.String,
        "outcome": pl.String,
        "positions": pl.String,
        "donor": pl.String,
        "image_id": pl.String,
        "effect": pl.Float64,
    }
)
"""One row per layer, position set, donor and caption: the shift toward the other gender, in nats."""


@dataclass(frozen=True)
class Asked:
    """What is measured in one language: pairs that ask for one word, where their words stand, and their donors.

    `twins` is one donor a pair, `others` [donors] lists of them.
    """

    language: str
    outcome: str
    pairs: tuple[MinimalPair, ...]
    words: tuple[Words, ...]
    twins: tuple[MinimalPair, ...]
    others: tuple[tuple[MinimalPair, ...], ...]


class MapRuns:
    """The interchanges of what is asked in one language."""

    def __init__(self, loaded: LoadedModel, asked: Asked, ends: Bool[Tensor, " V"], concept: Concept) -> None:
        self.asked = asked
        self.runs = PairRuns(loaded, asked.pairs, ends)
        self.twins = Donors(loaded, self.runs, asked.twins)
        self._others = [Donors(loaded, self.runs, donors) for donors in asked.others]
        self.masks = [
            position_masks(batch, [asked.words[index] for index in some], concept)
            for some, batch in self.runs.batches()
        ]
        self.signs = np.array([pair.sign for pair in asked.pairs])
        self._clean: Float[np.ndarray, " N"] | None = None

    @property
    def position_sets(self) -> list[str]:
        """The position sets that some pair has, in reading order."""
        return list(dict.fromkeys(name for masks in self.masks for name in masks))

    def clean(self, layer: int) -> Float[np.ndarray, " N"]:
        """The pairs' log-odds in the clean run, the same whichever layer it is resumed at."""
        if self._clean is None:
            self._clean = self.runs.log_odds(layer, self.runs.streams(layer))
        return self._clean

    def interchange(self, layer: int, *, every: bool) -> pl.DataFrame:
        """The rows of `EFFECTS` of one layer; those of all positions at once where `every` says so."""
        streams, frames = self.runs.streams(layer), [EFFECTS.to_frame()]
        clean = self.clean(layer)
        for donor, donors in ((TWIN, self.twins), *((OTHER, others) for others in self._others)):
            given = donors.after(layer)
            for name, chosen in self._chosen(streams, every):
                swapped = [g.into(stream, at) for g, stream, at in zip(given, streams, chosen, strict=True)]
                effect = self.signs * (self.runs.log_odds(layer, swapped) - clean)
                frames.append(self._frame((layer, name, donor), effect, self._has(chosen, given)))
        return pl.concat(frames)

    def _chosen(
        self, streams: Sequence[Float[Tensor, "B T D"]], every: bool
    ) -> Iterator[tuple[str, list[Bool[Tensor, "B T"]]]]:
        nowhere = [torch.zeros(stream.shape[:2], dtype=torch.bool, device=stream.device) for stream in streams]
        if every:
            yield EVERY, [~none for none in nowhere]
        for name in self.position_sets:
            yield name, [masks.get(name, none) for masks, none in zip(self.masks, nowhere, strict=True)]

    def _has(self, chosen: Sequence[Bool[Tensor, "B T"]], given: Sequence[Donated]) -> Bool[np.ndarray, " N"]:
        """Which pairs have a position of the set that the donor has as well."""
        found = np.zeros(len(self.asked.pairs), dtype=bool)
        for (some, _), at, donated in zip(self.runs.batches(), chosen, given, strict=True):
            found[list(some)] = (at & donated.known).any(dim=1).cpu().numpy()
        return found

    def _frame(
        self, place: tuple[int, str, str], effect: Float[np.ndarray, " N"], has: Bool[np.ndarray, " N"]
    ) -> pl.DataFrame:
        layer, positions, donor = place
        columns = {
            "layer": [layer] * len(effect),
            "language": [self.asked.language] * len(effect),
            "outcome": [self.asked.outcome] * len(effect),
            "positions": [positions] * len(effect),
            "donor": [donor] * len(effect),
            "image_id": [pair.image_id for pair in self.asked.pairs],
            "effect": effect,
        }
        return pl.DataFrame(columns, schema=EFFECTS).filter(pl.Series(has))
