"""What is taken of a model by its structure, in families that scale their logits or what their blocks add."""

from pathlib import Path

import pytest
import torch

from core.errors import BadInput
from core.lm.agreement import check_added, logits_of
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
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


def test_logits_made_in_an_unknown_way_are_refused_and_the_model_is_left_as_it_was(tmp_path: Path) -> None:
    loaded = of("llama", tmp_path)
    head = loaded.model.get_output_embeddings()
    plain = type(loaded.model).forward

    def forward(*inputs: object, **options: object) -> object:
        output = plain(loaded.model, *inputs, **options)
        output.logits = output.logits * 3
        return output

    loaded.model.forward = forward
    with pytest.raises(BadInput, match=r"its logits are not those of its vocabulary head .*'llama'"):
        both(loaded)
    del loaded.model.forward
    ours, theirs = both(loaded)
    torch.testing.assert_close(ours, theirs)
    assert loaded.model.get_output_embeddings() is head


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
