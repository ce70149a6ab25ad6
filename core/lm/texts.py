"""Texts as a batch of tokens, padded on either side."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import repeat
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Bool, Int
from torch import Tensor

from core.errors import BadInput
from core.lm.images import GRID
from core.lm.inputs import model_inputs
from core.lm.loaded import LoadedModel
from core.lm.prefix import pad_right
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample

Side = Literal["left", "right"]


@dataclass(frozen=True)
class TextBatch:
    """Texts as tokens: `ids` [B, T], `mask` [B, T] (1 on tokens, 0 on padding), and what each row was made of."""

    ids: Int[Tensor, "B T"]
    mask: Int[Tensor, "B T"]
    samples: tuple[EncodedSample, ...]
    side: Side

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def real(self) -> Bool[Tensor, "B T"]:
        """Where tokens stand, and no padding."""
        return self.mask.bool()

    @property
    def lengths(self) -> Int[Tensor, " B"]:
        """Tokens of each row."""
        return self.mask.sum(dim=1)

    def at(self, row: int, position: int | slice = slice(None)) -> Bool[Tensor, "B T"]:
        """One row, or tokens of it, counted without padding: −1 is its last token wherever the padding stands.

        Raises:
            BadInput: there is no such row or token.
        """
        length = len(self.samples[row].ids) if -len(self) <= row < len(self) else -1
        if length < 0 or (isinstance(position, int) and not -length <= position < length):
            told = f"row {row}" if length < 0 else f"row {row}, token {position}"
            raise BadInput(f"{told}: the batch has {len(self)} rows" + (f", this row {length}" if length >= 0 else ""))
        places = self.real[row].nonzero()[:, 0][position]
        chosen = torch.zeros_like(self.real)
        chosen[row, places] = True
        return chosen


def encode_texts(
    loaded: LoadedModel,
    texts: Sequence[str],
    images: Sequence[Path] | None = None,
    instruction: str = "",
    side: Side = "right",
) -> TextBatch:
    """Each text behind its prompt: BOS, or by the chat template where there is an instruction or an image.

    Control tokens that a text spells are taken as the text that they are. An empty text gives the prompt alone.

    Raises:
        BadInput: there are none, not as many images, the model takes none, or its rows cannot be padded on the left.
    """
    if isinstance(texts, str) or not texts:
        raise BadInput("texts: give a list of one text or more")
    if images is not None and len(images) != len(texts):
        raise BadInput(f"images: {len(images)} for {len(texts)} texts; give one per text")
    if side not in ("left", "right"):
        raise BadInput(f"side: {side!r}; padding stands left or right")
    samples = tuple(
        encode_sample(loaded, CaptionRequest(str(row), str(row), "", text, instruction, image, literal=True))
        for row, (text, image) in enumerate(zip(texts, images or repeat(None, len(texts)), strict=True))
    )
    if empty := [row for row, sample in enumerate(samples) if not sample.ids]:
        raise BadInput(f"texts: row {empty[0]} has no tokens; the model has no BOS, so give it a text")
    ids, mask = pad_right([sample.ids for sample in samples], loaded)
    if side == "left":
        _refuse_left(loaded, samples, mask)
        shifts = (mask.shape[1] - mask.sum(dim=1)).tolist()
        ids, mask = (torch.stack([row.roll(by) for row, by in zip(part, shifts)]) for part in (ids, mask))
    return TextBatch(ids, mask, samples, side)


def text_inputs(loaded: LoadedModel, batch: TextBatch) -> dict[str, Any]:
    """The keyword arguments of the base model's forward."""
    inputs = model_inputs(loaded, batch.ids, batch.mask, batch.samples)
    if batch.side == "left" and not batch.real.all():
        inputs["position_ids"] = (batch.mask.cumsum(dim=1) - 1).clamp(min=0)
    return inputs


def _refuse_left(loaded: LoadedModel, samples: Sequence[EncodedSample], mask: Int[Tensor, "B T"]) -> None:
    grid = hasattr(loaded.base, "get_rope_index") and any(sample.image is not None for sample in samples)
    if (grid or loaded.prefix_lm) and not mask.all():
        why = f"in a grid ({GRID})" if grid else "from the image on"
        raise BadInput(
            f"model {loaded.folder}: counts places {why}, so that rows are not padded on the left; give rows of one "
            "length, or pad on the right"
        )
