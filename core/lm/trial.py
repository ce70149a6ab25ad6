"""A trial of a model that was just opened: a caption behind a shared prompt must equal transformers' own forward pass.

Families differ in what they see, count and cache, in ways that none of their parts shows. One short caption behind one
small picture shows all of it: the layout of the prompt, what goes with an image, positions, masks, cache.
"""

import inspect
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image

from core.errors import BadInput
from core.lm.agreement import STATES_AGREE, compare_states, worded
from core.lm.hooks import Reading, observe
from core.lm.images import GRID
from core.lm.loaded import LoadedModel
from core.lm.prefix import CaptionGroup, Prefix, States, common_length, continue_prefix, encode_prefix, run_whole
from core.lm.prompts import CaptionRequest, EncodedSample, chat_text, encode_sample
from core.lm.trial_changes import Findings, Truth, try_changes
from core.pictures import open_picture

_INSTRUCTION, _CAPTION, _LONGER = "Describe the image in English.", "A man.", "A man is singing in a park."
_FAR = "A man is singing in a park. " * 6
_SIDES = (96, 64)
_KNOWN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "pixel_values", GRID, "labels")
_TRIED: dict[tuple[str, int, torch.dtype, torch.device], Findings] = {}


@torch.inference_mode()
def try_model(loaded: LoadedModel) -> Findings:
    """Run a caption in every way in which captions are run here, once per process.

    Returns:
        What only some analyses need and the model lacks.

    Raises:
        BadInput: the model cannot be asked about an image, or prompt or states are not those of transformers.
    """
    changed = (loaded.folder / "config.json").stat().st_mtime_ns
    key = (str(loaded.folder), changed, loaded.dtype, loaded.device)
    if key not in _TRIED:
        with TemporaryDirectory() as folder:
            _TRIED[key] = _try(loaded, _picture(Path(folder) / "trial.png") if loaded.processor is not None else None)
    return _TRIED[key]


def _try(loaded: LoadedModel, image: Path | None) -> Findings:
    with worded(f"model {loaded.folder} (model_type {loaded.shape.model_type!r}) cannot be read here", image):
        short, longer, far = (encode_sample(loaded, _request(text, image)) for text in (_CAPTION, _LONGER, _FAR))
        inputs = _processor_inputs(loaded, image)
        _compare_layout(loaded, short, inputs)
        truth = _full_pass(loaded, short, inputs)
        shared, prefix = _shared_pass(loaded, short, longer)
        for layer, own in shared.items():
            compare_states(
                own, truth.states[layer], STATES_AGREE[loaded.dtype], f"behind a shared prompt, at layer {layer},"
            )
        _compare_norm(loaded, truth)
    return try_changes(loaded, truth, far, prefix)


def _picture(path: Path) -> Path:
    pixels = np.random.default_rng(0).integers(0, 255, (_SIDES[1], _SIDES[0], 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return path


def _request(caption: str, image: Path | None) -> CaptionRequest:
    """Of a model of text no instruction is asked: a study may have none, and its template may take none."""
    instruction = _INSTRUCTION if image is not None else ""
    return CaptionRequest("trial", "trial", "en", caption, instruction, image)


def _processor_inputs(loaded: LoadedModel, image: Path | None) -> dict[str, Any]:
    """What transformers' own processor makes of prompt and caption; nothing for a model of text only."""
    if image is None:
        return {}
    processor: Any = loaded.processor
    pictures = [[open_picture(image)]]
    if loaded.prefix_lm:
        text = processor.image_token + _INSTRUCTION
        made = processor(text=[text], images=pictures, suffix=[_CAPTION])
        names = ("input_ids", "attention_mask", "token_type_ids")
        own = {name: torch.tensor(made[name])[:, :-1] for name in names if name in made}  # without the end token
        return {**own, "pixel_values": torch.from_numpy(np.stack(made["pixel_values"]))}
    text = chat_text(loaded, _INSTRUCTION, with_image=True) + _CAPTION
    return dict(processor(text=[text], images=pictures, add_special_tokens=False, return_tensors="pt"))


def _compare_layout(loaded: LoadedModel, sample: EncodedSample, inputs: Mapping[str, Any]) -> None:
    if not inputs:
        return
    taken = inspect.signature(loaded.base.forward).parameters
    other = sorted(name for name in inputs if name in taken and name not in _KNOWN)
    if other:
        raise BadInput(f"its images come with {', '.join(other)}, which is not passed on here")
    if inputs["input_ids"][0].tolist() != sample.ids:
        raise BadInput(
            f"its processor lays image and prompt out in another way ({inputs['input_ids'].shape[1]} tokens, not "
            f"{len(sample.ids)})"
        )


def _full_pass(loaded: LoadedModel, sample: EncodedSample, inputs: Mapping[str, Any]) -> Truth:
    """transformers' own states of the whole sequence."""
    taken = inspect.signature(loaded.base.forward).parameters
    given = {name: value.to(loaded.device) for name, value in inputs.items() if name in taken and name != "labels"}
    given = {name: value.to(loaded.dtype) if value.is_floating_point() else value for name, value in given.items()}
    given = given or {"input_ids": torch.tensor([sample.ids], device=loaded.device)}
    layers = range(loaded.shape.num_layers)
    with observe(loaded.blocks, layers) as states:
        output = loaded.base(**given, use_cache=False)
    own = {layer: states[layer][0].float() for layer in layers}
    return Truth(sample, own, output.last_hidden_state[0].float())


def _compare_norm(loaded: LoadedModel, truth: Truth) -> None:
    normed = loaded.final_norm(truth.states[loaded.shape.num_layers - 1].to(loaded.dtype)).float()
    compare_states(normed, truth.last, STATES_AGREE[loaded.dtype], "behind the final norm,")


def _shared_pass(loaded: LoadedModel, short: EncodedSample, longer: EncodedSample) -> tuple[States, Prefix | None]:
    """The shorter caption's states behind what two captions share, or whole where they share nothing, as they are
    captured: beside a longer one, so that it is padded. The prefix comes with them."""
    reading = Reading(range(loaded.shape.num_layers))
    shared = common_length(loaded, [short.ids, longer.ids])
    if not shared:
        states = run_whole(loaded, [short, longer], reading)
        return {layer: state[0, : len(short.ids)].float() for layer, state in states.items()}, None
    group = CaptionGroup("trial", (short, longer), shared)
    prefix, before = encode_prefix(loaded, [group], reading)
    after = continue_prefix(loaded, prefix, [0, 0], [group.rest(short), group.rest(longer)], reading)
    own = len(short.ids) - shared
    states = {layer: torch.cat([before[layer][0], after[layer][0, :own]]).float() for layer in reading.layers}
    return states, prefix
