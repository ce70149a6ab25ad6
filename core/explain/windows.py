"""The windows that explainers see and scorers use: pieces of prompts around a feature's strongest token."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import polars as pl
from jaxtyping import Float, Int

from core.explain.drawing import Candidates, Drawn, draw
from core.explain.examples import map_cells
from core.explain.firing import Firing, blocks, firing
from core.explain.neighbourhood import Neighbourhood
from core.explain.nested import list_column, slices
from core.explain.prompt_rows import Prompts, number_prompts
from core.explain.shown import Part, PartStrength, bounds, showable
from core.explain.tables import WINDOWS
from core.features.index import FeatureIndex
from core.study.catalogue import ExampleConfig

_BLOCK_ENTRIES = 1 << 18


@dataclass(frozen=True)
class _Chosen:
    """A prompt shown for the feature at place `owner` of its block, and the tokens of it that may be shown."""

    owner: int
    drawn: Drawn
    low: int
    high: int
    part: Part


def windows(
    index: FeatureIndex,
    tokens: pl.DataFrame,
    samples: pl.DataFrame,
    features: Sequence[int],
    config: ExampleConfig,
    sae_id: str,
) -> pl.DataFrame:
    """The windows of the features, with the columns of `WINDOWS` and in its order.

    A feature is shown in captions, in instructions or in images alone (`PartStrength.part`); a window stays in that
    part, and one in images alone has no tokens and no language. A silent example is silent in the whole prompt, the
    image with it. A feature that never fires has no rows.

    Args:
        index: the layer's feature index.
        tokens: what each of its T rows is of (`core.activations.tokens.layer_tokens`).
        samples: the study's samples.
        features: their numbers.
        config: how many of which kind, and how they are drawn and cut.
        sae_id: what the SAE is called in the table.

    Raises:
        BadInput: there is no such feature.
    """
    prompts = number_prompts(tokens, samples)
    units = prompts.table["unit"].to_numpy().astype(np.int64)
    parts = [WINDOWS.to_frame()]
    for block in blocks(index, sorted(set(features)), _BLOCK_ENTRIES):
        fired = firing(index, prompts, block)
        strength, near = PartStrength.measured(fired, prompts), Neighbourhood(index, prompts)
        chosen = [
            one
            for owner in range(len(block))
            for one in _choose(owner, fired, strength, (prompts, units, near), config)
        ]
        if chosen:
            parts.append(_cut(chosen, fired, strength, prompts, config).with_columns(sae_id=pl.lit(sae_id)))
        index.release()
    return pl.concat([part.select(*WINDOWS).cast(WINDOWS) for part in parts])


def _choose(
    owner: int,
    fired: Firing,
    strength: PartStrength,
    among: tuple[Prompts, Int[np.ndarray, " P"], Neighbourhood],
    config: ExampleConfig,
) -> list[_Chosen]:
    """What is shown for one feature."""
    prompts, units, near = among
    first, last = np.searchsorted(fired.keys, np.array([owner, owner + 1]) * len(prompts))
    if first == last:
        return []
    pairs = slice(int(first), int(last))
    part = strength.part(pairs)
    own, strongest = fired.prompt[pairs], strength.of[part][pairs]
    silent = showable(part, prompts)
    silent[own] = False
    feature = int(fired.features[owner])
    given = Candidates(own[strongest > 0], strongest[strongest > 0], units, silent, near.near(feature, silent))
    low, high = bounds(part, prompts)
    return [
        _Chosen(owner, one, int(low[one.prompt]), int(high[one.prompt]), part) for one in draw(given, config, feature)
    ]


def _cut(
    chosen: Sequence[_Chosen], fired: Firing, strength: PartStrength, prompts: Prompts, config: ExampleConfig
) -> pl.DataFrame:
    """The rows of `WINDOWS` of a block of features, without the SAE's name, in their order."""
    owner = np.array([one.owner for one in chosen])
    prompt = np.array([one.drawn.prompt for one in chosen])
    pairs = fired.find(owner, prompt)
    low, high = cut(
        _centres(chosen, pairs, fired, strength, config.seed),
        (np.array([one.low for one in chosen]), np.array([one.high for one in chosen])),
        config.window,
        config.place,
    )
    told = prompts.table[prompt]
    image_alone = pl.Series([one.part == "image" for one in chosen])
    return pl.DataFrame(
        {
            "feature_id": fired.features[owner],
            "use": [one.drawn.use for one in chosen],
            "kind": [one.drawn.kind for one in chosen],
            "quantile": [one.drawn.quantile or None for one in chosen],
            "prompt_id": told["prompt_id"],
            "sample_id": told["sample_id"],
            "image": told["image"],
            "language": pl.select(pl.when(~image_alone).then(told["language"])).to_series(),
            "tokens": slices(prompts.tokens[prompt], low, high),
            "values": list_column(_values(pairs, low, high, fired), high - low, WINDOWS["values"]),
            "map_cells": map_cells(fired, pairs, prompt, prompts),
        }
    )


def _centres(
    chosen: Sequence[_Chosen], pairs: Int[np.ndarray, " m"], fired: Firing, strength: PartStrength, seed: int
) -> Int[np.ndarray, " m"]:
    """The place of the strongest token of each window; where the feature is silent, of a drawn one."""
    centres = np.zeros(len(chosen), np.int64)
    for number, one in enumerate(chosen):
        if one.part == "image":
            continue
        if pairs[number] < 0:
            rng = np.random.default_rng((seed, int(fired.features[one.owner]), one.drawn.prompt))
            centres[number] = rng.integers(one.low, one.high)
            continue
        own = slice(int(fired.starts[pairs[number]]), int(fired.starts[pairs[number] + 1]))
        among = np.where(strength.entries[one.part][own], fired.value[own], -1)
        centres[number] = fired.place[own][int(among.argmax())]
    return centres


def cut(
    centres: Int[np.ndarray, " m"],
    limits: tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]],
    window: int,
    place: Literal["symmetric", "trailing"],
) -> tuple[Int[np.ndarray, " m"], Int[np.ndarray, " m"]]:
    """First token of each window and the one behind its last: `window` tokens around each centre or up to it, as far
    as they lie within the limits."""
    behind = centres + 1 if place == "trailing" else centres + (window + 1) // 2
    return np.maximum(behind - window, limits[0]), np.minimum(behind, limits[1])


def _values(
    pairs: Int[np.ndarray, " m"], low: Int[np.ndarray, " m"], high: Int[np.ndarray, " m"], fired: Firing
) -> Float[np.ndarray, " w"]:
    """The activation on every token of the windows, one after the other."""
    lengths = high - low
    first = lengths.cumsum() - lengths
    dense = np.zeros(int(lengths.sum()), np.float32)
    active = np.flatnonzero(pairs >= 0)
    entries, of = fired.entries(pairs[active])
    own = active[of]
    inside = ~fired.image[entries] & (fired.place[entries] >= low[own]) & (fired.place[entries] < high[own])
    own, entries = own[inside], entries[inside]
    dense[first[own] + fired.place[entries] - low[own]] = fired.value[entries]
    return dense
