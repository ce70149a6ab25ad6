"""Which images and captions go through the model together, and what comes out of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from torch import Tensor

from core.activations.rows import Key
from core.lm.loading import LoadedModel
from core.lm.prefix import CaptionGroup, States, continue_prefix, encode_prefix, run_whole
from core.study.sites import STREAM, Site


@dataclass(frozen=True)
class Batch:
    """Groups that share equally many tokens, and the passes that their captions are run in."""

    groups: tuple[int, ...]
    passes: tuple[tuple[tuple[int, int], ...], ...]


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


def run_batch(
    loaded: LoadedModel, groups: Sequence[CaptionGroup], batch: Batch, layers: Sequence[int], site: Site = STREAM
) -> Iterator[tuple[tuple[Key, ...], States]]:
    """Each layer's `site`, pass by pass: the sequences of a pass and [B, T, D], right padded.

    A caption's states begin after what its group shares; those of the shared part come first, where there is any.
    """
    prefix = None
    if groups[batch.groups[0]].shared:
        prefix, states = encode_prefix(loaded, [groups[number] for number in batch.groups], layers, site)
        yield tuple((number, None) for number in batch.groups), states
    place = {number: row for row, number in enumerate(batch.groups)}
    for keys in batch.passes:
        samples = [groups[number].samples[index] for number, index in keys]
        if prefix is None:
            yield keys, run_whole(loaded, samples, layers, site)
        else:
            owners = [place[number] for number, _ in keys]
            rests = [sample.ids[prefix.length :] for sample in samples]
            yield keys, continue_prefix(loaded, prefix, owners, rests, layers)


def capture_batch(
    loaded: LoadedModel,
    groups: Sequence[CaptionGroup],
    layers: Sequence[int],
    token_budget: int = 4096,
    site: Site = STREAM,
) -> dict[Key, dict[int, Tensor]]:
    """Each layer's `site` of every sequence of the groups, [T, D] each, in the model's own precision."""
    lengths: dict[Key, int] = {(number, None): group.shared for number, group in enumerate(groups)}
    for number, group in enumerate(groups):
        lengths |= {(number, index): len(group.rest(sample)) for index, sample in enumerate(group.samples)}
    return {
        key: {layer: states[layer][row, : lengths[key]] for layer in layers}
        for batch in plan_batches(groups, token_budget, None)
        for keys, states in run_batch(loaded, groups, batch, layers, site)
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
