"""What one language's features do in the other's run: activations of a caption in one language put into the run of a
caption in another, of the same image and of its twin.

Captions of two languages have no tokens in common, so that position sets are aligned as wholes: at every position of
the instruction, of the last prompt token and of the caption before the word, a feature gets its mean over the same set
of the donor's row. Image rows, which no language has to itself, are left as they are.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.analysis.causal_map.carried import Classes
from core.analysis.causal_map.measures import MapRuns
from core.causal.interventions import EditSite, open_edit_site
from core.causal.pair_positions import INSTRUCTION
from core.causal.swaps import SetMeans
from core.data.concept import LAST_PROMPT, Concept

SAME, TWIN = "same image", "twin"
CROSSINGS = pl.Schema(
    {
        "language": pl.String,
        "source": pl.String,
        "features": pl.String,
        "donor": pl.String,
        "image_id": pl.String,
        "effect": pl.Float64,
    }
)
"""One row per language whose run is changed, language that the activations come from, class, donor and caption."""


@dataclass(frozen=True)
class _Side:
    """One language's runs at a layer: their own sites and those of their twins, portion by portion, and the masks of
    the sets that languages share."""

    layer: int
    runs: MapRuns
    sites: Mapping[str, Sequence[EditSite]]
    sets: Sequence[Sequence[Bool[Tensor, "B T"]]]

    @classmethod
    def of(cls, runs: MapRuns, classes: Classes, concept: Concept) -> "_Side":
        own, given = runs.runs.sites(classes.view), runs.twins.after(classes.view.layer)
        parts = zip(own, given, runs.runs.batches(), strict=True)
        twins = [
            open_edit_site(classes.view.sae, donated.stream, batch.segments, site.reach & donated.known)
            for site, donated, (_, batch) in parts
        ]
        names = (INSTRUCTION, LAST_PROMPT, concept.positions.before)
        nowhere = [torch.zeros_like(site.reach) for site in own]
        sets = [[masks.get(name, none) for name in names] for masks, none in zip(runs.masks, nowhere, strict=True)]
        return cls(classes.view.layer, runs, {SAME: own, TWIN: twins}, sets)

    @property
    def captions(self) -> list[str]:
        """The samples, in the order in which their rows run."""
        pairs = self.runs.asked.pairs
        return [pairs[index].sample_id for some, _ in self.runs.runs.batches() for index in some]

    def means(self, donor: str, features: Sequence[int]) -> SetMeans:
        """The means of every row, in the order of `captions`."""
        parts = [SetMeans.of(site, sets, features) for site, sets in zip(self.sites[donor], self.sets, strict=True)]
        return SetMeans(torch.cat([part.means for part in parts]), torch.cat([part.known for part in parts]))

    def changed(self, given: SetMeans, rows: Sequence[int], features: Sequence[int]) -> Float[np.ndarray, " N"]:
        """The shift when every row gets the means of the donor's row; `rows` are those, −1 where there is none."""
        streams, start = [], 0
        for site, sets in zip(self.sites[SAME], self.sets, strict=True):
            own = torch.tensor(rows[start : start + len(site.reach)], device=site.reach.device)
            start += len(own)
            there = own.clamp(min=0)
            means = SetMeans(given.means[there], given.known[there] & (own >= 0)[:, None])
            streams.append(site.added(means.into(site, sets, features)))
        moved = self.runs.runs.log_odds(self.layer, streams) - self.runs.clean(self.layer)
        return np.asarray(self.runs.signs * moved)


def cross(runs: Mapping[str, MapRuns], classes: Classes, concept: Concept) -> pl.DataFrame:
    """The rows of `CROSSINGS` of one layer: every language's activations in every language's run, its own included."""
    sides = {language: _Side.of(own, classes, concept) for language, own in runs.items()}
    frames = [CROSSINGS.to_frame()]
    for name, features in classes.members.items():
        for (source, giving), donor in product(sides.items(), (SAME, TWIN)) if features else ():
            given, row = giving.means(donor, features), {caption: row for row, caption in enumerate(giving.captions)}
            for into, side in sides.items():
                place = {"language": into, "source": source, "features": name, "donor": donor}
                effect = side.changed(given, [row.get(caption, -1) for caption in side.captions], features)
                frames.append(_frame(place, side.runs, effect, set(row)))
    return pl.concat(frames)


def _frame(place: Mapping[str, str], runs: MapRuns, effect: Float[np.ndarray, " N"], known: set[str]) -> pl.DataFrame:
    pairs = runs.asked.pairs
    constant = {name: [value] * len(pairs) for name, value in place.items()}
    columns = {**constant, "image_id": [pair.image_id for pair in pairs], "effect": effect}
    has = pl.Series([pair.sample_id in known for pair in pairs])
    return pl.DataFrame(columns, schema=CROSSINGS).filter(has)
