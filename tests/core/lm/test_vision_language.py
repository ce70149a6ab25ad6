"""Families of vision-language models: Gemma 3, LLaVA, PaliGemma 1 and 2, whose prompts are seen both ways, and
Qwen2-VL, whose images have grids of their own."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import Tensor

from core.errors import BadInput
from core.lm.agreement import check_added, logits_of
from core.lm.generate import Intervention, generate, stop_ids
from core.lm.hooks import Reading, edit
from core.lm.images import image_tokens
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.patched import build_batch, clean_run, embed, run_embedded, run_from, run_full
from core.lm.prefix import run_whole
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from tests.core.lm.families import save_tiny_llava, save_tiny_paligemma, save_tiny_qwen_vl
from tests.core.lm.reference import (
    INSTRUCTIONS,
    full_forward,
    noise_images,
    processor_inputs,
    relative_error,
    requests_for,
)
from tests.core.lm.test_prefix import groups_of, worst_error
from tests.core.lm.tiny import save_tiny_gemma

FAMILIES = ("gemma3", "paligemma", "paligemma2", "qwen2_vl", "qwen2_5_vl", "llava")
CAPTIONS = [("en", "A woman sings in a park."), ("ar", "طبيبة تغني 😀 في حديقة"), ("en", "A")]
# Grids of 2 × 2, 4 × 2, 2 × 4 and 2 × 3 soft tokens in the tiny Qwen2-VL; all 4 × 4 in the others.
SIZES = [(60, 56), (112, 56), (50, 100), (56, 84)]
LAYERS = [0, 1, 2]
SHIFT = torch.randn(32, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture(scope="module", params=FAMILIES)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    folder = tmp_path_factory.mktemp(request.param)
    if request.param == "gemma3":
        return load_model(save_tiny_gemma(folder), "float32", "cpu")
    if request.param == "llava":
        return load_model(save_tiny_llava(folder), "float32", "cpu")
    if request.param.startswith("paligemma"):
        text = "gemma2" if request.param == "paligemma2" else "gemma"
        return load_model(save_tiny_paligemma(folder, text), "float32", "cpu")
    return load_model(save_tiny_qwen_vl(folder, request.param), "float32", "cpu")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Pictures of four shapes, the last one twice."""
    folder = tmp_path_factory.mktemp("images")
    made = []
    for number, size in enumerate(SIZES):
        (folder / str(number)).mkdir()
        made += noise_images(folder / str(number), 1, size)
    return [*made, made[-1]]


def requests(images: Sequence[Path]) -> list[CaptionRequest]:
    return requests_for(images, CAPTIONS, INSTRUCTIONS)


def joined(first: EncodedSample, second: EncodedSample, start: int) -> EncodedSample:
    """The first sequence, and behind it what the second has from `start` on."""
    return replace(
        first,
        ids=first.ids + second.ids[start:],
        segments=first.segments + second.segments[start:],
        special=first.special + second.special[start:],
        spans=first.spans + second.spans[start:],
    )


@torch.no_grad()
def full_logits(loaded: LoadedModel, request: CaptionRequest, changed: int | None = None) -> Tensor:
    """transformers' own logits of prompt and caption alone, [T, V]; changed after one block by a plain hook."""
    block = loaded.blocks[changed or 0]
    handle = None if changed is None else block.register_forward_hook(lambda _block, _inputs, stream: stream + SHIFT)
    try:
        logits: Tensor = loaded.model(**processor_inputs(loaded, request)).logits[0]
    finally:
        if handle is not None:
            handle.remove()
    return logits


@pytest.mark.parametrize("token_budget", [1, 60])
def test_captions_of_images_of_several_shapes_equal_full_forwards(
    token_budget: int, loaded: LoadedModel, images: list[Path]
) -> None:
    assert worst_error(loaded, requests(images), LAYERS, token_budget) < 1e-5


def test_what_captions_share_is_what_no_later_token_changes(loaded: LoadedModel, images: list[Path]) -> None:
    shared = [group.shared for group in groups_of(loaded, requests(images))]
    sample = encode_sample(loaded, requests(images)[0])
    if loaded.prefix_lm:
        assert set(shared) == {0}, "a language's instruction changes the image's rows"
    else:
        assert all(number > sample.ids.index(loaded.image_token_id) + 3 for number in shared)
        assert len(set(shared)) == (1 if loaded.shape.image_tokens else 3), "4, 8, 8 and 6 tokens in Qwen2-VL"


def test_an_instruction_changes_the_image_rows_of_paligemma_alone(loaded: LoadedModel, images: list[Path]) -> None:
    english, arabic = (encode_sample(loaded, requests(images)[number]) for number in (0, 1))
    rows = [
        run_whole(loaded, [sample], Reading([2]))[2][0][[segment == "image" for segment in sample.segments]]
        for sample in (english, arabic)
    ]
    assert (relative_error(*rows) > 0.01) == loaded.prefix_lm


