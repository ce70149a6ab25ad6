from pathlib import Path

import pytest
import torch

from core.activations.passes import capture_batch
from core.lm.hooks import Reading
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prefix import (
    CaptionGroup,
    common_length,
    continue_prefix,
    encode_prefix,
    fork_cache,
    run_base,
    run_whole,
    shared_length,
)
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from tests.core.lm.reference import INSTRUCTIONS, full_forward, noise_images, relative_error, requests_for
from tests.core.lm.tiny import TEMPLATE, save_tiny_gemma

CAPTIONS = [
    ("en", "A woman sings in a park. She holds her red book."),
    ("ar", "طبيبة تغني 😀 في حديقة"),
    ("en", "A"),
]
CAPTIONER = Path(__file__).parents[3] / "deployments" / "models" / "scene-captioner"
IMAGE = 6


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    return noise_images(tmp_path_factory.mktemp("images"), 3)


def groups_of(loaded: LoadedModel, requests: list[CaptionRequest]) -> list[CaptionGroup]:
    """The captions of each image, with what their prompts share."""
    by_image: dict[str, list[EncodedSample]] = {}
    for request in requests:
        by_image.setdefault(request.image_id, []).append(encode_sample(loaded, request))
    return [
        CaptionGroup(
            image,
            tuple(samples),
            common_length(loaded, [sample.ids[: sample.prefix_length] for sample in samples]),
        )
        for image, samples in by_image.items()
    ]


def worst_error(loaded: LoadedModel, requests: list[CaptionRequest], layers: list[int], token_budget: int) -> float:
    """Largest relative error of any row against one full forward a caption."""
    groups = groups_of(loaded, requests)
    states = capture_batch(loaded, groups, layers, token_budget)
    worst = 0.0
    pairs = [(number, index) for number, group in enumerate(groups) for index in range(len(group.samples))]
    for request, (number, index) in zip(requests, pairs, strict=True):
        ids, reference = full_forward(loaded, request)
        assert groups[number].samples[index].ids == ids
        shared = groups[number].shared
        for layer in layers:
            worst = max(worst, relative_error(states[number, index][layer], reference[layer][shared:]))
            if shared:
                worst = max(worst, relative_error(states[number, None][layer], reference[layer][:shared]))
    return worst


@pytest.mark.parametrize(
    ("window", "kinds"),
    [
        (3, None),
        (7, None),
        (16, None),  # as long as the image block
        (29, None),  # as long as the prefix
        (200, None),  # longer than everything
        (7, ["full_attention", "full_attention", "sliding_attention", "sliding_attention"]),
        (7, ["sliding_attention"] * 4),
    ],
)
def test_captions_behind_a_shared_prefix_equal_full_forwards(
    window: int, kinds: list[str] | None, images: list[Path], tmp_path: Path
) -> None:
    loaded = load_model(save_tiny_gemma(tmp_path, window, kinds), "float32", "cpu")
    requests = requests_for(images, CAPTIONS, INSTRUCTIONS)
    assert groups_of(loaded, requests)[0].shared == 29
    assert worst_error(loaded, requests, [0, 1, 2, 3], 4096) < 1e-5


@pytest.mark.parametrize("token_budget", [1, 40, 100])
@pytest.mark.parametrize("layers", [[1], [0, 2]])
def test_neither_the_batching_nor_an_early_stop_shows(
    token_budget: int, layers: list[int], images: list[Path], tiny_gemma: Path
) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    requests = requests_for(images, CAPTIONS, INSTRUCTIONS)
    assert worst_error(loaded, requests, layers, token_budget) < 1e-5


