from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from core.errors import BadInput
from core.lm.agreement import logits_of
from core.lm.hooks import edit
from core.lm.images import together
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.patched import (
    CAPTION,
    IMAGE,
    LAST_PROMPT,
    OUTSIDE,
    PROMPT,
    TokenBatch,
    build_batch,
    clean_run,
    embed,
    run_embedded,
    run_from,
    run_full,
)
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from tests.core.lm.tiny import save_tiny_gemma

CAPTIONS = ("A woman is singing in a park.", "امرأة تغني في حديقة وتحمل كتابها الأحمر", "A man")
# Smaller than the image block (16), between it and the sequence, larger than all; and a first layer that sees all.
SHAPES = [(3, None), (7, None), (20, None), (512, None), (5, ["full_attention", *["sliding_attention"] * 3])]


@pytest.fixture
def images(tmp_path: Path) -> list[Path]:
    paths = []
    for number in range(len(CAPTIONS)):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        paths.append(tmp_path / f"{number}.png")
        Image.fromarray(pixels).save(paths[-1])
    return paths


def encode(loaded: LoadedModel, images: list[Path] | None) -> list[EncodedSample]:
    pictures: list[Path | None] = list(images) if images else [None] * len(CAPTIONS)
    instruction = "Describe the image in English." if images else ""
    return [
        encode_sample(loaded, CaptionRequest(str(number), str(number), "en", caption, instruction, picture))
        for number, (caption, picture) in enumerate(zip(CAPTIONS, pictures, strict=True))
    ]


def plain_logits(loaded: LoadedModel, sample: EncodedSample) -> torch.Tensor:
    """One sequence alone through the whole model: no padding, nothing shared, no code of ours."""
    batch = build_batch(loaded, [sample])
    extra = {} if batch.token_type_ids is None else {"token_type_ids": batch.token_type_ids}
    with torch.no_grad():
        output = loaded.model(input_ids=torch.tensor([sample.ids]), **extra, **together(batch.pictures or ()))
    return output.logits[0]


@pytest.mark.parametrize(("window", "kinds"), SHAPES)
def test_resuming_equals_the_full_forward_at_every_layer(
    window: int, kinds: list[str] | None, tmp_path: Path, images: list[Path]
) -> None:
    loaded = load_model(save_tiny_gemma(tmp_path / "model", window, kinds), "float32", "cpu")
    samples = encode(loaded, images)
    expected = [plain_logits(loaded, sample) for sample in samples]
    batch = build_batch(loaded, samples)
    streams = clean_run(loaded, batch, range(4))
    for layer in range(4):
        logits = run_from(loaded, batch, layer, streams[layer])
        for row, (sample, alone) in enumerate(zip(samples, expected, strict=True)):
            torch.testing.assert_close(logits[row, : len(sample.ids)], alone, rtol=1e-5, atol=1e-4)


