"""One image, many captions: what the captions share is encoded once, and each caption continues from it.

Exact for Gemma 3's bidirectional image block and its sliding windows, under these rules:
- the shared part is the longest common prefix of *token ids*, never cut inside an image block;
- images that run together have shared parts of equal length, so that no padding stands before a caption;
- a cache is forked for every use, never written to twice;
- a cache filled by a pass that stopped after layer ℓ serves layers up to ℓ, and no run that is patched otherwise.
"""

import copy
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import DynamicCache

from core.lm.hooks import Reading, capture, edits
from core.lm.inputs import Start, behind, model_inputs
from core.lm.loaded import LoadedModel
from core.lm.prompts import EncodedSample

States = dict[int, Float[Tensor, "B T D"]]
"""What a pass gives, layer by layer; of another shape where a reading keeps less."""


@dataclass(frozen=True)
class CaptionGroup:
    """The captions of one image (or of one text sample) and the number of tokens they share."""

    image_id: str
    samples: tuple[EncodedSample, ...]
    shared: int

    @property
    def shared_ids(self) -> list[int]:
        """The tokens that every caption of the group begins with."""
        return self.samples[0].ids[: self.shared]

    def rest(self, sample: EncodedSample) -> list[int]:
        """The sample's tokens after the shared ones."""
        return sample.ids[self.shared :]


@dataclass(frozen=True)
class Prefix:
    """Keys and values of B groups' shared tokens, valid for the layers up to `last_layer` and under the same changes
    of the model."""

    cache: DynamicCache
    length: int
    last_layer: int
    edits: frozenset[int] = frozenset()
    behind: Start | None = None

    def starts(self, owners: Sequence[int]) -> Start:
        """The position at which sequences behind these groups continue."""
        if not isinstance(self.behind, Tensor):
            return self.length
        return self.behind[torch.tensor(list(owners), device=self.behind.device)]


def common_length(loaded: LoadedModel, sequences: Sequence[Sequence[int]]) -> int:
    """How many leading tokens the model can run once for all `sequences`: `shared_length`, and none where every token
    of a prompt sees all of it (PaliGemma), so that prompts which differ anywhere differ everywhere."""
    return 0 if loaded.prefix_lm else shared_length(sequences, loaded.image_token_id)


def shared_length(sequences: Sequence[Sequence[int]], image_token_id: int | None) -> int:
    """Number of leading token ids that all `sequences` have in common, every one keeping at least one of its own.

    Moved back to the start of an image block that it would split; 0 when images come after it, since the pixels
    belong to one pass.
    """
    shortest = min(map(len, sequences)) - 1
    columns = zip(*(sequence[:shortest] for sequence in sequences))
    length = sum(1 for _ in takewhile(lambda column: len(set(column)) == 1, columns))
    while length and any(sequence[length - 1] == sequence[length] == image_token_id for sequence in sequences):
        length -= 1
    if any(image_token_id in sequence[length:] for sequence in sequences):
        return 0
    return length


@torch.inference_mode()
def encode_prefix(loaded: LoadedModel, groups: Sequence[CaptionGroup], reading: Reading) -> tuple[Prefix, States]:
    """Run the shared tokens of groups that share equally many, vision tower included.

    Returns:
        The prefix to continue from, and what the reading keeps of each layer, [B, P, D].
    """
    lengths = {group.shared for group in groups}
    if len(lengths) != 1 or 0 in lengths:
        raise ValueError(f"groups of equal, positive shared length belong in one prefix; got {sorted(lengths)}")
    ids = torch.tensor([group.shared_ids for group in groups], device=loaded.device)
    cache = DynamicCache(config=loaded.text_config)
    images = [group.samples[0] for group in groups]
    inputs = model_inputs(loaded, ids, torch.ones_like(ids), images)
    with capture(loaded.points(reading.site), reading.layers, reading.keep) as states:
        loaded.base(**inputs, past_key_values=cache, use_cache=True)
    length = lengths.pop()
    start = behind(inputs["position_ids"], length)
    return Prefix(cache, length, max(reading.layers), edits(loaded.blocks), start), states


@torch.inference_mode()
def continue_prefix(
    loaded: LoadedModel, prefix: Prefix, owners: Sequence[int], rests: Sequence[Sequence[int]], reading: Reading
) -> States:
    """Run each caption's own tokens behind the shared tokens of group `owners[i]` of the prefix.

    Returns:
        What the reading keeps of each layer, [B, S, D], right padded; rows beyond a caption's length mean nothing.
    """
    if (last := max(reading.layers)) > prefix.last_layer:
        raise ValueError(f"the prefix was encoded up to layer {prefix.last_layer}; layer {last} needs another")
    if prefix.edits != edits(loaded.blocks):
        raise ValueError("the model is changed otherwise than when the prefix was encoded; encode it again")
    if any(loaded.image_token_id in rest for rest in rests):
        raise ValueError("image tokens behind the prefix would run without their pixels; use run_whole")
    ids, mask = pad_right(rests, loaded)
    before = torch.ones((len(rests), prefix.length), dtype=mask.dtype, device=mask.device)
    cache = fork_cache(prefix.cache, owners)
    with capture(loaded.points(reading.site), reading.layers, reading.keep) as states:
        run_base(loaded, ids, torch.cat([before, mask], dim=1), [], cache=cache, start=prefix.starts(owners))
    return states


@torch.inference_mode()
def run_whole(loaded: LoadedModel, samples: Sequence[EncodedSample], reading: Reading) -> States:
    """Run whole sequences, nothing shared: what the reading keeps of each layer, [B, T, D], right padded."""
    ids, mask = pad_right([sample.ids for sample in samples], loaded)
    with capture(loaded.points(reading.site), reading.layers, reading.keep) as states:
        run_base(loaded, ids, mask, samples)
    return states


def run_base(
    loaded: LoadedModel,
    ids: Int[Tensor, "B T"],
    mask: Int[Tensor, "B S"],
    samples: Sequence[EncodedSample],
    *,
    cache: DynamicCache | None = None,
    start: Start = 0,
) -> Any:
    """One forward pass without the vocabulary head; the arguments are those of `model_inputs`."""
    inputs = model_inputs(loaded, ids, mask, samples, start)
    return loaded.base(**inputs, past_key_values=cache, use_cache=cache is not None)


def fork_cache(cache: DynamicCache, rows: Sequence[int]) -> DynamicCache:
    """A cache of its own holding the batch rows `rows` of `cache`, which is left as it was."""
    fork = copy.copy(cache)
    fork.layers = [copy.copy(layer) for layer in cache.layers]
    index = torch.tensor(list(rows))
    for layer in fork.layers:
        # Layers above an early stop are empty, and so are those that read another layer's keys and values (Gemma 4).
        if layer.keys is not None and layer.get_seq_length() > 0:
            layer.batch_select_indices(index.to(layer.device))  # copies; a later update concatenates, into new tensors
    return fork


def pad_right(sequences: Sequence[Sequence[int]], loaded: LoadedModel) -> tuple[Int[Tensor, "B T"], Int[Tensor, "B T"]]:
    """Token ids filled up at the right to one length, and the mask that is 1 on real tokens."""
    width = max(map(len, sequences))
    fill = loaded.tokenizer.pad_token_id or 0
    ids = torch.full((len(sequences), width), fill, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for row, sequence in enumerate(sequences):
        ids[row, : len(sequence)] = torch.tensor(list(sequence))
        mask[row, : len(sequence)] = 1
    return ids.to(loaded.device), mask.to(loaded.device)
