"""What one attention head reads and writes, as products of its weights that are never formed (Elhage et al. 2021).

Rows are tokens: OV maps a row of the stream to what the head adds for it where it is attended to in full, QK gives the
score of a query's row with a key's. Biases are in neither. QK is of the projections alone: rotary embedding, norms of
queries and keys (Gemma 3, Qwen 3) and the scale are left out.
"""

from contextlib import suppress
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from einops import rearrange
from jaxtyping import Float
from torch import Tensor, nn

from core.errors import BadInput
from core.lm.hooks import observe
from core.lm.loaded import LoadedModel
from core.lm.norms import norm_gain
from core.lm.prefix import run_base
from core.lm.sites import Point
from core.stats.factored import FactoredMatrix

_AGREES = 1e-3
"""Most that a head's sum may be off the attention's own output, of its norm: rounding in float32."""
_AGREES_ROUGHLY = 0.05
"""The same in bfloat16."""
_TOKENS = 4


@dataclass(frozen=True, eq=False)
class Heads:
    """One layer's weights by head: H heads, of which each `H / len(W_V)` share a key and value.

    `gain` is what the norm before the attention multiplies by; ones where there is no norm.
    """

    W_Q: Float[Tensor, "H D d"]
    W_K: Float[Tensor, "G D d"]
    W_V: Float[Tensor, "G D d"]
    W_O: Float[Tensor, "H d D"]
    gain: Float[Tensor, " D"]

    def shared(self, weights: Float[Tensor, "G D d"]) -> Float[Tensor, "H D d"]:
        """Keys' or values' weights once per head."""
        return weights.repeat_interleave(len(self.W_Q) // len(weights), dim=0)


_READ: WeakKeyDictionary[nn.Module, dict[int, Heads]] = WeakKeyDictionary()


def heads(loaded: LoadedModel, layer: int) -> Heads:
    """A layer's heads, once their weights were seen to make the attention's own output of single tokens.

    Raises:
        BadInput: there is no such layer, its attention has no q, k, v and o of its own, or computes otherwise.
    """
    if not 0 <= layer < loaded.shape.num_layers:
        raise BadInput(f"circuits: layer {layer}; the model has 0 to {loaded.shape.num_layers - 1}")
    known = _READ.setdefault(loaded.model, {})
    if layer not in known:
        known[layer] = _read(loaded, layer)
    return known[layer]


def ov_circuit(loaded: LoadedModel, layer: int, fold: bool = True) -> FactoredMatrix:
    """W_V · W_O of every head of a layer, [H, D, D].

    Args:
        loaded: the model.
        layer: its number.
        fold: with the gain of the norm before the attention in W_V, so that the circuit reads the stream divided by its
            norm (and, under LayerNorm, centred); without, it reads what the norm gives. A norm behind the attention
            (Gemma 2 and 3) is of all heads together, and never folded in.

    Raises:
        BadInput: as `heads`.
    """
    own = heads(loaded, layer)
    return FactoredMatrix(own.shared(_folded(own.W_V, own, fold)), own.W_O)


def qk_circuit(loaded: LoadedModel, layer: int, fold: bool = True) -> FactoredMatrix:
    """W_Q · W_Kᵀ of every head of a layer, [H, D, D]; `fold` as in `ov_circuit`, on both sides.

    Raises:
        BadInput: as `heads`.
    """
    own = heads(loaded, layer)
    return FactoredMatrix(_folded(own.W_Q, own, fold), own.shared(_folded(own.W_K, own, fold)).mT)


def _folded(weights: Float[Tensor, "H D d"], own: Heads, fold: bool) -> Float[Tensor, "H D d"]:
    return weights * own.gain[:, None] if fold else weights


@dataclass(frozen=True)
class _Parts:
    """The linear maps of an attention."""

    q: nn.Linear
    k: nn.Linear
    v: nn.Linear
    o: nn.Linear

    @classmethod
    def of(cls, loaded: LoadedModel, layer: int) -> "_Parts":
        """Found by their names, which are the same wherever they are apart.

        Raises:
            BadInput: one of them is missing.
        """
        attention = loaded.points("attn_out")[layer].module
        own = [getattr(attention, name, None) for name in ("q_proj", "k_proj", "v_proj")]
        with suppress(BadInput):  # whose words are of a site to capture
            own.append(loaded.points("attn_z")[layer].module)
        if len(own) < 4 or not all(isinstance(part, nn.Linear) for part in own):
            there = ", ".join(name for name, _ in attention.named_children())
            raise _refused(loaded, layer, f"it has no linear q_proj, k_proj, v_proj and o_proj (it has {there})")
        return cls(*own)  # type: ignore[arg-type]


def _refused(loaded: LoadedModel, layer: int, why: str) -> BadInput:
    kind = loaded.shape.model_type
    return BadInput(f"circuits: the attention of layer {layer} of {loaded.folder} ({kind}) is not read by head: {why}")


@torch.no_grad()
def _read(loaded: LoadedModel, layer: int) -> Heads:
    parts = _Parts.of(loaded, layer)
    count = getattr(loaded.text_config, "num_attention_heads", None)
    if not isinstance(count, int) or parts.q.out_features % count or parts.o.in_features % count:
        raise _refused(loaded, layer, "its widths are no multiples of config.json's num_attention_heads")
    size, value = parts.q.out_features // count, parts.o.in_features // count
    if parts.k.out_features % size or parts.v.out_features % value or parts.k.out_features // size == 0:
        raise _refused(loaded, layer, "its keys or values are of another width than its queries")
    groups = parts.v.out_features // value
    if count % groups or parts.k.out_features // size != groups:
        raise _refused(loaded, layer, "its heads share keys and values unevenly")
    seen = _look(loaded, layer, parts)
    q, k, v, o = (part.weight.detach().float() for part in (parts.q, parts.k, parts.v, parts.o))
    found = Heads(
        W_Q=rearrange(q, "(H d) D -> H D d", H=count),
        W_K=rearrange(k, "(G d) D -> G D d", G=groups),
        W_V=rearrange(v, "(G d) D -> G D d", G=groups),
        W_O=rearrange(o, "D (H d) -> H d D", H=count),
        gain=_gain(loaded, layer, seen),
    )
    _check(loaded, layer, found, parts, seen)
    return found


@dataclass(frozen=True)
class _Seen:
    """Rows [n, D] of a layer in sequences of one token each: what enters the block, what enters the values' map, and
    what the attention gives."""

    entering: Float[Tensor, "n D"]
    normed: Float[Tensor, "n D"]
    out: Float[Tensor, "n D"]


def _look(loaded: LoadedModel, layer: int, parts: _Parts) -> _Seen:
    some = [token for token in range(1, _TOKENS + 2) if token != loaded.image_token_id][:_TOKENS]
    ids = torch.tensor(some, device=loaded.device)[:, None]
    places = [Point(loaded.blocks[layer], "input"), Point(parts.v, "input"), Point(parts.o)]
    with observe(places, range(3)) as rows:
        run_base(loaded, ids, torch.ones_like(ids), [])
    return _Seen(*(rows[place][:, 0] for place in range(3)))


def _gain(loaded: LoadedModel, layer: int, seen: _Seen) -> Float[Tensor, " D"]:
    """Of the one among the block's parts that makes of what enters the block what enters the values' map."""
    if torch.equal(seen.entering, seen.normed):
        return torch.ones(seen.normed.shape[1], device=seen.normed.device)  # OLMo 2 has no norm there
    for part in loaded.blocks[layer].children():
        weight: Any = getattr(part, "weight", None)
        fits = isinstance(weight, Tensor) and weight.shape == seen.entering.shape[1:]
        if fits and torch.allclose(part(seen.entering), seen.normed, rtol=1e-2, atol=1e-3):
            return norm_gain(part, seen.entering)
    raise _refused(loaded, layer, "no norm of its block gives what its values are made of")


def _check(loaded: LoadedModel, layer: int, found: Heads, parts: _Parts, seen: _Seen) -> None:
    """A token that is alone attends to itself in full: the heads' sum is then the attention's output."""
    values = torch.einsum("nd,hde->nhe", seen.normed.float(), found.shared(found.W_V))
    if parts.v.bias is not None:
        bias = rearrange(parts.v.bias.detach().float(), "(G d) -> G d", G=len(found.W_V))
        values = values + bias.repeat_interleave(len(found.W_Q) // len(bias), dim=0)
    ours = torch.einsum("nhe,hed->nd", values, found.W_O)
    ours = ours if parts.o.bias is None else ours + parts.o.bias.detach().float()
    most = _AGREES if loaded.dtype == torch.float32 else _AGREES_ROUGHLY
    if not (ours - seen.out.float()).norm() <= most * seen.out.float().norm():
        raise _refused(loaded, layer, "a single token's output is not the sum over its heads' values")
