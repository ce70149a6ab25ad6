"""What the tensors of a layer are called elsewhere: by TransformerLens, and by Gemma's modules in transformers."""

from collections.abc import Mapping

from core.study.sites import Site

HOOK_NAMES: Mapping[Site, tuple[str, str]] = {
    "resid_post": ("hook_resid_post", "output"),
    "attn_z": ("attn.hook_z", "self_attn.o_proj.input"),
    "attn_out": ("attn.hook_out", "self_attn.output"),
    "attn_out_normed": ("hook_attn_out", "post_attention_layernorm.output"),
    "mlp_out": ("mlp.hook_out", "mlp.output"),
    "mlp_out_normed": ("hook_mlp_out", "post_feedforward_layernorm.output"),
}
"""TransformerLens' name, behind `blocks.N.`, and Gemma's module in transformers, as Gemma Scope 2 writes them."""
