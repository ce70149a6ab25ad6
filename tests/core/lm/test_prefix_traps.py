"""Ways to use a prefix that run without a word and give wrong states: each is shown, and then refused or avoided."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor
from transformers import DynamicCache

from core.lm.hooks import Reading, capture, edit
from core.lm.images import read_pictures, together
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prefix import (
    CaptionGroup,
    Prefix,
    continue_prefix,
    encode_prefix,
    pad_right,
    run_base,
    run_whole,
    shared_length,
)
from core.lm.prompts import EncodedSample, encode_sample
from tests.core.lm.reference import INSTRUCTIONS, noise_images, relative_error, requests_for
from tests.core.lm.test_prefix import CAPTIONS, groups_of
from tests.core.lm.tiny import save_tiny_gemma

LAYERS = [0, 1, 2, 3]


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return noise_images(tmp_path_factory.mktemp("images"), 2)


@pytest.fixture(scope="module")
def loaded(tiny_gemma: Path) -> LoadedModel:
    return load_model(tiny_gemma, "float32", "cpu")


def change(stream: Tensor) -> Tensor:
    return stream + 3 * torch.sin(torch.arange(stream.shape[-1]))


def test_a_changed_model_over_clean_keys_would_be_wrong_and_is_refused(loaded: LoadedModel, images: list[Path]) -> None:
    group = groups_of(loaded, requests_for(images[:1], CAPTIONS, INSTRUCTIONS))[0]
    sample = group.samples[0]
    rest = [group.rest(sample)]
    clean, _ = encode_prefix(loaded, [group], Reading(LAYERS))
    with edit(loaded.blocks, 1, change):
        truth = run_whole(loaded, [sample], Reading(LAYERS))[3][0, group.shared :]
        with pytest.raises(ValueError, match="changed otherwise"):
            continue_prefix(loaded, clean, [0], rest, Reading(LAYERS))
        own, _ = encode_prefix(loaded, [group], Reading(LAYERS))
        assert relative_error(continue_prefix(loaded, own, [0], rest, Reading(LAYERS))[3][0], truth) < 1e-5
        trusting = replace(clean, edits=own.edits)
        wrong = continue_prefix(loaded, trusting, [0], rest, Reading(LAYERS))
    assert relative_error(wrong[3][0], truth) > 0.05
    with pytest.raises(ValueError, match="changed otherwise"):
        continue_prefix(loaded, own, [0], rest, Reading(LAYERS))


def test_a_patch_over_the_last_tokens_alone_may_use_clean_keys_up_to_its_layer(
    loaded: LoadedModel, images: list[Path]
) -> None:
    """Below and at the patched layer nothing before it has changed."""
    group = groups_of(loaded, requests_for(images[:1], CAPTIONS, INSTRUCTIONS))[0]
    sample = group.samples[0]
    clean, _ = encode_prefix(loaded, [group], Reading(LAYERS))
    with edit(loaded.blocks, 1, change):
        truth = run_whole(loaded, [sample], Reading(LAYERS))
        trusting = replace(clean, edits=encode_prefix(loaded, [group], Reading([0]))[0].edits)
        states = continue_prefix(loaded, trusting, [0], [group.rest(sample)], Reading(LAYERS))
    for layer in (0, 1):
        assert relative_error(states[layer][0], truth[layer][0, group.shared :]) < 1e-5


def test_a_prefix_padded_on_the_right_would_be_wrong_once_the_window_matters(
    images: list[Path], tmp_path: Path
) -> None:
    """What running groups of unequal prefixes together would do."""
    loaded = load_model(save_tiny_gemma(tmp_path, sliding_window=7), "float32", "cpu")
    group = groups_of(loaded, requests_for(images[:1], CAPTIONS, INSTRUCTIONS))[0]
    sample, padding = group.samples[0], 5
    ids = torch.tensor([[*group.shared_ids, *[0] * padding]])
    mask = torch.ones_like(ids)
    mask[:, group.shared :] = 0
    cache = DynamicCache(config=loaded.text_config)
    with capture(loaded.blocks, LAYERS):
        run_base(loaded, ids, mask, [sample], cache=cache)
    rest, own = pad_right([group.rest(sample)], loaded)
    with capture(loaded.blocks, LAYERS) as states, torch.inference_mode():
        run_base(loaded, rest, torch.cat([mask, own], dim=1), [], cache=cache, start=ids.shape[1])
    truth = run_whole(loaded, [sample], Reading(LAYERS))[3][0, group.shared :]
    assert relative_error(states[3][0], truth) > 0.05


@pytest.mark.parametrize("window", [3, 16, 200])
@torch.inference_mode()
def test_captions_behind_two_images_equal_the_whole_sequence(window: int, images: list[Path], tmp_path: Path) -> None:
    """The image's block written twice: the second one's tokens must see the first and not be cut."""
    loaded = load_model(save_tiny_gemma(tmp_path, window), "float32", "cpu")
    samples = [
        _with_block_twice(loaded, encode_sample(loaded, one))
        for one in requests_for(images[:1], CAPTIONS, INSTRUCTIONS)
    ]
    shared = shared_length([sample.ids[: sample.prefix_length] for sample in samples], loaded.image_token_id)
    assert samples[0].ids[:shared].count(loaded.image_token_id) == 32
    both = [replace(samples[0], image=image) for image in images]
    pixels = together(read_pictures(loaded, images))["pixel_values"]
    assert not torch.equal(pixels[0], pixels[1])
    group = CaptionGroup("i", tuple(samples), shared)
    cache = DynamicCache(config=loaded.text_config)
    ids = torch.tensor([group.shared_ids])
    with capture(loaded.blocks, LAYERS) as before:
        run_base(loaded, ids, torch.ones_like(ids), both, cache=cache)
    prefix = Prefix(cache, shared, max(LAYERS))
    found = continue_prefix(loaded, prefix, [0] * len(samples), [group.rest(one) for one in samples], Reading(LAYERS))
    for row, sample in enumerate(samples):
        truth = _plain(loaded, sample.ids, pixels)
        for layer in LAYERS:
            assert relative_error(before[layer][0], truth[layer][:shared]) < 1e-5
            own = len(sample.ids) - shared
            assert relative_error(found[layer][row, :own], truth[layer][shared:]) < 1e-5


def _with_block_twice(loaded: LoadedModel, sample: EncodedSample) -> EncodedSample:
    token = loaded.image_token_id
    first = sample.ids.index(token) - 1  # the marker of its beginning
    last = len(sample.ids) - sample.ids[::-1].index(token) + 1  # and behind that of its end
    block = sample.ids[first:last]
    ids = [*sample.ids[:last], *block, *sample.ids[last:]]
    return replace(sample, ids=ids, prefix_length=sample.prefix_length + len(block))


def _plain(loaded: LoadedModel, ids: Sequence[int], pixels: Tensor) -> list[Tensor]:
    """transformers' own hidden states of one sequence with two images, the last before the final norm."""
    tokens = torch.tensor([ids])
    last: list[Tensor] = []
    handle = loaded.final_norm.register_forward_pre_hook(lambda _module, inputs: last.append(inputs[0][0]))
    try:
        types = torch.eq(tokens, loaded.image_token_id).long()
        made = loaded.model(tokens, pixel_values=pixels, token_type_ids=types, output_hidden_states=True)
    finally:
        handle.remove()
    return [*(state[0] for state in made.hidden_states[1:-1]), last[0]]
