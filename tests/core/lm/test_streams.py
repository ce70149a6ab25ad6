from pathlib import Path

import pytest
import torch

from core.lm.batches import TokenBatch
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.patched import build_batch, clean_run
from core.lm.prompts import CaptionRequest, encode_sample
from core.lm.streams import CleanStreams


@pytest.fixture(scope="module")
def loaded(tiny_text_gemma: Path) -> LoadedModel:
    return load_model(tiny_text_gemma, "float32", "cpu")


@pytest.fixture(scope="module")
def batches(loaded: LoadedModel) -> list[TokenBatch]:
    texts = ("A woman is singing in a park.", "امرأة تغني في حديقة", "A man")
    encoded = [encode_sample(loaded, CaptionRequest(text, text, "en", text, "", None)) for text in texts]
    return [build_batch(loaded, encoded[:2]), build_batch(loaded, encoded[2:])]


def blocks_run(loaded: LoadedModel, batches: list[TokenBatch], layers: tuple[int, ...], limit: int) -> list[int]:
    """How many passes went through each block while the layers' streams were read, which are compared with runs of
    their own; blocks that only hand a stream on do not count."""
    counts = [0] * len(loaded.blocks)
    clean = [[clean_run(loaded, batch, [layer])[layer] for batch in batches] for layer in layers]
    streams = CleanStreams(loaded, batches, limit)
    handles = []
    for number, block in enumerate(loaded.blocks):

        def count(*_: object, number: int = number) -> None:
            counts[number] += 1

        handles.append(block.mlp.register_forward_hook(count))
    try:
        for layer, expected in zip(layers, clean, strict=True):
            assert all(map(torch.equal, streams.after(layer), expected))
    finally:
        for handle in handles:
            handle.remove()
    return counts


def test_ascending_layers_cost_one_pass_and_a_lower_one_another(loaded: LoadedModel, batches: list[TokenBatch]) -> None:
    assert blocks_run(loaded, batches, (0, 2, 2, 3), 1 << 20) == [2, 2, 2, 2]
    assert blocks_run(loaded, batches, (1, 3, 0, 1), 1 << 20) == [4, 4, 2, 2]


def test_what_does_not_fit_is_run_again(loaded: LoadedModel, batches: list[TokenBatch]) -> None:
    assert blocks_run(loaded, batches, (0, 2, 3), 0) == [6, 4, 4, 2]
    smaller = batches[1].input_ids.numel() * loaded.shape.d_model * 4
    assert blocks_run(loaded, batches, (0, 2, 3), smaller) == [4, 3, 3, 2]