def test_each_image_has_as_many_tokens_as_its_processor_gives_it(loaded: LoadedModel, images: list[Path]) -> None:
    for request in requests(images):
        sample = encode_sample(loaded, request)
        assert sample.ids == processor_inputs(loaded, request)["input_ids"][0].tolist()
        assert sample.segments.count("image") == image_tokens(loaded, request.image)
        words = [
            token
            for token, part, special in zip(sample.ids, sample.segments, sample.special)
            if part == "prompt" and not special
        ]
        assert loaded.tokenizer.decode(words).strip().startswith(request.instruction)
        if loaded.shape.model_type != "llava":  # whose tiny template has no control token between the turns
            assert sample.special[sample.prefix_length - 1]


def test_positions_counted_token_by_token_would_have_shown(images: list[Path], tmp_path: Path) -> None:
    """The trap itself: Qwen2-VL runs with them, and everything from the image on is wrong."""
    loaded = load_model(save_tiny_qwen_vl(tmp_path), "float32", "cpu")
    request = requests(images[1:2])[0]
    batch = build_batch(loaded, [encode_sample(loaded, request)])
    assert batch.position_ids is not None and batch.position_ids.shape[0] == 3
    truth = full_forward(loaded, request)[1][2]
    assert relative_error(clean_run(loaded, batch, [2])[2][0], truth) < 1e-5
    flat = replace(batch, position_ids=torch.arange(len(truth))[None])
    assert relative_error(clean_run(loaded, flat, [2])[2][0], truth) > 0.05


def test_a_prompt_read_causally_would_have_shown(images: list[Path], tmp_path: Path) -> None:
    """The trap itself: PaliGemma runs without its types, and every row but the first is wrong."""
    loaded = load_model(save_tiny_paligemma(tmp_path), "float32", "cpu")
    request = requests(images[:1])[0]
    batch = build_batch(loaded, [encode_sample(loaded, request)])
    truth = full_forward(loaded, request)[1][2]
    assert relative_error(clean_run(loaded, batch, [2])[2][0], truth) < 1e-5
    causal = replace(batch, token_type_ids=None)
    assert relative_error(clean_run(loaded, causal, [2])[2][0, -1:], truth[-1:]) > 0.05


@pytest.mark.parametrize("apart", [False, True])
def test_resuming_forking_and_patching_equal_full_forwards(
    apart: bool, loaded: LoadedModel, images: list[Path]
) -> None:
    loaded = replace(loaded, forks_apart=apart)
    asked = requests(images[1:3])
    one, other, third = asked[0], replace(asked[0], caption="A woman cooks. She holds a ball"), asked[4]
    first, second, last = (encode_sample(loaded, request) for request in (one, other, third))
    start = first.prefix_length + 2
    assert first.ids[:start] == second.ids[:start]
    forks = [(start, len(first.ids)), (len(last.ids), len(last.ids))]
    batch = build_batch(loaded, [joined(first, second, start), last], forks)
    for layer, stream in clean_run(loaded, batch, LAYERS).items():
        for changed in (None, layer):
            logits = run_from(loaded, batch, layer, stream if changed is None else stream + SHIFT)
            own = logits[0, len(first.ids) : len(first.ids) + len(second.ids) - start]
            for rows, truth in (
                (logits[0, : len(first.ids)], full_logits(loaded, one, changed)),
                (own, full_logits(loaded, other, changed)[start:]),
                (logits[1, : len(last.ids)], full_logits(loaded, third, changed)),
            ):
                torch.testing.assert_close(rows, truth, rtol=1e-5, atol=1e-4)


def test_rows_repeated_and_run_from_what_enters_block_0_are_the_same(loaded: LoadedModel, images: list[Path]) -> None:
    batch = build_batch(loaded, [encode_sample(loaded, request) for request in requests(images[:3])[::3]])
    expected = run_full(loaded, batch)
    some = batch.rows(slice(1, 3))
    width = some.input_ids.shape[1]
    torch.testing.assert_close(run_full(loaded, some), expected[1:3, :width], rtol=1e-5, atol=1e-5)
    entering, streams = embed(loaded, batch), clean_run(loaded, batch, LAYERS)
    twice = run_embedded(loaded, batch.repeated(2), entering.repeat(2, 1, 1), LAYERS)
    for layer in LAYERS:
        torch.testing.assert_close(twice[layer], streams[layer].repeat(2, 1, 1), rtol=1e-5, atol=1e-5)


