"""Hook points, capture and patches by name: against plain hooks, and a patch of one row against its batch of one.

The faults looked for are known elsewhere: a patch that edits its neighbours' rows (nnsight 502, 722), and cached
decoding unlike a full forward behind an image (transformers 40910, 48289).
"""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.generate import stop_ids
from core.lm.hook_points import Hook, limited
from core.lm.hooks import edits
from core.lm.language_model import LanguageModel
from core.lm.loading import load_model
from core.lm.texts import TextBatch, text_inputs
from core.sae.formats import HOOK_NAMES
from tests.core.lm.families import save_family
from tests.core.lm.tiny import save_tiny_gemma, save_tiny_text_gemma

TEXTS = ["A woman is singing in a park. She holds", "A man", "رجل يطبخ في مطبخ"]
CHANGED = 1
"""The row that is patched: the shortest, beside which padding stands."""
SHIFT = torch.randn(32, generator=torch.Generator().manual_seed(1)) * 3
POINTS = ["blocks.1.hook_resid_post", "blocks.1.hook_resid_pre", "attn_z.1", "blocks.1.hook_mlp_out", "attn_out.1"]


def _opened(kind: str, folder: Path) -> LanguageModel:
    save: dict[str, Callable[[Path], Path]] = {
        "gemma": save_tiny_gemma,
        "text gemma": save_tiny_text_gemma,
        "llama": lambda place: save_family("llama", place),
        "gpt2": lambda place: save_family("gpt2", place),
    }
    opened = load_model(save[kind](folder), "float32", "cpu")
    # Tied to the embeddings, a random model's head repeats the last token for ever; one of its own does not.
    head = torch.nn.Linear(32, opened.unembedding.shape[0], bias=False).requires_grad_(False)
    head.weight.normal_(generator=torch.Generator().manual_seed(3))
    model: Any = opened.model
    model.set_output_embeddings(head)
    return LanguageModel(replace(opened, unembedding=head.weight))


