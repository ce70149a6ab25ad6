"""Changed runs of a model that was just opened, tried on a short caption: resumed, forked, and written token by token.

Models that pass over a mask, count places by themselves or look at tokens beside the stream run all the same; only
their states tell.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from core.errors import BadInput
from core.lm.agreement import STATES_AGREE, compare_states, logits_of, worded
from core.lm.batches import build_batch
from core.lm.loaded import LoadedModel
from core.lm.outcomes import WordSequence, forked
from core.lm.patched import clean_run, embed, run_embedded, states_from
from core.lm.prefix import Prefix, States, fork_cache, run_base
from core.lm.prompts import EncodedSample

_RESUMED = "it cannot be run on from a layer's stream"
_ONE_BLOCK = 0.01
"""Most that block 0 may change a state by running forks in place. bfloat16 rounds by 0.0006 there, Bloom's positions
make 0.05. Where a kernel rounds more, forks run apart, which is as right and takes twice as long."""


class Findings(NamedTuple):
    """What an opened model lacks, and how its forked rows must run (`LoadedModel`)."""

    unresumable: str = ""
    unwritable: str = ""
    forks_apart: bool = False


@dataclass(frozen=True)
class Truth:
    """transformers' own pass of a sample: its states [T, D] by layer, and what the final norm gives."""

    sample: EncodedSample
    states: States
    last: Float[Tensor, "T D"]


def try_changes(loaded: LoadedModel, truth: Truth, longer: EncodedSample, prefix: Prefix | None) -> Findings:
    """Run the sample in every way in which analyses change a run.

    Args:
        loaded: the model.
        truth: the states that must come out.
        longer: another caption behind the same prompt, so long that places counted in a forked row would show.
        prefix: keys and values of the sample's first tokens, where any are shared.
    """
    image = truth.sample.image
    unwritable = _fault("nothing can be written with it", image, partial(_compare_written, loaded, truth, prefix))
    unresumable, forks_apart = _fault(_RESUMED, image, partial(_compare_resumed, loaded, truth)), False
    if not unresumable:
        in_place = partial(_compare_forked, loaded, truth, longer)
        forks_apart = _keeps_mask(loaded) or _fault(_RESUMED, image, in_place) != ""
    if forks_apart:
        apart = partial(_compare_forked, replace(loaded, forks_apart=True), truth, longer)
        unresumable = _fault(_RESUMED, image, apart)
    return Findings(unresumable, unwritable, forks_apart)


def _fault(beginning: str, image: Path | None, compare: Callable[[], None]) -> str:
    """What goes wrong in a comparison, in one line; empty where nothing does."""
    try:
        with worded(beginning, image):
            compare()
    except BadInput as error:
        return str(error)
    return ""


def _keeps_mask(loaded: LoadedModel) -> bool:
    """Whether a block has a square mask of its own, which tells places in the row (GPT-Neo's local attention): what it
    hides lies further away than a short trial reaches."""
    squares = (one for one in loaded.blocks.buffers() if one.dtype == torch.bool and one.ndim >= 2)
    return any(one.shape[-1] == one.shape[-2] > 1 for one in squares)


def _compare_resumed(loaded: LoadedModel, truth: Truth) -> None:
    """From the middle and below the last block, which may read what a skipped block had to leave behind; and from
    what enters block 0."""
    batch = build_batch(loaded, [truth.sample])
    blocks = loaded.shape.num_layers
    for layer in sorted({blocks // 2, max(blocks - 2, 0)}):
        resumed = states_from(loaded, batch, layer, truth.states[layer][None].to(loaded.dtype))
        compare_states(resumed[0].float(), truth.last, STATES_AGREE[loaded.dtype], f"above layer {layer},")
    layer = min(1, blocks - 1)
    stream = run_embedded(loaded, batch, embed(loaded, batch), [layer])[layer]
    compare_states(stream[0].float(), truth.states[layer], STATES_AGREE[loaded.dtype], "from what enters block 0,")


def _compare_forked(loaded: LoadedModel, truth: Truth, longer: EncodedSample) -> None:
    """The caption behind a fork, far from its prompt in the row: clean in every kind of layer, and resumed."""
    start = max(truth.sample.prefix_length, 1)
    row, fork = forked(WordSequence(longer, start, False), WordSequence(truth.sample, start, False))
    batch = build_batch(loaded, [row], [fork])
    streams = clean_run(loaded, batch, {0, _every_kind(loaded)})
    for layer, stream in streams.items():
        most = STATES_AGREE[loaded.dtype]
        if layer == 0 and not loaded.forks_apart:
            most = min(most, _ONE_BLOCK)
        own = stream[0, fork[1] :].float()
        compare_states(own, truth.states[layer][start:], most, f"behind a fork, at layer {layer},")
    resumed = states_from(loaded, batch, 0, streams[0])[0, fork[1] :].float()
    compare_states(resumed, truth.last[start:], STATES_AGREE[loaded.dtype], "above layer 0, behind a fork,")


def _every_kind(loaded: LoadedModel) -> int:
    """The layer up to which every kind of layer (sliding, full) has come once."""
    kinds = list(getattr(loaded.text_config, "layer_types", None) or [])
    last = max((kinds.index(kind) for kind in set(kinds)), default=0)
    return min(max(last, 1), loaded.shape.num_layers - 1)


def _compare_written(loaded: LoadedModel, truth: Truth, prefix: Prefix | None) -> None:
    """The last token alone behind a cache, and the model's own logits."""
    logits_of(loaded, truth.last[-1:].to(loaded.dtype))
    if prefix is None:
        return
    cache, ids = fork_cache(prefix.cache, [0]), torch.tensor([truth.sample.ids], device=loaded.device)
    length = ids.shape[1]
    for begin, end in ((prefix.length, length - 1), (length - 1, length)):
        if begin < end:
            start = prefix.starts([0]) + (begin - prefix.length)
            output = run_base(loaded, ids[:, begin:end], torch.ones_like(ids[:, :end]), [], cache=cache, start=start)
    compare_states(
        output.last_hidden_state[0].float(), truth.last[-1:], STATES_AGREE[loaded.dtype], "a token at a time,"
    )