def test_greedy_captions_equal_those_written_without_a_cache(loaded: LoadedModel, images: list[Path]) -> None:
    # Tied to the embeddings, a random model's head repeats the last token for ever; one of its own does not.
    head = torch.nn.Linear(32, loaded.unembedding.shape[0], bias=False).requires_grad_(False)
    head.weight.normal_(generator=torch.Generator().manual_seed(3))
    own, plain = head.weight, loaded.model.get_output_embeddings()
    loaded.model.set_output_embeddings(head)
    try:
        changed = replace(loaded, unembedding=own)
        prompts = [encode_sample(changed, replace(request, caption="")) for request in requests(images)[::3]]
        clean = [_without_a_cache(changed, prompt) for prompt in prompts]
        assert generate(changed, prompts, 6) == clean
        force = Intervention(1, lambda stream, _reach: stream + SHIFT)
        with edit(changed.blocks, 1, lambda stream: stream + SHIFT):
            steered = [_without_a_cache(changed, prompt) for prompt in prompts]
        assert generate(changed, prompts, 6, force) == steered != clean
    finally:
        loaded.model.set_output_embeddings(plain)


@torch.inference_mode()
def _without_a_cache(loaded: LoadedModel, prompt: EncodedSample) -> str:
    """The likeliest token of the whole sequence, run again at every step."""
    ids = list(prompt.ids)
    for _ in range(6):
        grown = replace(prompt, ids=ids, segments=[*prompt.segments, *["caption"] * (len(ids) - len(prompt.ids))])
        grown = replace(grown, special=[False] * len(ids), spans=[None] * len(ids))
        states = run_full(loaded, build_batch(loaded, [grown]))
        token = int(logits_of(loaded, states[:, -1]).argmax())
        if token in stop_ids(loaded):
            break
        ids.append(token)
    return str(loaded.tokenizer.decode(ids[len(prompt.ids) :], skip_special_tokens=True)).strip()


def test_the_head_and_what_blocks_add_are_the_models_own(loaded: LoadedModel, images: list[Path]) -> None:
    request = requests(images)[0]
    states = run_full(loaded, build_batch(loaded, [encode_sample(loaded, request)]))[0]
    torch.testing.assert_close(logits_of(loaded, states), full_logits(loaded, request), rtol=1e-5, atol=1e-4)
    check_added(loaded)


def test_reference_layers_are_all_of_transformers(loaded: LoadedModel, images: list[Path]) -> None:
    ids, states = full_forward(loaded, requests(images)[0])
    assert len(states) == loaded.shape.num_layers and len(states[0]) == len(ids)


def test_paligemma_without_an_image_is_refused(tmp_path: Path) -> None:
    loaded = load_model(save_tiny_paligemma(tmp_path), "float32", "cpu")
    with pytest.raises(BadInput, match="PaliGemma is asked about an image"):
        encode_sample(loaded, CaptionRequest("s", "i", "en", "A woman", "Describe."))


def test_qwen3_vl_is_captured_and_writes_although_no_pass_can_be_resumed_in_it(
    tmp_path: Path, images: list[Path]
) -> None:
    """Its tower's blocks go into the decoder's first blocks, beside the stream."""
    loaded = load_model(save_tiny_qwen_vl(tmp_path, "qwen3_vl"), "float32", "cpu")
    assert worst_error(loaded, requests(images), LAYERS, 60) < 1e-5
    assert "it cannot be run on from a layer's stream: above layer 1, a caption's states are off" in loaded.unresumable
    batch = build_batch(loaded, [encode_sample(loaded, request) for request in requests(images)[:1]])
    with pytest.raises(BadInput, match="leave out what needs it"):
        run_embedded(loaded, batch, embed(loaded, batch), LAYERS)
    prompts = [encode_sample(loaded, replace(request, caption="")) for request in requests(images)[::3]]
    assert generate(loaded, prompts, 6) == [_without_a_cache(loaded, prompt) for prompt in prompts]


def test_text_alone_runs_on_qwen2_vl(tmp_path: Path) -> None:
    loaded = load_model(save_tiny_qwen_vl(tmp_path), "float32", "cpu")
    assert worst_error(loaded, requests_for([None], CAPTIONS, INSTRUCTIONS), LAYERS, 4096) < 1e-5


def test_an_image_that_a_processor_refuses_is_named(tmp_path: Path) -> None:
    loaded = load_model(save_tiny_qwen_vl(tmp_path / "model"), "float32", "cpu")
    Image.new("RGB", (1005, 5)).save(tmp_path / "strip.png")
    with pytest.raises(BadInput, match=r"image .*strip\.png: the model's processor refuses it .*200"):
        encode_sample(loaded, CaptionRequest("s", "i", "en", "A woman", "Describe.", tmp_path / "strip.png"))
