"""Many words behind one prefix in one row of a batch: spelled, laid out and scored together.

The prefix runs once. Each word is a continuation of its own (`core.lm.forks`), but for words that begin another (ممرض
begins ممرضة): those are read off the longer one's tokens. Each position is read by the vocabulary head once, however
many words go through it.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.outcomes import LOGIT_BYTES, WordSequence
from core.lm.prompts import EncodedSample

Spelling = tuple[int, ...]
"""The tokens of a word."""


def spelled(
    loaded: LoadedModel, word: WordSequence, others: Sequence[str], since: int | None = None
) -> list[Spelling | None]:
    """The tokens of other words in a word's place; null where what stands before would be tokenised otherwise.

    `since` is the token from which on they are given, before the word: the space before it, in vocabularies where that
    is a token of its own before some words.
    """
    sample, span = word.sample, word.sample.spans[word.start]
    assert span is not None  # a caption token
    caption = len(sample.text) - len(sample.caption)
    apart = loaded.prefix_lm  # there a caption is tokenised by itself (`core.lm.prompts`)
    before = sample.text[caption if apart else 0 : caption + span[0]]
    known = sample.ids[sample.prefix_length if apart else 0 : word.start if since is None else since]
    found = loaded.tokenizer([before + other for other in others], add_special_tokens=False)["input_ids"]
    whole = (tuple(ids[len(known) :]) if ids[: len(known)] == known else () for ids in found)
    return [ids or None for ids in whole]


@dataclass(frozen=True)
class Layout:
    """Where words stand: `continuations` behind the prefix, and for each word which of them, and how many tokens of it
    are the word's."""

    continuations: tuple[Spelling, ...]
    words: tuple[tuple[int, int], ...]


def lay_out(words: Sequence[Spelling], first: Sequence[Spelling] = ()) -> Layout:
    """As few continuations as hold all words; those given `first` are continuations anyway."""
    taken = list(first)
    held = {own[:length]: (number, length) for number, own in enumerate(taken) for length in range(1, len(own) + 1)}
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        if word not in held:
            held |= {word[:length]: (len(taken), length) for length in range(1, len(word) + 1)}
            taken.append(word)
    return Layout(tuple(taken), tuple(held[word] for word in words))


def extended(row: EncodedSample, continuations: Sequence[Spelling]) -> tuple[EncodedSample, list[int]]:
    """A row with more continuations behind all that it holds, and where they start."""
    starts = [len(row.ids)]
    for own in continuations:
        starts.append(starts[-1] + len(own))
    ids = [token for own in continuations for token in own]
    more = replace(
        row,
        ids=[*row.ids, *ids],
        segments=[*row.segments, *(["caption"] * len(ids))],
        special=[*row.special, *([False] * len(ids))],
        spans=[*row.spans, *([None] * len(ids))],
    )
    return more, starts[:-1]


@dataclass(frozen=True)
class WordPlaces:
    """Where W words of a batch are predicted: `row` and `position` [n] are read; entry i is the `token` of word
    `word[i]` predicted at the reading `read[i]`; `end` [W] is the reading that predicts a word's end."""

    row: Int[Tensor, " n"]
    position: Int[Tensor, " n"]
    word: Int[Tensor, " m"]
    read: Int[Tensor, " m"]
    token: Int[Tensor, " m"]
    end: Int[Tensor, " W"]


def word_places(
    layouts: Sequence[Layout], prefixes: Sequence[int], starts: Sequence[Sequence[int]], device: torch.device
) -> WordPlaces:
    """The places of all words of a batch, row by row.

    Args:
        layouts: of each row.
        prefixes: each row's tokens before its words.
        starts: where each row's continuations start.
        device: of the batch.
    """
    readings: dict[tuple[int, int], int] = {}
    entries: list[tuple[int, int, int]] = []
    ends: list[int] = []
    for row, (layout, prefix, begins) in enumerate(zip(layouts, prefixes, starts, strict=True)):
        for number, length in layout.words:
            at = [prefix - 1, *range(begins[number], begins[number] + length)]
            read = [readings.setdefault((row, place), len(readings)) for place in at]
            own = layout.continuations[number][:length]
            entries += [(len(ends), one, token) for one, token in zip(read[:-1], own, strict=True)]
            ends.append(read[-1])
    rows, positions = torch.tensor(list(readings), device=device).reshape(-1, 2).unbind(1)
    word, read_at, token = torch.tensor(entries, device=device).reshape(-1, 3).unbind(1)
    return WordPlaces(rows, positions, word, read_at, token, torch.tensor(ends, device=device, dtype=torch.int64))


def many_word_log_probs(
    loaded: LoadedModel, states: Float[Tensor, "B T D"], places: WordPlaces, ends: Bool[Tensor, " V"]
) -> Float[Tensor, " W"]:
    """log p(whole word | its prefix) of every word, its end included, as `core.lm.outcomes.word_log_probs` gives it."""
    read = states[places.row, places.position]
    scores = torch.zeros(places.token.numel(), dtype=torch.float64, device=states.device)
    closing = torch.zeros(len(read), dtype=torch.float64, device=states.device)
    for some, log_probs in _log_probs(loaded, read):
        here = (places.read >= some.start) & (places.read < some.stop)
        scores[here] = log_probs[places.read[here] - some.start, places.token[here]].double()
        closing[some] = log_probs[:, ends].logsumexp(dim=-1).double()
    return closing[places.end].index_add(0, places.word, scores)


def _log_probs(loaded: LoadedModel, read: Float[Tensor, "n D"]) -> Iterator[tuple[slice, Float[Tensor, "c V"]]]:
    size = max(1, LOGIT_BYTES // (4 * loaded.unembedding.shape[0]))
    for start in range(0, len(read), size):
        yield slice(start, start + size), logits_of(loaded, read[start : start + size]).float().log_softmax(dim=-1)