def test_resuming_a_model_of_text_equals_its_full_forward(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    samples = encode(loaded, None)
    batch = build_batch(loaded, samples)
    for layer, stream in clean_run(loaded, batch, range(4)).items():
        logits = run_from(loaded, batch, layer, stream)
        for row, sample in enumerate(samples):
            alone = plain_logits(loaded, sample)
            torch.testing.assert_close(logits[row, : len(sample.ids)], alone, rtol=1e-5, atol=1e-4)


@pytest.mark.parametrize("layer", range(4))
def test_a_patch_equals_the_same_change_by_a_hook_in_the_full_model(
    layer: int, tiny_gemma: Path, images: list[Path]
) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    batch = build_batch(loaded, encode(loaded, images))
    clean = clean_run(loaded, batch, [layer])[layer]
    change = torch.randn(clean.shape, generator=torch.Generator().manual_seed(layer)) * 3
    change = change * batch.patchable()[..., None]
    with edit(loaded.blocks, layer, lambda stream: stream + change):
        expected = logits_of(loaded, run_full(loaded, batch))
    patched = run_from(loaded, batch, layer, clean + change)
    real = batch.attention_mask.bool()
    torch.testing.assert_close(patched[real], expected[real], rtol=1e-5, atol=1e-4)
    assert not torch.allclose(patched[real], logits_of(loaded, run_full(loaded, batch))[real], atol=0.1)


def test_blocks_are_as_they_were_after_a_resumed_run_and_after_a_failure(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    batch = build_batch(loaded, encode(loaded, images))
    before = run_full(loaded, batch)
    stream = clean_run(loaded, batch, [1])[1]
    with pytest.raises(RuntimeError):
        run_from(loaded, batch, 1, stream[..., :5])
    run_from(loaded, batch, 2, stream)
    assert torch.equal(run_full(loaded, batch), before)
    assert all("forward" not in vars(block) for block in loaded.blocks)


@pytest.mark.parametrize(("window", "kinds"), SHAPES)
def test_two_continuations_in_one_row_equal_each_alone(
    window: int, kinds: list[str] | None, tmp_path: Path, images: list[Path]
) -> None:
    loaded = load_model(save_tiny_gemma(tmp_path / "model", window, kinds), "float32", "cpu")
    first = encode(loaded, images)[0]
    second = encode_sample(loaded, replace_caption(first, "A man is cooking a lot of red ball"))
    other = encode(loaded, images)[1]
    start = first.prefix_length + 1
    joined = replace(
        first,
        ids=first.ids + second.ids[start:],
        segments=first.segments + second.segments[start:],
        special=first.special + second.special[start:],
        spans=first.spans + second.spans[start:],
    )
    fork = (start, len(first.ids))
    batch = build_batch(loaded, [joined, other], [fork, (len(other.ids), len(other.ids))])
    for layer, stream in clean_run(loaded, batch, range(4)).items():
        logits = run_from(loaded, batch, layer, stream)
        alone = plain_logits(loaded, second)
        torch.testing.assert_close(logits[0, : len(first.ids)], plain_logits(loaded, first), rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(logits[0, fork[1] : len(joined.ids)], alone[start:], rtol=1e-5, atol=1e-4)
        torch.testing.assert_close(logits[1, : len(other.ids)], plain_logits(loaded, other), rtol=1e-5, atol=1e-4)


def replace_caption(sample: EncodedSample, caption: str) -> CaptionRequest:
    fields = (sample.sample_id, sample.image_id, "en", caption, "Describe the image in English.", sample.image)
    return CaptionRequest(*fields)


def test_two_continuations_of_text_equal_each_alone_without_padding(tiny_text_gemma: Path) -> None:
    """One row without padding: transformers then makes no mask for layers that see all."""
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    first = encode_sample(loaded, CaptionRequest("a", "a", "en", "A woman is"))
    second = encode_sample(loaded, CaptionRequest("a", "a", "en", "A man"))
    start = 2
    assert first.ids[:start] == second.ids[:start]
    joined = replace(
        first,
        ids=first.ids + second.ids[start:],
        segments=first.segments + second.segments[start:],
        special=first.special + second.special[start:],
        spans=first.spans + second.spans[start:],
    )
    batch = build_batch(loaded, [joined], [(start, len(first.ids))])
    logits = logits_of(loaded, run_full(loaded, batch))[0]
    torch.testing.assert_close(logits[: len(first.ids)], plain_logits(loaded, first), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(logits[len(first.ids) :], plain_logits(loaded, second)[start:], rtol=1e-5, atol=1e-4)


def test_running_what_enters_block_0_equals_running_the_tokens(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    batch = build_batch(loaded, encode(loaded, images))
    expected = clean_run(loaded, batch, [0, 3])
    streams = run_embedded(loaded, replace(batch, pictures=None), embed(loaded, batch), [0, 3])
    assert all(torch.equal(streams[layer], expected[layer]) for layer in (0, 3))


def test_segments_tell_what_an_intervention_reaches(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    sample = encode(loaded, images)[2]
    segments = build_batch(loaded, [sample]).segments[0].tolist()
    assert segments[0] == OUTSIDE
    assert segments.count(IMAGE) == 16
    assert segments.count(LAST_PROMPT) == 1
    assert segments[sample.prefix_length - 1] == LAST_PROMPT
    assert segments[sample.prefix_length :] == [CAPTION] * len(sample.caption_ids)
    assert PROMPT in segments


def test_bos_alone_is_no_decision_point(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    batch = build_batch(loaded, encode(loaded, None)[2:])
    assert batch.segments[0, 0] == OUTSIDE
    assert not batch.patchable()[0, 0]


def test_some_rows_run_as_they_do_among_the_others(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    whole = build_batch(loaded, encode(loaded, images))
    some: TokenBatch = whole.rows(slice(2, 3))
    assert some.input_ids.shape[1] == int(whole.lengths[2])
    torch.testing.assert_close(
        run_full(loaded, some)[0], run_full(loaded, whole)[2, : int(whole.lengths[2])], rtol=1e-5, atol=1e-4
    )


def test_a_batch_where_some_have_no_image_is_refused(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    samples = encode(loaded, images)
    bare = encode_sample(loaded, CaptionRequest("x", "x", "en", "A man", "Describe the image in English."))
    with pytest.raises(BadInput, match="sample x"):
        build_batch(loaded, [samples[0], bare])
