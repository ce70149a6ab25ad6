"""A forward pass resumed above one layer, from a residual stream that was changed there.

What lies above a patch is computed anew at every position, keys and values too (a clean cache under a patched stream
was 23 to 38 % off); what lies below, the vision tower included, is never computed again.
"""

import inspect
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.hooks import capture
from core.lm.images import pixel_values
from core.lm.loading import LoadedModel
from core.lm.prompts import EncodedSample

OUTSIDE, IMAGE, PROMPT, CAPTION, LAST_PROMPT = 0, 1, 2, 3, 4
"""Segment codes of a position: padding and control tokens, image, prompt, caption, and the last one of the prompt."""
_CODES = {"image": IMAGE, "prompt": PROMPT, "caption": CAPTION}


@dataclass(frozen=True)
class TokenBatch:
    """Sequences padded on the right to one length T, as the model takes them.

    `segments` holds the codes above: OUTSIDE marks what no feature describes (padding, BOS, chat control, image
    boundary), except that the last prompt position, from which the caption's first word is written, has a code of
    its own although it is a control token.
    """

    input_ids: Int[Tensor, "B T"]
    attention_mask: Int[Tensor, "B T"]
    token_type_ids: Int[Tensor, "B T"] | None
    pixel_values: Float[Tensor, "B C H W"] | None
    segments: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def patchable(self) -> Bool[Tensor, "B T"]:
        """The positions that an intervention reaches by default: image, prompt and caption."""
        return self.segments != OUTSIDE

    def rows(self, chosen: slice) -> "TokenBatch":
        """Some of the sequences, padded no longer than they need."""
        width = int(self.lengths[chosen].max())
        types, pixels = self.token_type_ids, self.pixel_values
        return TokenBatch(
            input_ids=self.input_ids[chosen, :width],
            attention_mask=self.attention_mask[chosen, :width],
            token_type_ids=None if types is None else types[chosen, :width],
            pixel_values=None if pixels is None else pixels[chosen],
            segments=self.segments[chosen, :width],
            lengths=self.lengths[chosen],
        )

    def repeated(self, times: int) -> "TokenBatch":
        """Every sequence `times` times over, the whole batch after the whole batch; without pixels, which only a
        clean run reads."""
        types = self.token_type_ids
        return replace(
            self,
            input_ids=self.input_ids.repeat(times, 1),
            attention_mask=self.attention_mask.repeat(times, 1),
            token_type_ids=None if types is None else types.repeat(times, 1),
            pixel_values=None,
            segments=self.segments.repeat(times, 1),
            lengths=self.lengths.repeat(times),
        )


def build_batch(loaded: LoadedModel, samples: Sequence[EncodedSample]) -> TokenBatch:
    """Pad `samples` on the right, prepare their images and mark their segments.

    Raises:
        BadInput: some samples have an image and others none, or an image cannot be read.
    """
    lengths = torch.tensor([len(sample.ids) for sample in samples])
    shape = (len(samples), int(lengths.max()))
    ids = torch.full(shape, _padding_id(loaded.tokenizer), dtype=torch.int64)
    segments = torch.zeros(shape, dtype=torch.int8)
    for row, sample in enumerate(samples):
        ids[row, : len(sample.ids)] = torch.tensor(sample.ids)
        segments[row, : len(sample.ids)] = torch.tensor(_codes(sample), dtype=torch.int8)
    mask = (torch.arange(shape[1]) < lengths[:, None]).long()
    types = None
    if loaded.shape.has_images and "token_type_ids" in inspect.signature(loaded.base.forward).parameters:
        types = torch.eq(ids, loaded.image_token_id or -1).long().to(loaded.device)
    place = loaded.device
    pixels = read_pixels(loaded, samples)
    return TokenBatch(ids.to(place), mask.to(place), types, pixels, segments.to(place), lengths.to(place))


