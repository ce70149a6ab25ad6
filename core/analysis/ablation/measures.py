"""Ablations, random controls and interchanges of one layer and language, image by image."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from core.causal.controls import RandomSets
from core.causal.interventions import Ablation, EditSite
from core.causal.pairs import MinimalPair
from core.causal.runs import AddedNorms, CaptionRuns, PairRuns, added_norms, relative_norms
from core.causal.word_sets import Lexicon, WordSets
from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.features.layer_view import LayerView
from core.lm.loaded import LoadedModel
from core.lm.patched import CAPTION, IMAGE, LAST_PROMPT, PROMPT

ZERO, MEAN = "zero ablation", "mean ablation"
ZERO_IMAGE, ZERO_LAST = "zero ablation, image only", "zero ablation, last prompt token only"
SWAP_ALL = "interchange, every position"
SWAP_IMAGE, SWAP_TEXT = "interchange, image", "interchange, prompt and caption"
SEGMENT_NAMES = {IMAGE: "image", PROMPT: "prompt", CAPTION: "caption", LAST_PROMPT: "last prompt token"}
_IDS = dict.fromkeys(("image_id", "sample_id"), pl.String)
DRAWS = pl.Schema({"language": pl.String, "draw": pl.Int64, **_IDS, "effect": pl.Float64})
"""Effects of random sets, one row per caption and set."""
SPECIFICITY_DRAWS = 10
"""Random sets whose effect on the other words is measured as well: whole captions are dearer than prefixes."""


@dataclass(frozen=True)
class Target:
    """What is ablated at a layer, and what it is compared with."""

    view: LayerView
    features: tuple[int, ...]
    control: RandomSets
    association: float
    """How strongly the features are associated with the concept on the selection split."""

    @property
    def layer(self) -> int:
        """The layer patched."""
        return self.view.layer


@dataclass(frozen=True)
class Dosed:
    """An ablation times a dose: below 1 a part of it, above 1 beyond what the features wrote."""

    ablation: Ablation
    dose: float

    def __call__(self, site: EditSite) -> Float[Tensor, "B T D"]:
        """The patched stream."""
        patched: Tensor = site.added(self.dose * self.ablation.delta(site))
        return patched


@dataclass(frozen=True)
class Measured:
    """`effects` (one row per caption and intervention), `draws` (a caption and random set), `divergence` (a caption and
    what was taken out), `norms` (a segment and feature set: mean ‖Δx‖ and ‖Δx‖/‖x‖; `draw` −1 is the chosen set);
    `words` and `word_draws` are effects and draws over all words of a lexicon, null where it is not asked for."""

    effects: pl.DataFrame
    draws: pl.DataFrame
    divergence: pl.DataFrame
    norms: pl.DataFrame
    words: pl.DataFrame | None = None
    word_draws: pl.DataFrame | None = None


@dataclass(frozen=True)
class Asked:
    """What is asked of one language's captions: their first words, later ones, and all words of a lexicon, if any."""

    first: Sequence[MinimalPair]
    later: Sequence[MinimalPair]
    lexicon: Lexicon | None = None
    concept: Concept = THE_CONCEPT


