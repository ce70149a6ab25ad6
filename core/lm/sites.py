"""Where each site is read, found by structure: names of submodules, not classes of models.

In a Gemma 2 or 3 block, and in GLM-4's, both sublayers' outputs are normed before they are added to the stream, so that
what the sublayer returns (`attn_out`, `mlp_out`) and what is added (`…_normed`) differ; elsewhere they are one tensor.
`core.lm.agreement.check_added` makes sure that resid_post = resid_pre + attn_out_normed + mlp_out_normed. Gemma
Scope 2's `mlp_out` is our `mlp_out_normed` (post_feedforward_layernorm's output), its `attn_out` our `attn_z`
(o_proj's input).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from torch import nn

from core.errors import BadInput
from core.study.sites import Site

_ATTENTION = ("self_attn", "attention", "attn", "self_attention")
_MLP = ("mlp", "feed_forward", "ffn", "block_sparse_moe")
_PROJECTION = ("o_proj", "out_proj", "dense", "c_proj", "wo")
_TOWER = ("vision_tower", "vision_model", "vision_encoder", "visual")
_PROJECTOR = ("multi_modal_projector", "projector")
# By the norm behind the MLP: in Llama's blocks a post_attention_layernorm alone stands before the MLP.
_NORMS = {
    "post_feedforward_layernorm": ("post_attention_layernorm",),  # Gemma 2 and 3, OLMo 2
    "post_mlp_layernorm": ("post_self_attn_layernorm", "post_attention_layernorm"),  # GLM-4, AFMoE
}


@dataclass(frozen=True)
class Point:
    """One side of a module: the first of its positional inputs, or its output."""

    module: nn.Module
    side: Literal["input", "output"] = "output"


def points(blocks: nn.ModuleList, site: Site) -> Sequence[Point]:
    """Where `site` is read in each block.

    Raises:
        BadInput: a block has no such part by any name known here.
    """
    return [_point(block, number, site) for number, block in enumerate(blocks)]


def vision_points(base: nn.Module, site: Site, num_layers: int) -> Sequence[Point]:
    """Where `site` is read of images: after each of the vision tower's `num_layers` blocks, or after the projector.

    Raises:
        BadInput: the model has no such part by any name known here.
    """
    if site == "projector":
        return [Point(_part(base, _PROJECTOR, "the model", site))]
    blocks = block_list(_part(base, _TOWER, "the model", site), num_layers)
    if blocks is None:
        raise BadInput(f"capture.site: the vision tower has no list of {num_layers} blocks to read {site} from")
    return [Point(block) for block in blocks]


def block_list(module: nn.Module, num_layers: int) -> nn.ModuleList | None:
    """The first list of `num_layers` modules within a module; null where there is none."""
    lists = (child for child in module.modules() if isinstance(child, nn.ModuleList) and len(child) == num_layers)
    return next(lists, None)


def width(blocks: nn.ModuleList, site: Site, d_model: int) -> int:
    """Numbers per row: d_model, but for `attn_z` all heads' outputs side by side.

    Raises:
        BadInput: a block has no such part.
    """
    if site != "attn_z":
        return d_model
    projection = _point(blocks[0], 0, site).module
    weight = getattr(projection, "weight", None)
    if weight is None:  # Moshi
        raise BadInput(
            f"capture.site: the attention's output projection ({type(projection).__name__}) has no weight to read the "
            f"width of {site} from; capture resid_post"
        )
    return int(weight.shape[1 if isinstance(projection, nn.Linear) else 0])  # GPT-2's is transposed


def _point(block: nn.Module, number: int, site: Site) -> Point:
    if site == "resid_post":
        return Point(block)
    name = f"block {number}"
    if site == "attn_z":
        return Point(_part(_part(block, _ATTENTION, name, site), _PROJECTION, name, site), "input")
    norm = next((name for name in _NORMS if hasattr(block, name)), None)
    if norm is not None and site.endswith("_normed"):
        return Point(_part(block, _NORMS[norm] if site.startswith("attn") else (norm,), name, site))
    return Point(_part(block, _ATTENTION if site.startswith("attn") else _MLP, name, site))


def _part(module: nn.Module, names: Sequence[str], whole: str, site: Site) -> nn.Module:
    for name in names:
        part = getattr(module, name, None)
        if isinstance(part, nn.Module):
            return part
    there = ", ".join(name for name, _ in module.named_children()) or "no submodules"
    raise BadInput(
        f"capture.site: {whole} has none of {', '.join(names)} to read {site} from (it has {there}); capture resid_post"
    )