def read_pixels(loaded: LoadedModel, samples: Sequence[EncodedSample]) -> Float[Tensor, "B C H W"] | None:
    """The samples' images as the model's processor prepares them, each read once; null when there are none.

    Raises:
        BadInput: only some have an image, the model takes none, or a file cannot be read.
    """
    paths = [sample.image for sample in samples if sample.image is not None]
    if not paths:
        return None
    if len(paths) != len(samples):
        missing = next(sample.sample_id for sample in samples if sample.image is None)
        raise BadInput(f"sample {missing}: has no image, but others of its batch have one")
    unique = list(dict.fromkeys(paths))
    return pixel_values(loaded, unique)[torch.tensor([unique.index(path) for path in paths])]


def clean_run(loaded: LoadedModel, batch: TokenBatch, layers: Collection[int]) -> dict[int, Float[Tensor, "B T D"]]:
    """The residual stream after each of `layers`; the pass ends after the last of them."""
    with torch.no_grad(), capture(loaded.blocks, layers) as streams:
        loaded.base(**_arguments(batch), **_pixels(batch))
    return streams


def run_full(loaded: LoadedModel, batch: TokenBatch) -> Float[Tensor, "B T D"]:
    """The final norm's output of the whole model; interventions through `core.lm.hooks.edit` take part."""
    with torch.no_grad():
        states: Tensor = loaded.base(**_arguments(batch), **_pixels(batch)).last_hidden_state
    return states


def states_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T D"]:
    """The final norm's output when the stream after block `layer` is `stream`: only the blocks above it run."""
    arguments = _arguments(batch)
    del arguments["input_ids"]
    with torch.no_grad(), _answering(loaded.blocks, layer, stream):
        states: Tensor = loaded.base(inputs_embeds=stream, **arguments).last_hidden_state
    return states


def run_from(
    loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Float[Tensor, "B T D"]
) -> Float[Tensor, "B T V"]:
    """The logits when the stream after block `layer` is `stream`: equal to the full forward for the clean stream."""
    return logits_of(loaded, states_from(loaded, batch, layer, stream))


def logits_of(loaded: LoadedModel, states: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    """The vocabulary head on the final norm's output, soft-capped where the model is (Gemma 2)."""
    model: Any = loaded.model
    with torch.no_grad():
        logits: Tensor = model.get_output_embeddings()(states)
        cap = getattr(loaded.text_config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)


@contextmanager
def _answering(blocks: nn.ModuleList, layer: int, stream: Tensor) -> Iterator[None]:
    """Every block up to `layer` answers with `stream`, so that the model's own code makes masks and rotary angles."""

    def answer(*_inputs: Any, **_options: Any) -> Tensor:
        return stream

    skipped = list(blocks[: layer + 1])
    for block in skipped:
        block.forward = answer
    try:
        yield
    finally:
        for block in skipped:
            del block.forward


def _arguments(batch: TokenBatch) -> dict[str, Any]:
    arguments: dict[str, Any] = {"input_ids": batch.input_ids, "attention_mask": batch.attention_mask}
    if batch.token_type_ids is not None:
        # Left out, the model raises nothing and reads the image causally.
        arguments["token_type_ids"] = batch.token_type_ids
    return {**arguments, "use_cache": False}


def _pixels(batch: TokenBatch) -> dict[str, Tensor]:
    return {} if batch.pixel_values is None else {"pixel_values": batch.pixel_values}


def _codes(sample: EncodedSample) -> list[int]:
    codes = [
        OUTSIDE if special else _CODES[segment]
        for segment, special in zip(sample.segments, sample.special, strict=True)
    ]
    # BOS alone is no decision point: nothing has been read there, and its norm is orders larger than any other.
    if sample.prefix_length > 1:
        codes[sample.prefix_length - 1] = LAST_PROMPT
    return codes


def _padding_id(tokenizer: Any) -> int:
    return int(tokenizer.pad_token_id) if tokenizer.pad_token_id is not None else 0
