"""Which images and captions go through the model together, and what comes out of it."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from core.activations.requests import Drop
from core.activations.rows import Key, Layout
from core.lm.hooks import Keep, Reading, whole
from core.lm.images import read_ahead
from core.lm.loaded import LoadedModel
from core.lm.loading import in_float32
from core.lm.prefix import CaptionGroup, States, continue_prefix, encode_prefix, run_whole
from core.study.model import CaptureConfig
from core.study.sites import STREAM, Site

KeepOf = Callable[[tuple[Key, ...]], Keep]
"""Given the sequences of a pass that is about to run: what is kept of each layer's states."""


def whole_of(_keys: tuple[Key, ...]) -> Keep:
    """Keep the states of every token."""
    return whole


@dataclass(frozen=True)
class Batch:
    """Groups that share equally many tokens, and the passes that their captions are run in."""

    groups: tuple[int, ...]
    passes: tuple[tuple[tuple[int, int], ...], ...]


class Passes(Protocol):
    """The groups of a shard, and how a model is run over them."""

    @property
    def device(self) -> torch.device:
        """Where the model is."""

    def sequences(self, number: int) -> int:
        """How many captions (or images, or samples) a group is counted as when progress is told."""

    def longest(self, number: int) -> int:
        """Tokens of a group's longest sequence, which no budget can divide."""

    def plan(self, token_budget: int, most: int | None, numbers: Sequence[int]) -> list[Batch]:
        """The batches of some groups: at most `token_budget` tokens a pass, and `most` groups."""

    def expect(self, batches: Sequence[Batch]) -> None:
        """Begin to prepare what these batches need, and forget what was prepared for others."""

    def run(self, batch: Batch, keep_of: KeepOf = whole_of) -> Iterator[tuple[tuple[Key, ...], States]]:
        """What each pass of a batch gives: its sequences, and what is kept of each layer's states [B, T, D]."""

    def exact(self) -> "Passes | None":
        """The same passes in float32; null where they are in it already."""


@dataclass(frozen=True)
class Shard:
    """What a shard is made of, before the model runs: its rows, the passes that fill them, and what was left out.

    `images` are the image ids of the passes' groups, in order; `width` is how many numbers a row has.
    """

    layout: Layout
    passes: Passes
    layers: tuple[int, ...]
    config: CaptureConfig
    width: int
    compute_dtype: str
    attention: str
    images: tuple[str, ...]
    captions: int = 0
    drops: tuple[Drop, ...] = ()
    cut: int = 0


@dataclass(frozen=True)
class CaptionPasses:
    """Captions behind their images."""

    loaded: LoadedModel
    groups: tuple[CaptionGroup, ...]
    layers: tuple[int, ...]
    site: Site

    @property
    def device(self) -> torch.device:
        """Where the model is."""
        return self.loaded.device

    def sequences(self, number: int) -> int:
        """Captions of a group."""
        return len(self.groups[number].samples)

    def longest(self, number: int) -> int:
        """Tokens of a group's longest caption, prompt included."""
        return max(len(sample.ids) for sample in self.groups[number].samples)

    def plan(self, token_budget: int, most: int | None, numbers: Sequence[int]) -> list[Batch]:
        """As `plan_batches`."""
        return plan_batches(self.groups, token_budget, most, numbers)

    def expect(self, batches: Sequence[Batch]) -> None:
        """Read ahead the images that the batches' passes begin with."""
        samples = [sample for batch in batches for number in batch.groups for sample in self.groups[number].samples]
        read_ahead(self.loaded, [sample.image for sample in samples if sample.image is not None])

    def run(self, batch: Batch, keep_of: KeepOf = whole_of) -> Iterator[tuple[tuple[Key, ...], States]]:
        """Pass by pass: its sequences, and what is kept of each layer's site, [B, T, D], right padded.

        A caption's states begin after what its group shares; those of the shared part come first, where there is any.
        """
        prefix = None
        groups = [self.groups[number] for number in batch.groups]
        if groups[0].shared:
            keys: tuple[Key, ...] = tuple((number, None) for number in batch.groups)
            prefix, states = encode_prefix(self.loaded, groups, self._reading(keys, keep_of))
            yield keys, states
        place = {number: row for row, number in enumerate(batch.groups)}
        for keys in batch.passes:
            samples = [self.groups[number].samples[index] for number, index in keys]
            reading = self._reading(keys, keep_of)
            if prefix is None:
                yield keys, run_whole(self.loaded, samples, reading)
            else:
                owners = [place[number] for number, _ in keys]
                rests = [sample.ids[prefix.length :] for sample in samples]
                yield keys, continue_prefix(self.loaded, prefix, owners, rests, reading)

    def _reading(self, keys: tuple[Key, ...], keep_of: KeepOf) -> Reading:
        return Reading(self.layers, self.site, keep_of(keys))

    def exact(self) -> "CaptionPasses | None":
        """The same captions through the model in float32."""
        exact = in_float32(self.loaded)
        return None if exact is None else replace(self, loaded=exact)


def plan_batches(
    groups: Sequence[CaptionGroup],
    token_budget: int,
    max_images: int | None,
    numbers: Sequence[int] | None = None,
) -> list[Batch]:
    """Portions whose passes hold at most `token_budget` tokens, padding included (or one sequence that is longer).

    `numbers` are the groups to run, by default all.
    Captions are bucketed by length within a portion. Deterministic in the groups and the two bounds.
    """
    by_length: dict[int, list[int]] = {}
    for number in range(len(groups)) if numbers is None else numbers:
        by_length.setdefault(groups[number].shared, []).append(number)
    plan = []
    for shared, alike in by_length.items():
        size = max(1, token_budget // shared) if shared else len(alike)
        for portion in _chunks(alike, min(size, max_images or size)):
            plan.append(Batch(portion, tuple(_caption_passes(groups, portion, token_budget))))
    return plan


def capture_batch(
    loaded: LoadedModel,
    groups: Sequence[CaptionGroup],
    layers: Sequence[int],
    token_budget: int = 4096,
    site: Site = STREAM,
) -> dict[Key, dict[int, Tensor]]:
    """Each layer's `site` of every sequence of the groups, [T, D] each, in the model's own precision."""
    passes = CaptionPasses(loaded, tuple(groups), tuple(layers), site)
    lengths: dict[Key, int] = {(number, None): group.shared for number, group in enumerate(groups)}
    for number, group in enumerate(groups):
        lengths |= {(number, index): len(group.rest(sample)) for index, sample in enumerate(group.samples)}
    return {
        key: {layer: states[layer][row, : lengths[key]] for layer in layers}
        for batch in plan_batches(groups, token_budget, None)
        for keys, states in passes.run(batch)
        for row, key in enumerate(keys)
    }


def _caption_passes(
    groups: Sequence[CaptionGroup], portion: Sequence[int], token_budget: int
) -> Iterator[tuple[tuple[int, int], ...]]:
    lengths = {
        (number, index): len(groups[number].rest(sample))
        for number in portion
        for index, sample in enumerate(groups[number].samples)
    }
    together: list[tuple[int, int]] = []
    for key in sorted(lengths, key=lambda key: (lengths[key], key)):
        if together and (len(together) + 1) * lengths[key] > token_budget:
            yield tuple(together)
            together = []
        together.append(key)
    if together:
        yield tuple(together)


def _chunks(numbers: Sequence[int], size: int) -> Iterator[tuple[int, ...]]:
    for start in range(0, len(numbers), size):
        yield tuple(numbers[start : start + size])
