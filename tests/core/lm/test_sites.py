"""Sites: each names one tensor, in every family, however the captions are run."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.activations.passes import CaptionPasses, plan_batches
from core.errors import BadInput
from core.lm.hooks import capture
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prefix import CaptionGroup
from core.lm.prompts import encode_sample
from core.lm.sites import points
from core.study.sites import Site
from tests.core.lm.families import TEXT_FAMILIES, save_family, save_tiny_llava
from tests.core.lm.reference import INSTRUCTIONS, noise_images, relative_error, requests_for
from tests.core.lm.test_prefix import groups_of, worst_error

CAPTIONS = [("en", "A woman sings in a park."), ("ar", "طبيبة تغني في حديقة"), ("en", "A")]
SITES: tuple[Site, ...] = ("resid_post", "attn_z", "attn_out", "attn_out_normed", "mlp_out", "mlp_out_normed")
IDS = torch.tensor([[2, 30, 41, 52, 63, 74, 85, 96]])


@torch.inference_mode()
def read(loaded: LoadedModel, site: Site) -> dict[int, Tensor]:
    layers = range(loaded.shape.num_layers)
    with capture(loaded.points(site), layers) as states:
        loaded.base(input_ids=IDS)
    return states


@pytest.mark.parametrize("kind", [*TEXT_FAMILIES, "gemma3"])
def test_a_block_adds_its_sublayers_normed_outputs_to_the_stream(
    kind: str, tmp_path: Path, tiny_text_gemma: Path
) -> None:
    folder = tiny_text_gemma if kind == "gemma3" else save_family(kind, tmp_path)
    loaded = load_model(folder, "float32", "cpu")
    stream, attention, mlp = (read(loaded, site) for site in ("resid_post", "attn_out_normed", "mlp_out_normed"))
    for layer in range(1, loaded.shape.num_layers):
        added = stream[layer - 1] + attention[layer] + mlp[layer]
        assert relative_error(added[0], stream[layer][0]) < 1e-5


@pytest.mark.parametrize("kind", ["gemma2", "gemma3", "olmo2"])
def test_where_sublayers_are_normed_on_their_way_out_the_two_differ(
    kind: str, tmp_path: Path, tiny_text_gemma: Path
) -> None:
    folder = tiny_text_gemma if kind == "gemma3" else save_family(kind, tmp_path)
    loaded = load_model(folder, "float32", "cpu")
    for name in ("attn_out", "mlp_out"):
        plain, normed = read(loaded, name), read(loaded, f"{name}_normed")  # type: ignore[arg-type]
        norm = "post_attention_layernorm" if name == "attn_out" else "post_feedforward_layernorm"
        assert relative_error(getattr(loaded.blocks[1], norm)(plain[1])[0], normed[1][0]) < 1e-5
        assert relative_error(plain[1][0], normed[1][0]) > 0.1


@pytest.mark.parametrize("kind", TEXT_FAMILIES)
def test_heads_side_by_side_make_the_attentions_output(kind: str, tmp_path: Path) -> None:
    loaded = load_model(save_family(kind, tmp_path), "float32", "cpu")
    heads, out = read(loaded, "attn_z")[1], read(loaded, "attn_out")[1]
    assert heads.shape[-1] == loaded.width("attn_z")
    assert relative_error(loaded.points("attn_z")[1].module(heads)[0], out[0]) < 1e-5


@pytest.mark.parametrize("kind", TEXT_FAMILIES)
def test_every_family_gives_transformers_own_hidden_states(kind: str, tmp_path: Path) -> None:
    loaded = load_model(save_family(kind, tmp_path), "float32", "cpu")
    requests = requests_for([None, None], CAPTIONS, INSTRUCTIONS)
    assert worst_error(loaded, requests, [0, 1, 2], 60) < 1e-5


def test_a_llava_gives_transformers_own_hidden_states(tmp_path: Path) -> None:
    loaded = load_model(save_tiny_llava(tmp_path / "model"), "float32", "cpu")
    assert loaded.shape.image_tokens == 16
    requests = requests_for(noise_images(tmp_path, 2), CAPTIONS, INSTRUCTIONS)
    assert groups_of(loaded, requests)[0].shared > 16
    assert worst_error(loaded, requests, [0, 1, 2], 100) < 1e-5


@pytest.mark.parametrize("site", SITES)
def test_a_site_is_the_same_behind_a_prefix_as_alone(site: Site, tiny_gemma: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    requests = requests_for(noise_images(tmp_path, 2), CAPTIONS, INSTRUCTIONS)
    together = groups_of(loaded, requests)
    alone = [CaptionGroup(str(n), (encode_sample(loaded, one),), 0) for n, one in enumerate(requests)]
    expected = {
        keys[row][0]: states
        for batch in plan_batches(alone, 1, None)
        for keys, states in CaptionPasses(loaded, tuple(alone), (1, 3), site).run(batch)
        for row in range(len(keys))
    }
    samples = [(number, index) for number, group in enumerate(together) for index in range(len(group.samples))]
    for batch in plan_batches(together, 90, None):
        for keys, states in CaptionPasses(loaded, tuple(together), (1, 3), site).run(batch):
            for row, (number, index) in enumerate(keys):
                shared = together[number].shared
                whole = expected[samples.index((number, index or 0))]
                for layer in (1, 3):
                    theirs = whole[layer][0][:shared] if index is None else whole[layer][0][shared:]
                    assert relative_error(states[layer][row, : len(theirs)], theirs) < 1e-5


def test_blocks_without_the_part_are_told() -> None:
    blocks = torch.nn.ModuleList([torch.nn.Sequential(torch.nn.Linear(2, 2))])
    with pytest.raises(BadInput, match=r"block 0 has none of self_attn, .* capture resid_post"):
        points(blocks, "attn_out")
    assert points(blocks, "resid_post")[0].module is blocks[0]
