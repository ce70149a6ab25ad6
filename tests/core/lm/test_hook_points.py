"""Every hook point's name against the tensor that it says, and batches of texts."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.errors import BadInput
from core.lm.hook_points import Hook, limited
from core.lm.language_model import LanguageModel
from core.lm.texts import text_inputs
from core.study.hook_names import HOOK_NAMES
from tests.core.lm.hooked import TEXTS, number_of_hooks, shifted


def test_every_name_reads_the_tensor_that_it_says(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS[:1])
    names = [name for name in lm.names() if not name.startswith(("vision", "projector"))]
    logits, kept = lm.run_with_cache(batch, names)
    with torch.no_grad():
        hidden = lm.model(**text_inputs(lm.loaded, batch), output_hidden_states=True)
    torch.testing.assert_close(logits, hidden.logits)
    for layer in range(lm.num_layers):
        block = {name.split(".", 2)[2]: kept[name] for name in names if name.startswith(f"blocks.{layer}.")}
        assert torch.equal(block["hook_resid_pre"], hidden.hidden_states[layer])
        added = block["hook_resid_pre"] + block["hook_attn_out"] + block["hook_mlp_out"]
        torch.testing.assert_close(block["hook_resid_post"], added, rtol=1e-4, atol=1e-5)
        attention = lm.loaded.points("attn_z")[layer].module
        with torch.no_grad():
            torch.testing.assert_close(attention(block["attn.hook_z"].flatten(-2)), block["attn.hook_out"])


def test_a_site_s_name_is_the_same_point(lm: LanguageModel) -> None:
    pairs = {f"{site}.1": f"blocks.1.{name}" for site, (name, _) in HOOK_NAMES.items()}
    _, kept = lm.run_with_cache(lm.tokens(TEXTS), [*pairs, *pairs.values()])
    for ours, theirs in pairs.items():
        assert torch.equal(kept[ours], kept[theirs].flatten(2)), ours


def test_heads_are_patched_apart(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    width = lm.loaded.width("attn_z") // lm.loaded.text_config.num_attention_heads

    def without_head(stream: Tensor, hook: Hook) -> None:
        stream[:, :, 1] = 0  # in place, as TransformerLens' users do

    def without_columns(stream: Tensor, hook: Hook) -> Tensor:
        return torch.cat([stream[..., :width], 0 * stream[..., width : 2 * width], stream[..., 2 * width :]], dim=-1)

    with lm.hooks({"blocks.1.attn.hook_z": without_head}):
        one = lm.run(batch)
    with lm.hooks({"attn_z.1": without_columns}):
        other = lm.run(batch)
    assert torch.equal(one, other) and not torch.equal(one, lm.run(batch))


def test_what_the_vision_tower_gives_is_read_and_changed(gemma: LanguageModel, pictures: list[Path]) -> None:
    batch = gemma.tokens(["", ""], pictures[:2], "A park?")
    logits, kept = gemma.run_with_cache(batch, ["vision_post.0", "projector.0"])
    assert kept["vision_post.0"].shape == (2, 16, 16) and kept["projector.0"].shape == (2, 16, 32)
    second = torch.tensor([False, True])
    with gemma.hooks({"projector.0": limited(lambda stream, hook: stream + 1, second)}):
        changed = gemma.run(batch)
    assert torch.equal(changed[0], logits[0]) and not torch.allclose(changed[1], logits[1], atol=0.01)


@pytest.mark.parametrize(
    ("name", "told"),
    [
        ("blocks.1.hook_resid_pots", "did you mean 'blocks.1.hook_resid_post'"),
        ("blocks.9.hook_resid_post", "resid_post has the layers 0 to "),
        ("resid_post", "did you mean|names are"),
        ("vision_post.0", "is read of images"),
    ],
)
def test_a_name_that_is_none_is_told_before_anything_is_hooked(lm: LanguageModel, name: str, told: str) -> None:
    if name == "vision_post.0" and lm.loaded.shape.has_images:
        name, told = "vision_post.7", "has the layers 0 to 0"
    before = number_of_hooks(lm)
    with pytest.raises(BadInput, match=told), lm.hooks({"resid_post.0": shifted(1), name: shifted(1)}):
        pass
    assert number_of_hooks(lm) == before


def test_tokens_are_counted_without_padding(lm: LanguageModel) -> None:
    for padding in ("left", "right"):
        batch = lm.tokens(TEXTS, padding=padding)
        for row, text in enumerate(TEXTS):
            (alone,) = lm.tokens([text]).ids
            assert torch.equal(batch.ids[row, batch.real[row]], alone)
            assert batch.ids[batch.at(row, -1)].tolist() == [int(alone[-1])]
            assert batch.ids[batch.at(row, slice(1, 3))].tolist() == alone[1:3].tolist()


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        (lambda lm: lm.tokens("A man"), "give a list"),
        (lambda lm: lm.tokens([]), "give a list"),
        (lambda lm: lm.tokens(["A"], ["a.png", "b.png"]), "2 for 1 texts"),
        (lambda lm: lm.tokens(["A"], padding="middle"), "padding stands left or right"),
        (lambda lm: lm.tokens(["A"]).at(1), "row 1: the batch has 1 rows"),
        (lambda lm: lm.tokens(["A"]).at(0, 50), "row 0, token 50"),
        (lambda lm: lm.names("resid_mid"), "site 'resid_mid': there are resid_pre, resid_post"),
    ],
)
def test_what_does_not_fit_is_told_in_one_line(gemma: LanguageModel, ask: Callable[..., object], told: str) -> None:
    with pytest.raises(BadInput, match=told) as raised:
        ask(gemma)
    assert "\n" not in str(raised.value)


def test_chosen_of_another_batch_are_refused(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    wrong = torch.zeros(2, dtype=torch.bool)
    with pytest.raises(BadInput, match=r"chosen are \[2\]"), lm.hooks({"resid_post.0": limited(shifted(1), wrong)}):
        lm.run(batch)
