"""Which prompts the explainer of a feature is shown and which ones are scored: never both an image or a twin of it."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from core.study.catalogue import ExampleConfig


@dataclass(frozen=True)
class Drawn:
    """One prompt that is shown: for whom, why, from which band (4 the strongest of four; 0 where silent)."""

    prompt: int
    use: str
    kind: str
    quantile: int


@dataclass(frozen=True)
class Candidates:
    """What a feature's examples are drawn from.

    Attributes:
        prompts: those in which it fires, ascending.
        strength: how strongly.
        units: the unit of each prompt of the layer: an image and its twins.
        silent: the prompts of the layer in which it is silent, and which could be shown.
        near: silent prompts in which its nearest features fire, the most telling first.
    """

    prompts: Int[np.ndarray, " n"]
    strength: Float[np.ndarray, " n"]
    units: Int[np.ndarray, " P"]
    silent: Bool[np.ndarray, " P"]
    near: Int[np.ndarray, " h"]


def draw(given: Candidates, config: ExampleConfig, feature: int) -> list[Drawn]:
    """The examples of one feature, each of another unit; fewer where there are not enough.

    One prompt per unit is drawn, and the rest is divided into bands of equally many. The explainer gets the strongest
    prompts of the strongest band and drawn ones of the others; the scorers get others of each band, silent ones beside
    the nearest features, and silent ones at random. The draws depend on the seed and the feature alone.
    """
    rng = np.random.default_rng((config.seed, feature))
    bands = sorted(_bands(given, config, rng), key=lambda one: one.use)  # explain comes before score
    used = {int(given.units[one.prompt]) for one in bands}
    hard = _fresh(given.near, given.units, used, config.hard)
    used.update(int(given.units[prompt]) for prompt in hard)
    random = _fresh(rng.permutation(np.flatnonzero(given.silent)), given.units, used, config.random)
    silent = [("random", prompt) for prompt in random] + [("hard", prompt) for prompt in hard]
    return bands + [Drawn(prompt, "score", kind, 0) for kind, prompt in silent]


def _bands(given: Candidates, config: ExampleConfig, rng: np.random.Generator) -> Iterator[Drawn]:
    mixed = rng.permutation(len(given.prompts))
    _, first = np.unique(given.units[given.prompts[mixed]], return_index=True)
    one_per_unit = np.sort(mixed[first])
    order = one_per_unit[np.argsort(-given.strength[one_per_unit], kind="stable")]
    for band in range(config.quantiles):
        own = order[len(order) * band // config.quantiles : len(order) * (band + 1) // config.quantiles]
        told = min(config.per_quantile, -(-len(own) // 2))
        explained = rng.permutation(own)[:told] if band else own[:told]
        scored = rng.permutation(np.setdiff1d(own, explained))[: config.per_quantile]
        for use, chosen in (("explain", explained), ("score", scored)):
            by_strength = chosen[np.argsort(-given.strength[chosen], kind="stable")]
            for place in by_strength.tolist():
                yield Drawn(int(given.prompts[place]), use, "quantile", config.quantiles - band)


def _fresh(order: Int[np.ndarray, " n"], units: Int[np.ndarray, " P"], used: set[int], count: int) -> list[int]:
    """The first `count` prompts of units that are not used, one of each."""
    own = units[order]
    free = ~np.isin(own, np.fromiter(used, np.int64, len(used)))
    order, own = order[free], own[free]
    _, first = np.unique(own, return_index=True)
    return [int(prompt) for prompt in order[np.sort(first)][:count]]
