from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from core.lm.agreement import logits_of
from core.lm.generate import Change, Intervention, Interventions, generate, stop_ids
from core.lm.hooks import edit
from core.lm.images import together
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.patched import build_batch, run_full
from core.lm.prompts import CaptionRequest, EncodedSample, encode_sample

STEPS = 9


@pytest.fixture(scope="module")
def loaded(tiny_gemma: Path) -> LoadedModel:
    opened = load_model(tiny_gemma, "float32", "cpu")
    # Tied to the embeddings, a random model's head repeats the last token for ever; one of its own does not.
    head = torch.nn.Linear(32, opened.unembedding.shape[0], bias=False).requires_grad_(False)
    head.weight.normal_(generator=torch.Generator().manual_seed(3))
    model: Any = opened.model
    model.set_output_embeddings(head)
    return replace(opened, unembedding=head.weight)


@pytest.fixture(scope="module")
def prompts(loaded: LoadedModel, tmp_path_factory: pytest.TempPathFactory) -> list[EncodedSample]:
    folder = tmp_path_factory.mktemp("pictures")
    found = []
    for number, instruction in enumerate(["Describe the image in English.", "A park?", "A park?"]):
        pixels = np.random.default_rng(number).integers(0, 255, (40, 60, 3)).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
        request = CaptionRequest(str(number), str(number), "en", "", instruction, folder / f"{number}.png")
        found.append(encode_sample(loaded, request))
    return found


def without_a_cache(loaded: LoadedModel, prompt: EncodedSample, shift: torch.Tensor | None, layer: int) -> str:
    """The whole sequence anew at every step, the change made by a hook at all positions that may be reached."""
    batch = build_batch(loaded, [prompt])
    reach = batch.patchable()[0]
    ids = batch.input_ids
    for _ in range(STEPS):
        at = torch.cat([reach, torch.ones(ids.shape[1] - reach.numel(), dtype=torch.bool)])[None, :, None]
        added = 0 if shift is None else shift * at
        with torch.no_grad(), edit(loaded.blocks, layer, lambda stream, added=added: stream + added):
            types = torch.eq(ids, loaded.image_token_id or -1).long()
            logits = loaded.model(input_ids=ids, token_type_ids=types, **together(batch.pictures)).logits[0, -1]
        token = int(logits.argmax())
        if token in stop_ids(loaded):
            break
        ids = torch.cat([ids, torch.tensor([[token]])], dim=1)
    return str(loaded.tokenizer.decode(ids[0, reach.numel() :], skip_special_tokens=True)).strip()


def test_greedy_captions_equal_those_written_without_a_cache(loaded: LoadedModel, prompts: list[EncodedSample]) -> None:
    assert generate(loaded, prompts, STEPS) == [without_a_cache(loaded, prompt, None, 0) for prompt in prompts]


@pytest.mark.parametrize("layer", [0, 2, 3])
def test_an_intervention_is_in_force_in_the_prompt_and_at_every_step(
    loaded: LoadedModel, prompts: list[EncodedSample], layer: int
) -> None:
    shift = torch.randn(32, generator=torch.Generator().manual_seed(layer)) * 5
    force = Intervention(layer, lambda stream, reach: stream + shift * reach[..., None])
    changed = generate(loaded, prompts, STEPS, force)
    assert changed == [without_a_cache(loaded, prompt, shift, layer) for prompt in prompts]
    clean = generate(loaded, prompts, STEPS)
    assert changed != clean
    assert len(set("".join(clean))) > 5


def test_an_intervention_is_gone_afterwards(loaded: LoadedModel, prompts: list[EncodedSample]) -> None:
    batch = build_batch(loaded, prompts[:1])
    before = logits_of(loaded, run_full(loaded, batch))
    generate(loaded, prompts[:1], 2, Intervention(1, lambda stream, reach: stream * 0))
    assert torch.equal(logits_of(loaded, run_full(loaded, batch)), before)


def test_captions_end_where_the_turn_ends(loaded: LoadedModel, prompts: list[EncodedSample]) -> None:
    """With every token's score equal but the end's, nothing is written."""
    end = sorted(stop_ids(loaded))[0]
    direction = loaded.unembedding[end]
    force = Intervention(3, lambda stream, reach: direction.expand_as(stream) * 1e3)
    top = int(logits_of(loaded, loaded.final_norm(direction[None] * 1e3))[0].argmax())
    if top == end:
        assert generate(loaded, prompts, STEPS, force) == [""] * len(prompts)
    assert generate(loaded, prompts, 0) == [""] * len(prompts)


def test_changes_of_their_own_run_in_one_batch_as_each_does_alone(
    loaded: LoadedModel, prompts: list[EncodedSample]
) -> None:
    vectors = [torch.randn(32, generator=torch.Generator().manual_seed(seed)) * 20 for seed in (1, 2)]

    def added(vector: torch.Tensor) -> Change:
        return lambda stream, reach: stream + vector * reach[..., None]

    changes = [added(vector) for vector in vectors]
    asked = [prompts[1], prompts[2], prompts[0], prompts[1]]  # 1 and 2 have one length, and run together
    which = [0, 1, 1, 1]
    together = generate(loaded, asked, STEPS, Interventions(1, [changes[one] for one in which]))
    alone = [
        generate(loaded, [prompt], STEPS, Intervention(1, changes[one]))[0]
        for prompt, one in zip(asked, which, strict=True)
    ]
    assert together == alone
    assert together[0] != together[3]
