"""What is known of a model by its structure, checked once against the model's own forward pass.

Families differ in ways that no name tells: Cohere and Granite scale their logits, Granite what a block adds to the
stream. Figures that rest on such a difference would be wrong without a word.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from weakref import WeakSet

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.hooks import observe
from core.lm.loaded import LoadedModel
from core.lm.prefix import run_base
from core.lm.processors import fault
from core.lm.sites import Point, points
from core.study.sites import Site

STATES_AGREE = {torch.float32: 1e-3, torch.bfloat16: 0.15}
"""Most that a token's state may differ, relative to its norm: rounding, which grows with the layers. What is masked,
placed or cached otherwise differs by 0.3 and more."""
# Beside rounding; what is scaled or normed otherwise was off by 100 % and more (Granite, GLM-4, Cohere).
_AGREES = 0.05
_TOKENS = 12
_CHECKED: WeakSet[nn.Module] = WeakSet()


@contextmanager
def worded(beginning: str, image: Path | None = None) -> Iterator[None]:
    """Whatever goes wrong within becomes one line: a model that is not known here may fail in any way.

    Raises:
        BadInput: something did, other than that memory ran out.
    """
    try:
        yield
    except (torch.OutOfMemoryError, MemoryError):
        raise
    except BadInput as error:
        raise BadInput(f"{beginning}: {str(error).replace(f'image {image}', 'a picture')}") from error
    except Exception as error:
        raise BadInput(f"{beginning} ({type(error).__name__}: {fault(error)[:200]})") from error


def compare_states(ours: Float[Tensor, "T D"], theirs: Float[Tensor, "T D"], most: float, where: str) -> None:
    """Make sure that states are transformers' own, up to a difference of `most` of a row's norm.

    Raises:
        BadInput: they are not; `where` says which.
    """
    if ours.shape != theirs.shape:
        raise BadInput(f"{where} a caption's states are of another shape ({[*ours.shape]}) than {[*theirs.shape]}")
    difference = float(((ours - theirs).norm(dim=-1) / theirs.norm(dim=-1).clamp_min(1e-6)).max())
    if not difference <= most:
        raise BadInput(
            f"{where} a caption's states are off those of transformers' own forward pass by {difference:.0%}"
        )


def logits_of(loaded: LoadedModel, states: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    """The vocabulary head on the final norm's output, scaled and soft-capped as the model does (Granite, Cohere,
    Gemma 2).

    Raises:
        BadInput: the model makes its logits in another way.
    """
    # Overflown states, which too strong a change may give, tell nothing of the head.
    if loaded.model not in _CHECKED and states.numel() and states.isfinite().all():
        _check_head(loaded, states.reshape(-1, states.shape[-1])[:_TOKENS])
        _CHECKED.add(loaded.model)
    return _head(loaded, states)


def _head(loaded: LoadedModel, states: Float[Tensor, "... D"]) -> Float[Tensor, "... V"]:
    model: Any = loaded.model
    config = loaded.text_config
    with torch.no_grad():
        logits: Tensor = model.get_output_embeddings()(states)
        if (scale := getattr(config, "logit_scale", None)) is not None:
            logits = logits * scale
        if (divisor := getattr(config, "logits_scaling", None)) is not None:
            logits = logits / divisor
        cap = getattr(config, "final_logit_softcapping", None)
        return logits if cap is None else cap * torch.tanh(logits / cap)


class _Answer:
    """What a base model returns: its last states, and nothing else that a model's forward may ask for."""

    def __init__(self, states: Tensor) -> None:
        self.last_hidden_state = states

    def __getitem__(self, _first: int) -> Tensor:
        return self.last_hidden_state

    def __getattr__(self, _name: str) -> None:
        return None


@torch.no_grad()
def _check_head(loaded: LoadedModel, states: Float[Tensor, "n D"]) -> None:
    """Compare our logits with those of the model's own forward pass; the model without its head is a stub that
    returns `states`."""
    ids = _some_tokens(loaded)[:, : len(states)]
    stubs: set[Any] = {loaded.base, loaded.text_model}  # OPT's forward passes over its base
    for stub in stubs:
        stub.forward = lambda *_inputs, **_options: _Answer(states[None])
    try:
        with worded(f"model {loaded.folder}: its vocabulary head cannot be read"):
            truth = loaded.model(input_ids=ids, use_cache=False).logits[0].float()
    finally:
        for stub in stubs:
            del stub.forward
    ours = _head(loaded, states).float()
    if not (truth - ours).norm() <= _AGREES * truth.norm():
        raise BadInput(
            f"model {loaded.folder}: its logits are not those of its vocabulary head on the final norm's output "
            f"(model_type {loaded.shape.model_type!r} makes them in a way not known here); leave out the analyses that "
            "read them (analyses: {ablation: null, …}), or take another model"
        )


@torch.no_grad()
def check_site(loaded: LoadedModel, site: Site) -> None:
    """Make sure that a site of the decoder gives a row of its width per token in every block.

    Raises:
        BadInput: it does not; the first layer is named.
    """
    layers = range(loaded.shape.num_layers)
    ids = _some_tokens(loaded)
    with observe(loaded.points(site), layers) as states:
        run_base(loaded, ids, torch.ones_like(ids), [])
    expected = (*ids.shape, loaded.width(site))
    for layer in layers:
        found = tuple(states[layer].shape) if layer in states else "nothing"
        if found != expected:
            raise BadInput(
                f"capture.site: block {layer} of model {loaded.folder} (model_type {loaded.shape.model_type!r}) gives "
                f"{found} for {site}, not {expected} ([batch, tokens, width]); capture resid_post"
            )


@torch.no_grad()
def check_added(loaded: LoadedModel) -> None:
    """Make sure that resid_post = resid_pre + attn_out_normed + mlp_out_normed in every block.

    Raises:
        BadInput: it does not hold; the first layer is named.
    """
    layers = range(loaded.shape.num_layers)
    ids = _some_tokens(loaded)
    before = [Point(block, "input") for block in loaded.blocks]
    attention, mlp = (points(loaded.blocks, site) for site in ("attn_out_normed", "mlp_out_normed"))
    with (
        observe(before, layers) as pre,
        observe(loaded.blocks, layers) as post,
        observe(attention, layers) as first,
        observe(mlp, layers) as second,
    ):
        run_base(loaded, ids, torch.ones_like(ids), [])
    for layer in layers:
        added, truth = first[layer].float() + second[layer].float(), post[layer].float() - pre[layer].float()
        # What a block adds to a large stream is rounded to that stream's last digits, once a sublayer.
        rounding = 2 * torch.finfo(loaded.dtype).eps * torch.maximum(pre[layer].norm(), post[layer].norm()).float()
        if not (added - truth).norm() <= _AGREES * truth.norm() + rounding:
            raise BadInput(
                f"capture.site: what block {layer} of model {loaded.folder} adds to the stream is not what its parts "
                f"give (model_type {loaded.shape.model_type!r} scales or norms them in a way not known here); capture "
                "resid_post, attn_out or mlp_out"
            )


def _some_tokens(loaded: LoadedModel) -> Int[Tensor, "1 T"]:
    """A few tokens, none of which stands for an image."""
    ids = [index for index in range(_TOKENS + 1) if index != loaded.image_token_id][:_TOKENS]
    return torch.tensor([ids], device=loaded.device)
