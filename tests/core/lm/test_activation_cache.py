"""Hooks and caches: what they keep, in how many bytes, and that they are gone afterwards."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from core.errors import BadInput
from core.lm.hook_points import Hook
from core.lm.hooks import edits
from core.lm.language_model import LanguageModel
from tests.core.lm.hooked import SHIFT, TEXTS, number_of_hooks, shifted


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
