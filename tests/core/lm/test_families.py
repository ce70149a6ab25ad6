"""Every family of text that docs/activations.md lists as tested: captured, patched and generated, with tiny random
weights, against transformers' own passes with plain hooks."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from core.lm.agreement import logits_of
from core.lm.batches import TokenBatch, build_batch
from core.lm.generate import Intervention, generate, stop_ids
from core.lm.hooks import edit
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.outcomes import WordSequence, forked
from core.lm.patched import clean_run, embed, run_embedded, run_from, run_full, stream_from
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample
from tests.core.lm.families import LISTED, save_family
from tests.core.lm.reference import INSTRUCTIONS, relative_error, requests_for
from tests.core.lm.test_prefix import worst_error

DOCS = Path(__file__).parents[3] / "docs" / "activations.md"
CAPTIONS = [("en", "A woman sings in a park. She holds her red book."), ("ar", "طبيبة تغني في حديقة"), ("en", "A")]
# Positions that no mask and no embedding tells (Bloom, MPT), or a window that a block counts by itself (GPT-Neo).
APART = ("bloom", "mpt", "gpt_neo")
VARIANTS: dict[str, tuple[str, dict[str, Any]]] = {
    **{kind: (kind, {}) for kind in LISTED},
    "falcon with alibi": ("falcon", {"alibi": True}),
    "falcon 40b": ("falcon", {"new_decoder_architecture": True, "num_kv_heads": 2}),
}
LAYERS = range(3)
STEPS = 6
SHIFT = torch.randn(32, generator=torch.Generator().manual_seed(1)) * 3


@pytest.fixture(scope="module", params=VARIANTS)
def loaded(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    """Tied to the embeddings, a random model's head repeats the last token for ever."""
    kind, more = VARIANTS[request.param]
    folder = save_family(kind, tmp_path_factory.mktemp(kind), tie_word_embeddings=False, **more)
    return load_model(folder, "float32", "cpu")


def sample_of(loaded: LoadedModel, caption: str) -> EncodedSample:
    return encode_sample(loaded, CaptionRequest(caption, caption, "en", caption, "Describe."))


@contextmanager
def shifted(loaded: LoadedModel, layer: int, length: int) -> Iterator[None]:
    """The stream after a block changed everywhere but at the first token, by a plain hook."""

    def hook(_block: object, _inputs: object, output: Any) -> Any:
        stream = output[0] if isinstance(output, tuple) else output
        reach = torch.ones(stream.shape[1])
        reach[: int(stream.shape[1] >= length)] = 0
        stream = stream + SHIFT * reach[:, None]
        return (stream, *output[1:]) if isinstance(output, tuple) else stream

    handle = loaded.blocks[layer].register_forward_hook(hook)
    try:
        yield
    finally:
        handle.remove()


def truth(loaded: LoadedModel, sample: EncodedSample, layer: int) -> Tensor:
    """transformers' logits [T, V] of a sequence alone, changed after one block."""
    with torch.no_grad(), shifted(loaded, layer, len(sample.ids)):
        logits: Tensor = loaded.model(input_ids=torch.tensor([sample.ids]), use_cache=False).logits[0]
    return logits


def patched(loaded: LoadedModel, batch: TokenBatch, layer: int, stream: Tensor) -> Tensor:
    assert batch.fork is not None
    return run_from(loaded, batch, layer, stream + SHIFT * (batch.fork.order > 0)[..., None])


def test_captured_rows_are_transformers_own_hidden_states(loaded: LoadedModel) -> None:
    requests = requests_for([None, None], CAPTIONS, INSTRUCTIONS)
    assert worst_error(loaded, requests, list(LAYERS), 60) < 1e-5


@pytest.mark.parametrize("padded", [False, True])
def test_a_patched_pair_in_one_row_equals_each_sequence_alone(padded: bool, loaded: LoadedModel) -> None:
    first, second, other = (sample_of(loaded, text) for text in ("A woman is singing in a park.", "A man is", "A red"))
    start = first.prefix_length
    row, fork = forked(WordSequence(first, start, False), WordSequence(second, start, False))
    rows, forks = [row, other], [fork, (len(other.ids), len(other.ids))]
    batch = build_batch(loaded, rows[: 1 + padded], forks[: 1 + padded])
    assert loaded.forks_apart == (loaded.shape.model_type in APART)
    for layer, stream in clean_run(loaded, batch, LAYERS).items():
        logits = patched(loaded, batch, layer, stream)
        assert relative_error(logits[0, : fork[1]], truth(loaded, first, layer)) < 1e-5
        assert relative_error(logits[0, fork[1] : len(row.ids)], truth(loaded, second, layer)[start:]) < 1e-5
        if padded:
            assert relative_error(logits[1, : len(other.ids)], truth(loaded, other, layer)) < 1e-5


