"""What is taken of a model by its structure, in families that scale their logits or what their blocks add."""

import copy
import re
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers import LlamaForCausalLM

from core.errors import BadInput
from core.lm.agreement import check_added, check_site, logits_of
from core.lm.generate import generate
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest, encode_sample
from tests.core.lm.families import TEXT_FAMILIES, save_family

IDS = torch.tensor([[2, 30, 41, 52, 63]])
SCALED = [("cohere", {"logit_scale": 0.0625}), ("granite", {"logits_scaling": 8.0}), ("gemma2", {})]


def of(kind: str, folder: Path, **more: float) -> LoadedModel:
    return load_model(save_family(kind, folder, **more), "float32", "cpu")


@torch.no_grad()
def both(loaded: LoadedModel) -> tuple[torch.Tensor, torch.Tensor]:
    states = loaded.base(input_ids=IDS).last_hidden_state
    return logits_of(loaded, states), loaded.model(input_ids=IDS).logits


@pytest.mark.parametrize(("kind", "scale"), SCALED)
def test_logits_are_the_models_own_where_it_scales_or_caps_them(
    kind: str, scale: dict[str, float], tmp_path: Path
) -> None:
    ours, theirs = both(of(kind, tmp_path, **scale))
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_logits_made_in_an_unknown_way_are_told_at_once_and_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = LlamaForCausalLM.forward

    def forward(*inputs: object, **options: object) -> object:
        output = plain(*inputs, **options)  # type: ignore[arg-type]
        output.logits = output.logits * 3  # type: ignore[operator]
        return output

    monkeypatch.setattr(LlamaForCausalLM, "forward", forward)
    loaded = of("llama", tmp_path)
    message = r"its logits are not those of its vocabulary head .*'llama'"
    assert re.search(message, loaded.unwritable) and loaded.notes == (loaded.unwritable,)
    with pytest.raises(BadInput, match=message):
        both(loaded)
    with pytest.raises(BadInput, match=message):
        generate(loaded, [encode_sample(loaded, CaptionRequest("s", "i", "en", "A"))], 1)
    monkeypatch.undo()
    ours, theirs = both(loaded)
    torch.testing.assert_close(ours, theirs)


def test_a_head_that_fails_is_told_in_one_line(tmp_path: Path) -> None:
    loaded = of("llama", tmp_path)
    loaded.model.lm_head.forward = lambda _states: {}["no key"]
    fresh = replace(loaded, model=copy.copy(loaded.model))  # not the one whose head was checked when it was opened
    with pytest.raises(BadInput, match=r"its vocabulary head cannot be read \(KeyError: 'no key' is missing\)"):
        logits_of(fresh, torch.ones(1, 1, 32))


@pytest.mark.parametrize("kind", ["llama4_text", "opt"])
def test_logits_are_the_models_own_where_its_forward_passes_over_its_base(kind: str, tmp_path: Path) -> None:
    """transformers names all of Llama 4 its own base, and OPT's forward calls the decoder itself."""
    loaded = of(kind, tmp_path)
    assert loaded.unwritable == ""
    ours, theirs = both(loaded)
    torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_site_that_gives_no_row_per_token_is_refused(tmp_path: Path) -> None:
    """Llama 4's experts flatten samples and tokens."""
    loaded = of("llama4_text", tmp_path)
    check_site(loaded, "attn_out")
    with pytest.raises(BadInput, match=r"block 0 of .*'llama4_text'\) gives \(12, 32\) for mlp_out, not \(1, 12, 32\)"):
        check_site(loaded, "mlp_out")


@pytest.mark.parametrize("kind", TEXT_FAMILIES)
def test_what_a_block_adds_is_what_its_parts_give(kind: str, tmp_path: Path) -> None:
    check_added(of(kind, tmp_path))


def test_a_block_that_scales_what_it_adds_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"capture\.site: what block 0 of model .* \(model_type 'granite' scales"):
        check_added(of("granite", tmp_path, residual_multiplier=0.3))


def test_images_do_not_stand_in_the_way(tiny_gemma: Path) -> None:
    loaded = load_model(tiny_gemma, "bfloat16", "cpu")
    check_added(loaded)
    states = torch.randn(3, 2, loaded.shape.d_model, dtype=torch.bfloat16)
    assert logits_of(loaded, states).shape[:2] == (3, 2)


def test_rounding_in_a_large_stream_is_no_disagreement(tmp_path: Path) -> None:
    loaded = load_model(save_family("llama", tmp_path), "bfloat16", "cpu")
    loaded.model.get_input_embeddings().weight.mul_(3000)
    check_added(loaded)


def test_overflown_states_are_not_held_against_the_head(tmp_path: Path) -> None:
    loaded = of("llama", tmp_path)
    assert logits_of(loaded, torch.full((1, 1, 32), torch.nan)).isnan().all()
    ours, theirs = both(loaded)
    torch.testing.assert_close(ours, theirs)
