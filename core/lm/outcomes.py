"""How likely a whole word is, its end included, and how far predictions move elsewhere in a caption."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.lm.agreement import logits_of
from core.lm.loaded import LoadedModel
from core.lm.prompts import EncodedSample, control_ids

LOGIT_BYTES = 256 * 2**20
"""Most memory that the logits of one portion may take."""
_BYTE_LEVEL_SPACE = "Ġ"


@dataclass(frozen=True)
class WordSequence:
    """A sequence that ends with a word: its tokens `start` … len(sample.ids) − 1 are the word.

    `closed` tells that the word's last token already reaches beyond the word, so that no end needs to follow it.
    """

    sample: EncodedSample
    start: int
    closed: bool


def cut_after_word(sample: EncodedSample, start: int, end: int) -> WordSequence | None:
    """The sequence up to the word `caption[start:end]`; null when the word's first token begins before the word, as
    then nothing tells what was written before it."""
    touching = [
        index for index, span in enumerate(sample.spans) if span is not None and span[0] < end and span[1] > start
    ]
    if not touching or _span(sample, touching[0])[0] < start:
        return None
    cut = sample.until(touching[-1] + 1)
    return WordSequence(cut, touching[0], _span(sample, touching[-1])[1] > end)


def _span(sample: EncodedSample, index: int) -> tuple[int, int]:
    span = sample.spans[index]
    assert span is not None  # caption tokens have one
    return span


def forked(first: WordSequence, second: WordSequence) -> tuple[EncodedSample, tuple[int, int]]:
    """Two words behind one prefix as one row, and where they start (`core.lm.patched.build_batch`'s forks).

    Raises:
        ValueError: the words stand behind different tokens.
    """
    one, other, start = first.sample, second.sample, first.start
    if one.ids[:start] != other.ids[: second.start]:
        raise ValueError(f"sample {one.sample_id}: the two words stand behind different tokens")
    joined = replace(
        one,
        ids=one.ids + other.ids[start:],
        segments=one.segments + other.segments[start:],
        special=one.special + other.special[start:],
        spans=one.spans + other.spans[start:],
    )
    return joined, (start, len(one.ids))


@dataclass(frozen=True)
class WordTargets:
    """Where in a batch of sequences their words are predicted, W tokens at most, padded.

    `positions` [B, W + 1] predict `tokens` [B, W] where `present` [B, W]; the last one predicts the word's end where
    it is `open`.
    """

    positions: Int[Tensor, "B W1"]
    tokens: Int[Tensor, "B W"]
    present: Bool[Tensor, "B W"]
    open: Bool[Tensor, " B"]


def word_targets(
    words: Sequence[WordSequence], device: torch.device, places: Sequence[int] | None = None
) -> WordTargets:
    """The targets of words, one per row of a batch; `places` are where their tokens stand if not behind the prefix."""
    widest = max(len(word.sample.ids) - word.start for word in words)
    positions = torch.zeros(len(words), widest + 1, dtype=torch.int64)
    tokens = torch.zeros(len(words), widest, dtype=torch.int64)
    present = torch.zeros(len(words), widest, dtype=torch.bool)
    for row, word in enumerate(words):
        ids = word.sample.ids[word.start :]
        place = word.start if places is None else places[row]
        read = [word.start - 1, *range(place, place + len(ids))]
        positions[row, : len(ids)] = torch.tensor(read[:-1])
        positions[row, -1] = read[-1]
        tokens[row, : len(ids)] = torch.tensor(ids)
        present[row, : len(ids)] = True
    unfinished = torch.tensor([not word.closed for word in words])
    return WordTargets(positions.to(device), tokens.to(device), present.to(device), unfinished.to(device))


def word_log_probs(
    loaded: LoadedModel, states: Float[Tensor, "B T D"], targets: WordTargets, ends: Bool[Tensor, " V"]
) -> Float[Tensor, " B"]:
    """log p(whole word | what stands before it): its tokens, then any token that ends a word.

    Args:
        loaded: the model whose vocabulary head is read.
        states: the final norm's output.
        targets: where the words stand.
        ends: the tokens that end a word (`word_ends`).

    Without the end, ممرض (a male nurse) would count every ممرضة (a female one) as its own.
    """
    picked = _gather(states, targets.positions)
    size = _portion(ends.numel() * picked.shape[1])
    scores, closings = [], []
    for start in range(0, picked.shape[0], size):
        log_probs = logits_of(loaded, picked[start : start + size]).float().log_softmax(dim=-1)
        tokens = targets.tokens[start : start + size, :, None]
        scores.append(log_probs[:, :-1].gather(2, tokens).squeeze(2))
        closings.append(log_probs[:, -1, ends].logsumexp(dim=-1))
    zero = torch.zeros((), device=states.device)
    spelled = torch.where(targets.present, torch.cat(scores), zero).sum(dim=1)
    return spelled + torch.where(targets.open, torch.cat(closings), zero)


def _gather(states: Float[Tensor, "B T D"], positions: Int[Tensor, "B W"]) -> Float[Tensor, "B W D"]:
    return states.gather(1, positions[..., None].expand(-1, -1, states.shape[-1]))


def _portion(numbers_a_row: int) -> int:
    return max(1, LOGIT_BYTES // (4 * numbers_a_row))


def word_ends(loaded: LoadedModel) -> Bool[Tensor, " V"]:
    """The tokens after which the word before them is over: those that open with a space or punctuation, and control
    tokens. Letters, digits, vowel marks and joiners continue a word."""
    tokenizer = loaded.tokenizer
    names: list[str | None] = tokenizer.convert_ids_to_tokens(range(len(tokenizer)))
    controls = control_ids(tokenizer)
    byte_level = any(name is not None and name.startswith(_BYTE_LEVEL_SPACE) for name in names)
    ends = torch.zeros(loaded.unembedding.shape[0], dtype=torch.bool)
    for index, name in enumerate(names[: ends.numel()]):
        ends[index] = index in controls or _opens_new(tokenizer.decode([index]) if byte_level else name)
    return ends.to(loaded.device)


def _opens_new(token: str | None) -> bool:
    if not token:
        return False
    if len(token) == 6 and token.startswith("<0x"):  # a byte; those from 0x80 on are parts of letters here
        byte = int(token[3:5], 16)
        return byte < 0x80 and not continues_word(chr(byte))
    return not continues_word(token[0])


def continues_word(character: str) -> bool:
    """Whether a character goes on with the word before it: letter, mark, digit, or invisible joiner."""
    # A decoder that meets half of a letter gives U+FFFD: bytes from 0x80 on are parts of letters.
    kind = unicodedata.category(character)
    return character == "\ufffd" or kind[0] in "LMN" or kind == "Cf"


@dataclass(frozen=True)
class Predictions:
    """Positions in captions whose next token is known: rows `row` and `position` of a batch, and that `token`."""

    row: Int[Tensor, " n"]
    position: Int[Tensor, " n"]
    token: Int[Tensor, " n"]


def caption_predictions(
    samples: Sequence[EncodedSample], left_out: Sequence[Sequence[tuple[int, int]]], device: torch.device
) -> Predictions:
    """Every position that predicts a caption token, but for tokens of the words `left_out` (characters, by sample)."""
    found: list[tuple[int, int, int]] = []
    for row, (sample, words) in enumerate(zip(samples, left_out, strict=True)):
        for index in range(max(sample.prefix_length, 1), len(sample.ids)):
            start, end = _span(sample, index)
            if not any(start < word_end and end > word_start for word_start, word_end in words):
                found.append((row, index - 1, sample.ids[index]))
    columns = torch.tensor(found, dtype=torch.int64, device=device).reshape(-1, 3)
    return Predictions(columns[:, 0], columns[:, 1], columns[:, 2])


@dataclass(frozen=True)
class Divergence:
    """What a patch does to predictions elsewhere, a mean over each row's positions (NaN for a row without any).

    `kl` is KL(clean ‖ patched) in nats; `cross_entropy` that of the caption's own tokens under the patched model.
    """

    kl: Float[Tensor, " B"]
    cross_entropy: Float[Tensor, " B"]


def divergence(
    loaded: LoadedModel, clean: Float[Tensor, "B T D"], patched: Float[Tensor, "B T D"], predictions: Predictions
) -> Divergence:
    """Compare the predictions of two runs of one batch, given their final norm's outputs."""
    totals = torch.zeros(3, clean.shape[0], device=clean.device)
    size = _portion(3 * loaded.unembedding.shape[0])
    for start in range(0, predictions.row.numel(), size):
        some = slice(start, start + size)
        row, position, token = predictions.row[some], predictions.position[some], predictions.token[some]
        before = logits_of(loaded, clean[row, position]).float().log_softmax(dim=-1)
        after = logits_of(loaded, patched[row, position]).float().log_softmax(dim=-1)
        kl = (before.exp() * (before - after)).sum(dim=-1)
        own = -after.gather(1, token[:, None]).squeeze(1)
        totals.index_add_(1, row, torch.stack([kl, own, torch.ones_like(kl)]))
    return Divergence(totals[0] / totals[2], totals[1] / totals[2])
