"""The planted world is what its docstring says."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from core.lm.prompts import CaptionRequest, encode_sample
from tests.core.causal.causal_world import IMAGE_START, INSTRUCTIONS, LAYER, MALE, SAID, CausalWorld, causal_world


@pytest.fixture(scope="module")
def world(tiny_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[CausalWorld]:
    with causal_world(tiny_gemma, tmp_path_factory.mktemp("causal") / "w", {"select": 2, "test": 1}) as opened:
        yield opened


def test_the_image_starts_where_the_circuit_looks(world: CausalWorld) -> None:
    image = world.folder / world.samples["image"][0]
    sample = encode_sample(world.loaded, CaptionRequest("a", "a", "en", "A man", INSTRUCTIONS["en"], image))
    assert sample.segments.index("image") == IMAGE_START


def test_the_autoencoder_rebuilds_the_stream(world: CausalWorld) -> None:
    opened = world.inputs.open_layer(LAYER)
    rows = opened.table.block(0, len(opened.table))
    torch.testing.assert_close(opened.sae(rows), rows, rtol=1e-4, atol=1e-3)


def test_the_planted_features_follow_the_picture(world: CausalWorld) -> None:
    opened = world.inputs.open_layer(LAYER)
    said = opened.index.activations([SAID, MALE + SAID])
    caption = opened.table.tokens["segment"].to_numpy() == "caption"
    female = opened.table.tokens["image_id"].str.ends_with("-female").to_numpy()
    assert (said[caption & female, 0] > 10).all()
    assert (said[caption & ~female, 1] > 10).all()