def test_captions_of_a_text_model_equal_full_forwards(tiny_text_gemma: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    for instructions in (INSTRUCTIONS, {"en": "", "ar": ""}):
        requests = requests_for([None, None], CAPTIONS, instructions)
        assert worst_error(loaded, requests, [0, 1, 2, 3], 60) < 1e-5


def test_text_without_images_runs_on_a_model_with_images(tiny_gemma: Path) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    assert worst_error(loaded, requests_for([None], CAPTIONS, INSTRUCTIONS), [0, 3], 4096) < 1e-5


def test_an_instruction_before_the_image_shares_nothing(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    turned = "{% for item in message['content'] | reverse %}"
    loaded.processor.chat_template = TEMPLATE.replace("{% for item in message['content'] %}", turned)
    requests = requests_for(images, CAPTIONS, INSTRUCTIONS)
    groups = groups_of(loaded, requests)
    assert {group.shared for group in groups} == {0}
    sample = groups[1].samples[0]
    assert sample.segments.index("image") > sample.special.index(False) + 5, "the instruction stands first"
    states = run_whole(loaded, [sample], Reading([3]))[3][0]
    assert relative_error(states, full_forward(loaded, requests[3])[1][3]) < 1e-5


def test_leaving_image_tokens_untold_would_have_shown(tiny_gemma: Path, images: list[Path]) -> None:
    """The trap itself: without token_type_ids the model runs, and its image rows are wrong."""
    from core.lm.hooks import capture
    from core.lm.images import read_pictures

    loaded = load_model(tiny_gemma, "float32", "cpu")
    request = requests_for(images[:1], CAPTIONS[:1], INSTRUCTIONS)[0]
    ids = torch.tensor([encode_sample(loaded, request).ids])
    with capture(loaded.blocks, [2]) as states, torch.inference_mode():
        loaded.base(input_ids=ids, **read_pictures(loaded, images[:1])[0])
    assert relative_error(states[2][0], full_forward(loaded, request)[1][2]) > 0.05


def test_shared_length_never_cuts_an_image_block() -> None:
    assert shared_length([[1, 2, 3, 4], [1, 2, 9, 4]], IMAGE) == 2
    assert shared_length([[1, 2], [1, 2]], IMAGE) == 1, "each keeps one token of its own"
    assert shared_length([[1, IMAGE, IMAGE, 3, 4], [1, IMAGE, IMAGE, 3, 5]], IMAGE) == 4
    assert shared_length([[1, IMAGE, IMAGE, 3], [1, IMAGE, 7, 3]], IMAGE) == 0
    assert shared_length([[1, 2, IMAGE, IMAGE], [1, 2, IMAGE, IMAGE]], IMAGE) == 0, "pixels behind a prefix"


def test_a_fork_leaves_its_origin_as_it_was(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    groups = groups_of(loaded, requests_for(images, CAPTIONS, INSTRUCTIONS))
    prefix, _ = encode_prefix(loaded, groups, Reading([0, 3]))
    before = [layer.keys.clone() for layer in prefix.cache.layers]
    fork = fork_cache(prefix.cache, [2, 0, 0])
    assert torch.equal(fork.layers[1].keys, before[1][[2, 0, 0]])
    ids = torch.ones(3, 4, dtype=torch.long)
    run_base(loaded, ids, torch.ones(3, 33, dtype=torch.long), [], cache=fork, start=29)
    rests = [groups[0].rest(groups[0].samples[0])]
    first = continue_prefix(loaded, prefix, [1], rests, Reading([3]))[3]
    assert torch.equal(continue_prefix(loaded, prefix, [1], rests, Reading([3]))[3], first)
    assert all(torch.equal(layer.keys, keys) for layer, keys in zip(prefix.cache.layers, before))
    assert prefix.cache.get_seq_length() == 29


def test_a_prefix_serves_no_layer_above_where_it_stopped(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    groups = groups_of(loaded, requests_for(images, CAPTIONS, INSTRUCTIONS))
    prefix, _ = encode_prefix(loaded, groups, Reading([1]))
    with pytest.raises(ValueError, match="encoded up to layer 1"):
        continue_prefix(loaded, prefix, [0], [[5]], Reading([2]))
    with pytest.raises(ValueError, match="without their pixels"):
        continue_prefix(loaded, prefix, [0], [[5, loaded.image_token_id]], Reading([1]))


def test_groups_of_unequal_prefixes_do_not_run_together(tiny_gemma: Path, images: list[Path]) -> None:
    loaded = load_model(tiny_gemma, "float32", "cpu")
    groups = groups_of(loaded, requests_for([images[0], None], CAPTIONS, INSTRUCTIONS))
    with pytest.raises(ValueError, match="equal, positive shared length"):
        encode_prefix(loaded, groups, Reading([1]))


def test_the_captioners_states_equal_full_forwards(images: list[Path]) -> None:
    loaded = load_model(CAPTIONER, "float32", "cpu")
    layers = [0, 5, 17, 32, 33]
    assert loaded.shape.num_layers == 34
    assert worst_error(loaded, requests_for(images[:2], CAPTIONS, INSTRUCTIONS), layers, 4096) < 1e-5
