"""Where in the rows of minimal pairs each position set stands: what an interchange reaches."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool
from torch import Tensor

from core.causal.pairs import MinimalPair
from core.data.concept import IMAGE as IMAGE_SET
from core.data.concept import LAST_PROMPT as LAST_PROMPT_SET
from core.data.concept import OTHER, Concept
from core.lm.batches import CAPTION, IMAGE, LAST_PROMPT, OUTSIDE, PROMPT, TokenBatch

INSTRUCTION, CONTROL = "instruction", "control tokens"
"""The prompt's words but the last token, and the tokens around them that stand for no text."""
WORD = "the word itself"
"""The word that is asked for, whose later tokens read its first ones: معلم and معلمة begin alike."""
EVERY = "every position"


@dataclass(frozen=True)
class Words:
    """Where a pair's words stand among its row's tokens: the concept's first one (`start`, `end`), and the one that is
    predicted, from `asked` on: the first itself, or a later one."""

    start: int
    end: int
    asked: int

    @classmethod
    def first(cls, pair: MinimalPair) -> "Words":
        """Of a pair that asks for the first word."""
        return cls(pair.prefix_length, pair.prefix_length, pair.prefix_length)

    @classmethod
    def later(cls, first: MinimalPair, later: MinimalPair) -> "Words":
        """Of a pair that asks for a later word of a caption whose first word another pair asks for."""
        own = first.positive if first.sign == -1 else first.negative
        return cls(own.start, len(own.sample.ids), later.prefix_length)


def position_masks(batch: TokenBatch, words: Sequence[Words], concept: Concept) -> dict[str, Bool[Tensor, "B T"]]:
    """Every position set up to the word that is asked for; those that no row of the batch has are left out.

    Beside the concept's own sets there are the instruction and the control tokens, which are in no statistic: what
    decides the first word may pass through them. For a later word there are the picture, the first word, and `other`:
    the caption tokens between that and the word asked for.
    """
    segments, place = batch.segments, torch.arange(batch.input_ids.shape[1], device=batch.segments.device)
    start, end, asked = (
        torch.tensor(column, device=place.device)[:, None]
        for column in zip(*((word.start, word.end, word.asked) for word in words), strict=True)
    )
    caption = (segments == CAPTION) & (place < asked)
    own = concept.positions
    masks = {
        IMAGE_SET: segments == IMAGE,
        INSTRUCTION: segments == PROMPT,
        CONTROL: (segments == OUTSIDE) & batch.attention_mask.bool(),
        LAST_PROMPT_SET: segments == LAST_PROMPT,
        own.before: caption & (place < start),
        own.first: caption & (place >= start) & (place < end),
        OTHER: caption & (place >= end) & (end > start),
        WORD: (segments == CAPTION) & (place >= asked),
    }
    later = {IMAGE_SET, own.first, OTHER, WORD}
    wanted = later if any(word.asked > word.start for word in words) else set(masks)
    return {name: mask for name, mask in masks.items() if name in wanted and mask.any()}