def test_what_enters_a_block_in_a_pass_of_ones_own_gives_the_same_stream(loaded: LoadedModel) -> None:
    first, second = (sample_of(loaded, text) for text in ("A woman is singing", "A man"))
    row, fork = forked(WordSequence(first, 3, False), WordSequence(second, 3, False))
    batch = build_batch(loaded, [row], [fork])
    streams = clean_run(loaded, batch, LAYERS)
    twice = run_embedded(loaded, batch.repeated(2), embed(loaded, batch).repeat(2, 1, 1), LAYERS)
    assert all(relative_error(twice[layer][1], streams[layer][0]) < 1e-5 for layer in LAYERS)
    assert relative_error(stream_from(loaded, batch, 0, streams[0], 2)[0], streams[2][0]) < 1e-5


def test_an_intervention_in_a_whole_pass_equals_a_plain_hook(loaded: LoadedModel) -> None:
    samples = [sample_of(loaded, text) for text in ("A woman is singing", "A man")]
    batch = build_batch(loaded, samples)
    reach = (torch.arange(batch.input_ids.shape[1]) > 0)[:, None]
    with edit(loaded.blocks, 1, lambda stream: stream + SHIFT * reach):
        logits = logits_of(loaded, run_full(loaded, batch))
    for row, sample in enumerate(samples):
        assert relative_error(logits[row, : len(sample.ids)], truth(loaded, sample, 1)) < 1e-5


def test_generated_captions_are_transformers_own(loaded: LoadedModel) -> None:
    requests = [CaptionRequest("s", "i", "en", "", text) for text in ("Describe the image.", "A woman is")]
    prompts = [encode_sample(loaded, request) for request in requests]
    clean = generate(loaded, prompts, STEPS)
    assert clean == [_generated(loaded, prompt) for prompt in prompts]
    force = Intervention(1, lambda stream, reach: stream + SHIFT * _all_but_first(reach))
    changed = generate(loaded, prompts, STEPS, force)
    for prompt, text in zip(prompts, changed, strict=True):
        with shifted(loaded, 1, len(prompt.ids)):
            assert text == _generated(loaded, prompt)
    assert changed != clean


def _all_but_first(reach: Tensor) -> Tensor:
    """Of a prompt; a token that is written is reached wherever it stands."""
    everywhere = torch.ones_like(reach)
    everywhere[:, : int(reach.shape[1] > 1)] = False
    return everywhere[..., None]


def _generated(loaded: LoadedModel, prompt: EncodedSample) -> str:
    ids = torch.tensor([prompt.ids])
    model: Any = loaded.model
    with torch.no_grad():
        found = model.generate(
            ids,
            attention_mask=torch.ones_like(ids),
            max_new_tokens=STEPS,
            do_sample=False,
            eos_token_id=sorted(stop_ids(loaded)),
            pad_token_id=0,
        )
    return str(loaded.tokenizer.decode(found[0, len(prompt.ids) :], skip_special_tokens=True)).strip()


@pytest.mark.parametrize("kind", ["bloom", "mpt"])
def test_positions_in_the_row_are_found_in_bfloat16_too(kind: str, tmp_path: Path) -> None:
    assert load_model(save_family(kind, tmp_path), "bfloat16", "cpu").forks_apart


def test_running_a_fork_in_place_would_have_shown(tmp_path: Path) -> None:
    """The trap itself: Bloom counts the first continuation's tokens between the second one and what it continues."""
    loaded = load_model(save_family("bloom", tmp_path), "float32", "cpu")
    first, second = (sample_of(loaded, text) for text in ("A woman is singing in a park.", "A man is"))
    start = first.prefix_length
    row, fork = forked(WordSequence(first, start, False), WordSequence(second, start, False))
    batch = build_batch(loaded, [row], [fork])
    own = [clean_run(one, batch, [2])[2][0, fork[1] :] for one in (loaded, replace(loaded, forks_apart=False))]
    assert relative_error(own[1], own[0]) > 1e-3


def test_the_documented_families_are_those_tested_here() -> None:
    rows = [line for line in DOCS.read_text().splitlines() if line.startswith("| ") and "| text |" in line]
    named = {kind for row in rows for kind in re.findall(r"`(\w+)`", row.split("|")[1])}
    assert named == set(LISTED)