class LanguageRuns:
    """All runs of one language's minimal pairs: their words, later words, twins and whole captions."""

    def __init__(self, loaded: LoadedModel, language: str, asked: Asked, ends: Bool[Tensor, " V"]) -> None:
        self.language, self.concept, first, later = language, asked.concept, asked.first, asked.later
        self._word = self.concept.positions.first
        self.trains_last_prompt = all(_ends_in_a_trained_row(pair) for pair in first)
        """Whether SAEs are trained on rows like the last one before the captions: none is on a control token."""
        self.sets = None if asked.lexicon is None else WordSets(loaded, first, ends, asked.lexicon)
        """The lexicon's words behind the same prefixes, where they are asked for."""
        self._first = PairRuns(loaded, first, ends) if self.sets is None else self.sets.kept.pairs
        self._captions = CaptionRuns(loaded, first)
        self._later = PairRuns(loaded, later, ends) if later else None
        twins = [pair for pair in first if _is_swappable(pair)]
        self._own = PairRuns(loaded, twins, ends) if twins else None
        self._twins = PairRuns(loaded, [pair.with_twin_image() for pair in twins], ends) if twins else None

    @property
    def pairs(self) -> Sequence[MinimalPair]:
        """The pairs of the captions' first words."""
        return self._first.pairs

    def measure(self, target: Target) -> Measured:
        """Everything that is measured at one layer."""
        layer = target.layer
        sites = self._first.sites(target.view)
        clean = self._odds(layer, [site.stream for site in sites])
        patches = _patches(target, self.language, last_prompt=self.trains_last_prompt)
        after = {name: self._odds(layer, [patch(site) for site in sites]) for name, patch in patches.items()}
        effects = [self._frame(self._first, self._word, name, clean[0], odds[0]) for name, odds in after.items()]
        effects += self._later_effects(target)
        effects += self._swaps(target)
        drawn = [Ablation(features) for features in target.control.draws]
        moved = [self._odds(layer, [patch(site) for site in sites]) - clean for patch in drawn]
        measured = Measured(
            effects=pl.concat(effects),
            draws=self._draw_frame([own[0] for own in moved]),
            divergence=self._divergence(target),
            norms=pl.concat(
                [self._norms(sites, patch, draw) for draw, patch in enumerate([patches[ZERO], *drawn], -1)]
            ),
        )
        if self.sets is None:
            return measured
        return replace(
            measured,
            words=self._word_frame(target, clean[-1], after[ZERO][-1]),
            word_draws=self._draw_frame([own[-1] for own in moved]),
        )

    def _odds(self, layer: int, streams: Sequence[Float[Tensor, "B T D"]]) -> Float[np.ndarray, "n N"]:
        """Log odds of the pairs' own words, and below them those of the lexicon's sides, from one pass."""
        if self.sets is None:
            return self._first.log_odds(layer, streams)[None]
        states = list(self._first.final_states(layer, streams))
        return np.stack([self._first.odds(states), self.sets.odds(states)])

    def _word_frame(
        self, target: Target, clean: Float[np.ndarray, " N"], after: Float[np.ndarray, " N"]
    ) -> pl.DataFrame:
        """The shift of the lexicon's sides, and `whole`, that over all its words; `scored` of them are run."""
        assert self.sets is not None
        shift = self.sets.whole_shift(target.view, Ablation(target.features))
        signs = np.array([pair.sign for pair in self.pairs])
        return self._frame(self._first, self._word, ZERO, clean, after).with_columns(
            pl.Series("whole", signs * shift),
            pl.Series("held", self.sets.held()),
            pl.Series("scored", self.sets.is_kept.sum(axis=1)),
        )

    def dosed(self, target: Target, doses: Sequence[float]) -> pl.DataFrame:
        """Zero ablation in part (below 1) and beyond 0 (above): language, dose, image_id, effect and kl, one row a
        caption and dose; relative_norm is the mean ‖Δx‖ / ‖x‖ of the dose."""
        layer, ablation, pairs = target.layer, Ablation(target.features), self._first.pairs
        sites, captions = self._first.sites(target.view), self._captions.sites(target.view)
        before = self._captions.clean_states(layer, captions)
        clean = self._first.log_odds(layer, [site.stream for site in sites])
        norm, signs = relative_norms(sites, ablation.delta), np.array([pair.sign for pair in pairs])
        frames = []
        for dose in doses:
            patch = Dosed(ablation, dose)
            kl, _ = self._captions.divergence(layer, captions, before, patch)
            columns = {
                "language": [self.language] * len(pairs),
                "dose": [float(dose)] * len(pairs),
                "image_id": [pair.image_id for pair in pairs],
                "effect": signs * (self._first.patched(layer, sites, patch) - clean),
                "kl": kl,
                "relative_norm": [dose * norm] * len(pairs),
            }
            frames.append(pl.DataFrame(columns))
        return pl.concat(frames)

    def _frame(
        self, runs: PairRuns, outcome: str, name: str, clean: Float[np.ndarray, " N"], after: Float[np.ndarray, " N"]
    ) -> pl.DataFrame:
        pairs = runs.pairs
        signs = np.array([pair.sign for pair in pairs])
        columns = {
            "language": [self.language] * len(pairs),
            "outcome": [outcome] * len(pairs),
            "intervention": [name] * len(pairs),
            "image_id": [pair.image_id for pair in pairs],
            "sample_id": [pair.sample_id for pair in pairs],
            self.concept.name: [pair.side for pair in pairs],
            "clean": clean,
            "effect": signs * (after - clean),
        }
        return pl.DataFrame(columns)

    def _later_effects(self, target: Target) -> list[pl.DataFrame]:
        if self._later is None:
            return []
        sites = self._later.sites(target.view)
        clean = self._later.log_odds(target.layer, [site.stream for site in sites])
        after, later = self._later.patched(target.layer, sites, Ablation(target.features)), self.concept.positions.later
        return [self._frame(self._later, later, ZERO, clean, after)]

    def _swaps(self, target: Target) -> list[pl.DataFrame]:
        """The twin's stream put in place of the image's own: what a perfect intervention there could do."""
        if self._own is None or self._twins is None:
            return []
        layer = target.layer
        sites = self._own.sites(target.view)
        twins = self._twins.streams(layer)
        clean = self._own.log_odds(layer, [site.stream for site in sites])
        swapped = {
            SWAP_ALL: twins,
            SWAP_IMAGE: [_swapped(site, twin, image=True) for site, twin in zip(sites, twins, strict=True)],
            SWAP_TEXT: [_swapped(site, twin, image=False) for site, twin in zip(sites, twins, strict=True)],
        }
        odds = ((name, self._own.log_odds(layer, streams)) for name, streams in swapped.items())
        return [self._frame(self._own, self._word, name, clean, after) for name, after in odds]

    def _norms(self, sites: Sequence[EditSite], patch: Ablation, draw: int) -> pl.DataFrame:
        totals: dict[int, AddedNorms] = {}
        for site in sites:
            for code, found in added_norms(site, patch.delta(site)).items():
                totals[code] = totals[code] + found if code in totals else found
        codes = sorted(totals)
        columns = {
            "language": [self.language] * len(codes),
            "segment": [SEGMENT_NAMES[code] for code in codes],
            "draw": [draw] * len(codes),
            "norm": [totals[code].norm / totals[code].count for code in codes],
            "relative_norm": [totals[code].relative / totals[code].count for code in codes],
        }
        return pl.DataFrame(columns)

    def _draw_frame(self, moved: Sequence[Float[np.ndarray, " N"]]) -> pl.DataFrame:
        pairs = self._first.pairs
        signs = np.array([pair.sign for pair in pairs])
        columns = {
            "language": [self.language] * (len(pairs) * len(moved)),
            "draw": [draw for draw in range(len(moved)) for _ in pairs],
            "image_id": [pair.image_id for pair in pairs] * len(moved),
            "sample_id": [pair.sample_id for pair in pairs] * len(moved),
            "effect": np.concatenate([signs * change for change in moved]) if moved else np.empty(0),
        }
        return pl.DataFrame(columns, schema=DRAWS)

    def _divergence(self, target: Target) -> pl.DataFrame:
        """KL at the words that tell no side, for the ablation and for some random sets."""
        layer = target.layer
        sites = self._captions.sites(target.view)
        clean = self._captions.clean_states(layer, sites)
        sets = [target.features, *target.control.draws[:SPECIFICITY_DRAWS]]
        frames = []
        for number, features in enumerate(sets):
            kl, _ = self._captions.divergence(layer, sites, clean, Ablation(features))
            columns = {
                "language": [self.language] * len(kl),
                "kind": ["features" if number == 0 else "random"] * len(kl),
                "draw": [max(number - 1, 0)] * len(kl),
                "image_id": [pair.image_id for pair in self._first.pairs],
                "kl": kl,
            }
            frames.append(pl.DataFrame(columns))
        return pl.concat(frames)


def _ends_in_a_trained_row(pair: MinimalPair) -> bool:
    last = pair.caption.prefix_length - 1
    return last > 0 and not pair.caption.special[last]


def _patches(target: Target, language: str, *, last_prompt: bool) -> dict[str, Ablation]:
    features = target.features
    variants = {
        ZERO: Ablation(features),
        MEAN: Ablation(features, replacement=target.view.profile.means(features, language)),
    }
    if last_prompt:
        variants[ZERO_LAST] = Ablation(features, segments=(LAST_PROMPT,))
    if target.view.profile.rows[0].any():  # rows of the image segment
        variants[ZERO_IMAGE] = Ablation(features, segments=(IMAGE,))
    return variants


def _is_swappable(pair: MinimalPair) -> bool:
    return pair.twin_image is not None and pair.twin_image != pair.caption.image


def _swapped(site: EditSite, twin: Float[Tensor, "B T D"], *, image: bool) -> Float[Tensor, "B T D"]:
    at = torch.zeros_like(site.reach)
    at[site.reach] = (site.segments == IMAGE) == image
    return torch.where(at[..., None], twin, site.stream)
