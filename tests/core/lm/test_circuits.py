"""Circuits of heads against the dense products, and against the attention's own output of a single token."""

from pathlib import Path
from typing import Any

import pytest
import torch

from core.errors import BadInput
from core.lm.circuits import heads, ov_circuit, qk_circuit
from core.lm.language_model import LanguageModel
from core.lm.loading import load_model
from tests.core.lm.families import save_family
from tests.core.lm.tiny import save_tiny_gemma

READ = ("llama", "qwen2", "qwen3", "gemma2", "gemma3", "olmo2", "cohere", "opt", "glm4", "xglm", "granite", "smollm3")
BIASED = ("qwen2", "opt", "glm4", "xglm")
REFUSED = {
    "gpt2": "no linear q_proj, k_proj, v_proj and o_proj",
    "gpt_neox": "no linear q_proj",
    "bloom": "no linear q_proj",
    "phi3": "no linear q_proj",
    "gpt_neo": "no linear q_proj",
    "deepseek_v3": "no linear q_proj",
    "gpt_oss": "a single token's output is not the sum over its heads' values",  # attention sinks
}
LAYER = 1


def opened(kind: str, folder: Path) -> LanguageModel:
    saved = save_tiny_gemma(folder) if kind == "gemma3" else save_family(kind, folder)
    return LanguageModel(load_model(saved, "float32", "cpu"))


@pytest.mark.parametrize("kind", READ)
def test_ov_of_the_stream_is_what_the_attention_adds_for_a_single_token(kind: str, tmp_path: Path) -> None:
    lm = opened(kind, tmp_path)
    text: Any = lm.loaded.text_config
    names = [f"blocks.{LAYER}.hook_resid_pre", f"blocks.{LAYER}.attn.hook_z", f"blocks.{LAYER}.attn.hook_out"]
    with lm.cache(names) as kept, torch.no_grad():
        lm.loaded.base(input_ids=torch.tensor([[9], [14], [21]]), use_cache=False)
        entering, by_head, out = (kept[name][:, 0] for name in names)
    ov = ov_circuit(lm.loaded, LAYER)
    assert ov.shape == (text.num_attention_heads, 32, 32)
    normed = entering if kind == "olmo2" else _without_gain(kind, entering, text)
    added = torch.stack([normed @ ov[head].AB for head in range(len(ov.A))], dim=1)
    attention: Any = lm.loaded.points("attn_out")[LAYER].module
    projection: Any = lm.loaded.points("attn_z")[LAYER].module
    assert (attention.v_proj.bias is not None) == (kind in BIASED)
    if kind in BIASED:  # of the values and of the norm: the circuits leave out what is the same for every token
        difference = out - added.sum(dim=1)
        torch.testing.assert_close(difference, difference[:1].expand_as(difference), rtol=1e-3, atol=1e-4)
    else:
        torch.testing.assert_close(added.sum(dim=1), out, rtol=1e-3, atol=1e-4)
        per_head = torch.einsum("nhe,hed->nhd", by_head, heads(lm.loaded, LAYER).W_O)
        torch.testing.assert_close(added, per_head, rtol=1e-3, atol=1e-4)
        torch.testing.assert_close(per_head.sum(dim=1), projection(by_head.flatten(1)), rtol=1e-3, atol=1e-4)


def _without_gain(kind: str, rows: torch.Tensor, text: Any) -> torch.Tensor:
    epsilon = getattr(text, "rms_norm_eps", None) or getattr(text, "layer_norm_eps", 1e-5)
    if kind in ("opt", "xglm", "cohere"):
        rows = rows - rows.mean(dim=1, keepdim=True)
    return rows / (rows.square().mean(dim=1, keepdim=True) + epsilon).sqrt()


@pytest.mark.parametrize("kind", ["llama", "gemma3"])
def test_every_head_s_product_is_the_dense_one_of_its_own_rows(kind: str, tmp_path: Path) -> None:
    lm = opened(kind, tmp_path)
    attention: Any = lm.loaded.points("attn_out")[LAYER].module
    text: Any = lm.loaded.text_config
    size, share = text.head_dim, text.num_attention_heads // text.num_key_value_heads
    assert share == 2, "heads share keys and values"
    gain = lm.loaded.blocks[LAYER].input_layernorm.weight + (kind == "gemma3")  # type: ignore[operator]
    for fold in (True, False):
        ov, qk = ov_circuit(lm.loaded, LAYER, fold), qk_circuit(lm.loaded, LAYER, fold)
        scale = torch.diag(gain) if fold else torch.eye(32)
        for head in range(text.num_attention_heads):
            own, group = slice(head * size, (head + 1) * size), slice(head // share * size, (head // share + 1) * size)
            values = attention.v_proj.weight[group].T @ attention.o_proj.weight[:, own].T
            scores = attention.q_proj.weight[own].T @ attention.k_proj.weight[group]
            torch.testing.assert_close(ov[head].AB, scale @ values, rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(qk[head].AB, scale @ scores @ scale, rtol=1e-4, atol=1e-5)
            spectrum = torch.linalg.svdvals(scale @ values)
            torch.testing.assert_close(ov[head].S, spectrum[:size], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("kind", REFUSED)
def test_what_cannot_be_read_by_head_is_refused_in_one_line(kind: str, tmp_path: Path) -> None:
    loaded = opened(kind, tmp_path).loaded
    for ask in (ov_circuit, qk_circuit):
        with pytest.raises(BadInput, match=REFUSED[kind]) as raised:
            ask(loaded, 1)
        assert "\n" not in str(raised.value) and kind in str(raised.value)


def test_a_layer_beyond_the_model_is_refused(tiny_text_gemma: Path) -> None:
    with pytest.raises(BadInput, match="layer 4; the model has 0 to 3"):
        ov_circuit(load_model(tiny_text_gemma, "float32", "cpu"), 4)
