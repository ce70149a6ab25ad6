"""A patch of one row of a batch, padded either way, with a cache and in generation, against its batch of one.

The faults looked for are known elsewhere: a patch that edits its neighbours' rows (nnsight 502, 722), and cached
decoding unlike a full forward behind an image (transformers 40910, 48289).
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.generate import stop_ids
from core.lm.hook_points import Hook, limited
from core.lm.language_model import LanguageModel
from core.lm.texts import text_inputs
from tests.core.lm.hooked import TEXTS, of_row, shifted

CHANGED = 1
"""The row that is patched: the shortest, beside which padding stands."""
POINTS = ["blocks.1.hook_resid_post", "blocks.1.hook_resid_pre", "attn_z.1", "blocks.1.hook_mlp_out", "attn_out.1"]


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
