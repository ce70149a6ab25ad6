"""Token sequences as the model takes them: padded, with images, segments, and forks into several continuations."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from core.errors import BadInput
from core.lm.forks import Fork
from core.lm.images import GRID, Picture, read_pictures, together
from core.lm.inputs import positions, token_types
from core.lm.loaded import LoadedModel
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
    pictures: tuple[Picture, ...] | None
    segments: Int[Tensor, "B T"]
    lengths: Int[Tensor, " B"]
    fork: Fork | None = None
    position_ids: Int[Tensor, "*axes B T"] | None = None

    def __len__(self) -> int:
        return self.input_ids.shape[0]

    def patchable(self) -> Bool[Tensor, "B T"]:
        """The positions that an intervention reaches by default: image, prompt and caption."""
        return self.segments != OUTSIDE

    def rows(self, chosen: slice) -> "TokenBatch":
        """Some of the sequences, padded no longer than they need."""
        width = int(self.lengths[chosen].max())
        types, pictures, places = self.token_type_ids, self.pictures, self.position_ids
        return TokenBatch(
            input_ids=self.input_ids[chosen, :width],
            attention_mask=self.attention_mask[chosen, :width],
            token_type_ids=None if types is None else types[chosen, :width],
            pictures=None if pictures is None else pictures[chosen],
            segments=self.segments[chosen, :width],
            lengths=self.lengths[chosen],
            fork=None if self.fork is None else self.fork.rows(chosen, width),
            position_ids=None if places is None else places[..., chosen, :width],
        )

    def repeated(self, times: int) -> "TokenBatch":
        """Every sequence `times` times over, the whole batch after the whole batch; without pictures, which only a
        clean run reads."""
        types, places = self.token_type_ids, self.position_ids
        return replace(
            self,
            input_ids=self.input_ids.repeat(times, 1),
            attention_mask=self.attention_mask.repeat(times, 1),
            token_type_ids=None if types is None else types.repeat(times, 1),
            pictures=None,
            segments=self.segments.repeat(times, 1),
            lengths=self.lengths.repeat(times),
            fork=None if self.fork is None else self.fork.repeated(times),
            position_ids=None if places is None else torch.cat([places] * times, dim=-2),
        )

    def apart(self) -> "TokenBatch":
        """The continuations of every row as rows of their own: all first ones, then all second ones and so on.

        Raises:
            ValueError: the rows are not forked.
        """
        if self.fork is None:
            raise ValueError("rows that are not forked have no two continuations")
        found, sides = self.fork.sequences(self.attention_mask.bool()), self.fork.sides
        real, width = found >= 0, found.shape[1]
        # Padding repeats a row's last token, which is none of an image.
        places = torch.where(real, found, (self.lengths - 1).repeat(sides)[:, None])
        types, pictures, where = self.token_type_ids, self.pictures, self.position_ids
        return TokenBatch(
            input_ids=self.input_ids.repeat(sides, 1).gather(1, places),
            attention_mask=real.long(),
            token_type_ids=None if types is None else types.repeat(sides, 1).gather(1, places),
            pictures=None if pictures is None else pictures * sides,
            segments=self.segments.repeat(sides, 1).gather(1, places).masked_fill(~real, OUTSIDE),
            lengths=real.sum(dim=1),
            position_ids=None if where is None else torch.cat([where[..., :width]] * sides, dim=-2),
        )

    def parted(self, states: Float[Tensor, "B T D"]) -> Float[Tensor, "nB S D"]:
        """The rows' states as those of `apart`.

        Raises:
            ValueError: the rows are not forked.
        """
        if self.fork is None:
            raise ValueError("rows that are not forked have no two continuations")
        places = self.fork.sequences(self.attention_mask.bool()).clamp(min=0)
        return states.repeat(self.fork.sides, 1, 1)[torch.arange(len(places), device=places.device)[:, None], places]


def build_batch(
    loaded: LoadedModel, samples: Sequence[EncodedSample], forks: Sequence[Sequence[int]] | None = None
) -> TokenBatch:
    """Pad `samples` on the right, prepare their images and mark their segments.

    With `forks`, each row holds several continuations: its tokens from each later number on continue what stands before
    the first number, as if those between were not there.

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
    place = loaded.device
    ids, mask = ids.to(place), mask.to(place)
    pictures = _pictures(loaded, samples)
    return TokenBatch(
        input_ids=ids,
        attention_mask=mask,
        token_type_ids=token_types(loaded, ids, samples),
        pictures=pictures,
        segments=segments.to(place),
        lengths=lengths.to(place),
        fork=None if forks is None else Fork.at(forks, shape[1], place),
        position_ids=_places(loaded, ids, mask, pictures),
    )


def _places(
    loaded: LoadedModel, ids: Int[Tensor, "B T"], mask: Int[Tensor, "B T"], pictures: Sequence[Picture] | None
) -> Int[Tensor, "*axes B T"] | None:
    """The positions, where the model cannot count them by itself once its blocks are handed a stream or a fork."""
    grids = together([{GRID: picture[GRID]} for picture in pictures or () if GRID in picture])
    if not grids and not loaded.prefix_lm:
        return None
    found = positions(loaded, ids, mask, grids)
    return found if found.ndim == 3 else found.expand(len(ids), -1)


def _pictures(loaded: LoadedModel, samples: Sequence[EncodedSample]) -> tuple[Picture, ...] | None:
    """Each sample's image as the model's processor prepares it, read once; null when there are none.

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
    read = dict(zip(unique, read_pictures(loaded, unique), strict=True))
    return tuple(read[path] for path in paths)


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