@pytest.fixture(scope="module", params=["gemma", "text gemma", "llama", "gpt2"])
def lm(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return _opened(request.param, tmp_path_factory.mktemp("model"))


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> LanguageModel:
    return _opened("gemma", tmp_path_factory.mktemp("gemma"))


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("pictures")
    for number in range(3):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return sorted(folder.iterdir())


def shifted(dose: float) -> Callable[[Tensor, Hook], Tensor]:
    """Adds the same vector everywhere, as wide as the point is."""
    return lambda stream, hook: stream + dose * SHIFT.repeat(4)[: stream.shape[-1]]


def of_row(lm: LanguageModel, batch: TextBatch, row: int) -> Tensor:
    """The row's logits at its tokens."""
    return lm.run(batch)[row, batch.real[row]]


# --- a patch changes its own row only ---


@pytest.mark.parametrize("name", POINTS)
@pytest.mark.parametrize("padding", ["left", "right"])
def test_a_patched_row_is_its_batch_of_one_and_the_others_stay_to_the_bit(
    lm: LanguageModel, name: str, padding: str
) -> None:
    batch, alone = lm.tokens(TEXTS, padding=padding), lm.tokens([TEXTS[CHANGED]])
    others = [row for row in range(len(TEXTS)) if row != CHANGED]
    clean = lm.run(batch)
    with lm.hooks({name: limited(shifted(1), batch.at(CHANGED).any(dim=1))}):
        patched = lm.run(batch)
    with lm.hooks({name: shifted(1)}):
        own = lm.run(alone)[0]
    assert torch.equal(patched[others][batch.real[others]], clean[others][batch.real[others]])
    torch.testing.assert_close(patched[CHANGED, batch.real[CHANGED]], own, rtol=1e-4, atol=1e-4)
    assert (own - of_row(lm, alone, 0)).abs().max() > 0.01
    assert torch.equal(lm.run(batch)[batch.real], clean[batch.real]), "gone afterwards"


@pytest.mark.parametrize("padding", ["left", "right"])
def test_one_token_is_found_wherever_padding_stands(lm: LanguageModel, padding: str) -> None:
    batch, alone = lm.tokens(TEXTS, padding=padding), lm.tokens([TEXTS[CHANGED]])
    found = []
    for given, row in ((batch, CHANGED), (alone, 0)):
        with lm.hooks({"resid_post.1": limited(shifted(1), given.at(row, -2))}):
            found.append(of_row(lm, given, row))
    torch.testing.assert_close(*found, rtol=1e-4, atol=1e-4)
    clean = of_row(lm, alone, 0)
    assert torch.equal(found[1][:-2], clean[:-2]) and not torch.allclose(found[1][-2:], clean[-2:], atol=0.01)


def test_dose_0_is_the_clean_run_to_the_bit(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    clean = lm.run(batch)
    for name in POINTS:
        with lm.hooks({name: shifted(0)}):
            assert torch.equal(lm.run(batch), clean), name


def test_a_row_with_an_image_is_its_batch_of_one(gemma: LanguageModel, pictures: list[Path]) -> None:
    instruction = "Describe the image in English."
    for padding in ("left", "right"):
        batch = gemma.tokens(TEXTS, pictures, instruction, padding)
        alone = gemma.tokens(TEXTS[CHANGED : CHANGED + 1], pictures[CHANGED : CHANGED + 1], instruction)
        others = [row for row in range(len(TEXTS)) if row != CHANGED]
        clean = gemma.run(batch)
        with gemma.hooks({"resid_post.1": limited(shifted(1), batch.at(CHANGED).any(dim=1))}):
            patched = gemma.run(batch)
        with gemma.hooks({"resid_post.1": shifted(1)}):
            own = gemma.run(alone)[0]
        assert torch.equal(patched[others][batch.real[others]], clean[others][batch.real[others]])
        torch.testing.assert_close(patched[CHANGED, batch.real[CHANGED]], own, rtol=1e-4, atol=1e-4)


# --- with cache and in generation ---


def uncached(lm: LanguageModel, text: str, steps: int, images: list[Path] | None, function: object = None) -> str:
    """The whole sequence again at every step, the change at every position."""
    batch = lm.tokens([text], images, "A park?" if images else "")
    prompt = batch.ids.shape[1]
    inputs = text_inputs(lm.loaded, batch)
    for _ in range(steps):
        with torch.no_grad(), lm.hooks({"resid_post.1": function} if function else {}):  # type: ignore[dict-item]
            states = lm.loaded.base(**inputs, use_cache=False).last_hidden_state
        token = int(logits_of(lm.loaded, states[:, -1]).argmax())
        if token in stop_ids(lm.loaded):
            break
        ids = torch.cat([inputs["input_ids"], torch.tensor([[token]])], dim=1)
        inputs |= {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
        inputs["position_ids"] = torch.arange(ids.shape[1])[None]
        if "token_type_ids" in inputs:
            inputs["token_type_ids"] = torch.eq(ids, lm.loaded.image_token_id or -1).long()
    return str(lm.loaded.tokenizer.decode(inputs["input_ids"][0, prompt:], skip_special_tokens=True))


@pytest.mark.parametrize("with_images", [False, True])
def test_generation_under_a_patch_of_one_row(lm: LanguageModel, pictures: list[Path], with_images: bool) -> None:
    images = pictures if with_images and lm.loaded.shape.has_images else None
    batch = lm.tokens(TEXTS, images, "A park?" if images else "", padding="left")
    clean = lm.generate(batch, 8)
    assert clean == [uncached(lm, text, 8, images and [images[row]]) for row, text in enumerate(TEXTS)]
    with lm.hooks({"resid_post.1": limited(shifted(1), batch.at(CHANGED).any(dim=1))}):
        found = lm.generate(batch, 8)
    assert found[CHANGED] == uncached(lm, TEXTS[CHANGED], 8, images and [images[CHANGED]], shifted(1))
    assert [found[0], found[2]] == [clean[0], clean[2]]
    assert found[CHANGED] != clean[CHANGED]


def test_chosen_positions_of_a_prompt_are_changed_in_it_alone(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS, padding="left")
    starts: list[tuple[int, int]] = []

    def shift(stream: Tensor, hook: Hook) -> Tensor:
        starts.append((hook.start, stream.shape[1]))
        return stream + 1

    length = batch.ids.shape[1]
    with lm.hooks({"resid_post.0": shift, "resid_post.1": limited(shift, batch.at(0, -1))}):
        lm.generate(batch, 3)
    assert starts[:3] == [(0, length), (0, length), (length, 1)]
    assert all(width == 1 for _, width in starts[2:])


def test_generation_of_transformers_own_is_under_the_hooks(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS, padding="left")
    given = {"input_ids": batch.ids, "attention_mask": batch.mask, "max_new_tokens": 6, "do_sample": False}
    with lm.hooks({"resid_post.1": shifted(1)}):
        theirs = lm.model.generate(**given, pad_token_id=0)[:, batch.ids.shape[1] :]  # type: ignore[operator]
        ours = lm.generate(batch, 6)
    assert ours == lm.loaded.tokenizer.batch_decode(theirs, skip_special_tokens=True)


def test_rows_padded_on_the_right_are_not_continued(lm: LanguageModel) -> None:
    with pytest.raises(BadInput, match="padding='left'"):
        lm.generate(lm.tokens(TEXTS), 2)


# --- names ---


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


# --- hooks and caches are gone afterwards ---


def number_of_hooks(lm: LanguageModel) -> int:
    """Ours and transformers' own, which stay once hidden states were asked for."""
    return sum(len(module._forward_hooks) + len(module._forward_pre_hooks) for module in lm.model.modules())


def test_hooks_are_gone_after_an_exception(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    clean, before = lm.run(batch), number_of_hooks(lm)

    def failing(stream: Tensor, hook: Hook) -> Tensor:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), lm.hooks(dict.fromkeys(lm.names("resid_post", "attn_z"), failing)):
        lm.run(batch)
    with pytest.raises(ZeroDivisionError), lm.cache(lm.names("resid_post")) as kept:
        lm.run(batch)
        raise ZeroDivisionError
    assert kept.nbytes == 0
    with pytest.raises(BadInput, match="gone with its `with` block"):
        kept["blocks.0.hook_resid_post"]
    with (
        pytest.raises(BadInput, match=r"gives \[3\] for a stream of"),
        lm.hooks({"resid_post.0": lambda s, h: SHIFT[:3]}),
    ):
        lm.run(batch)
    assert number_of_hooks(lm) == before and edits(lm.loaded.blocks) == frozenset()
    assert torch.equal(lm.run(batch), clean)


def test_a_patch_is_a_change_that_prefixes_know_of(lm: LanguageModel) -> None:
    with lm.hooks({"attn_z.1": shifted(1)}):
        assert len(edits(lm.loaded.blocks)) == 1
    with lm.cache(["attn_z.1"]):
        assert edits(lm.loaded.blocks) == frozenset(), "what only reads is none"


def test_the_cache_sees_what_hooks_around_it_made(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    _, clean = lm.run_with_cache(batch, ["resid_post.1"])
    with lm.hooks({"resid_post.1": shifted(1)}), lm.cache(["resid_post.1"]) as kept:
        lm.run(batch)
        torch.testing.assert_close(kept["resid_post.1"], clean["resid_post.1"] + SHIFT)


def test_a_later_change_in_place_leaves_what_was_kept(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    _, clean = lm.run_with_cache(batch, ["resid_post.0"])
    with lm.cache(["resid_post.0"]) as kept, lm.hooks({"resid_pre.1": lambda stream, hook: stream.zero_()}):
        lm.run(batch)
        assert torch.equal(kept["resid_post.0"], clean["resid_post.0"])


def test_what_exceeds_the_limit_is_refused_and_nothing_stays(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS)
    size, before = batch.ids.numel() * lm.d_model * 4, number_of_hooks(lm)
    with pytest.raises(BadInput, match=f"takes {size:,} bytes and {size:,} of {2 * size - 1:,} are taken"):
        lm.run_with_cache(batch, lm.names("resid_post"), limit=2 * size - 1)
    assert number_of_hooks(lm) == before
    with lm.cache(lm.names("resid_post")[:2], limit=2 * size) as kept:
        lm.run(batch)
        assert kept.nbytes == 2 * size


def test_what_exceeds_the_limit_is_spilled_and_its_files_go(lm: LanguageModel, tmp_path: Path) -> None:
    batch = lm.tokens(TEXTS)
    names = lm.names("resid_post")
    size = batch.ids.numel() * lm.d_model * 4
    _, expected = lm.run_with_cache(batch, names)
    with pytest.raises(ZeroDivisionError), lm.cache(names, limit=size, spill=tmp_path) as kept:
        lm.run(batch)
        assert kept.nbytes == size and kept.spilled == lm.num_layers - 1
        assert len(list(tmp_path.rglob("*.safetensors"))) == kept.spilled
        assert all(torch.equal(kept[name], expected[name]) for name in names)
        raise ZeroDivisionError
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(BadInput, match="is no folder"), lm.cache(names, spill=tmp_path / "none"):
        pass


def test_steps_of_a_generation_are_one_pass_and_others_are_told_apart(lm: LanguageModel) -> None:
    batch = lm.tokens(TEXTS, padding="left")
    with lm.cache(["resid_post.0"]) as kept:
        with pytest.raises(BadInput, match="0 passes have run"):
            kept["resid_post.0"]
        lm.generate(batch, 3)
        assert kept["resid_post.0"].shape[1] >= batch.ids.shape[1] + 1
        lm.run(batch)
        assert [len(one) for one in kept.passes("resid_post.0")] == [3, 3]
        with pytest.raises(BadInput, match="2 passes have run"):
            kept["resid_post.0"]
        with pytest.raises(BadInput, match="was not asked for"):
            kept["resid_post.1"]


# --- batches ---


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
