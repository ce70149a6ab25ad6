"""A trial of a model that was just opened: a caption behind a shared prompt must equal transformers' own forward pass.

Families differ in what they see, count and cache, in ways that none of their parts shows. One short caption behind one
small picture shows all of it: the layout of the prompt, what goes with an image, positions, masks, cache.
"""

import inspect
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.errors import BadInput
from core.lm.batches import build_batch
from core.lm.hooks import Reading, observe
from core.lm.images import GRID
from core.lm.loaded import LoadedModel
from core.lm.patched import clean_run, states_from
from core.lm.prefix import CaptionGroup, States, common_length, continue_prefix, encode_prefix, run_whole
from core.lm.processors import fault
from core.lm.prompts import CaptionRequest, EncodedSample, chat_text, encode_sample
from core.pictures import open_picture

_INSTRUCTION, _CAPTION, _LONGER = "Describe the image in English.", "A man.", "A man is singing in a park."
_SIDES = (96, 64)
_AGREES = {torch.float32: 1e-3, torch.bfloat16: 0.15}
"""Most that a token's state may differ, relative to its norm: rounding, which grows with the layers. What is masked,
placed or cached otherwise differs by 0.3 and more."""
_KNOWN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "pixel_values", GRID, "labels")
_FAULTS = (RuntimeError, TypeError, ValueError, LookupError, AttributeError, AssertionError, NotImplementedError)
_TRIED: dict[tuple[str, int, torch.dtype, torch.device], str] = {}


@torch.inference_mode()
def try_model(loaded: LoadedModel) -> str:
    """Run a caption in every way in which captions are run here, once per process.

    Returns:
        Why no pass can be resumed above a layer, which only some analyses need; empty where it can.

    Raises:
        BadInput: the model cannot be asked about an image, or prompt or states are not those of transformers.
    """
    changed = (loaded.folder / "config.json").stat().st_mtime_ns
    key = (str(loaded.folder), changed, loaded.dtype, loaded.device)
    if key not in _TRIED:
        with TemporaryDirectory() as folder:
            _TRIED[key] = _try(loaded, _picture(Path(folder) / "trial.png") if loaded.processor is not None else None)
    return _TRIED[key]


def _try(loaded: LoadedModel, image: Path | None) -> str:
    with _worded(f"model {loaded.folder} (model_type {loaded.shape.model_type!r}) cannot be read here", image):
        short, longer = (encode_sample(loaded, _request(text, image)) for text in (_CAPTION, _LONGER))
        inputs = _processor_inputs(loaded, image)
        _compare_layout(loaded, short, inputs)
        theirs, last = _full_pass(loaded, short, inputs)
        for layer, own in _shared_pass(loaded, short, longer).items():
            _compare_states(own, theirs[layer], loaded.dtype, f"behind a shared prompt, at layer {layer},")
    try:
        with _worded("it cannot be run on from a layer's stream", image):
            _compare_resumed(loaded, short, last)
    except BadInput as error:
        return str(error)
    return ""


@contextmanager
def _worded(beginning: str, image: Path | None) -> Iterator[None]:
    """Whatever goes wrong within becomes one line: a model that is not known here may fail in any way."""
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except BadInput as error:
        raise BadInput(f"{beginning}: {str(error).replace(f'image {image}', 'a picture')}") from error
    except _FAULTS as error:
        raise BadInput(f"{beginning} ({type(error).__name__}: {fault(error)[:200]})") from error


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


def _compare_states(ours: Tensor, theirs: Tensor, dtype: torch.dtype, where: str) -> None:
    difference = float(((ours - theirs).norm(dim=-1) / theirs.norm(dim=-1).clamp_min(1e-6)).max())
    if not difference <= _AGREES[dtype]:
        raise BadInput(
            f"{where} a caption's states are off those of transformers' own forward pass by {difference:.0%}"
        )


def _full_pass(loaded: LoadedModel, sample: EncodedSample, inputs: Mapping[str, Any]) -> tuple[States, Tensor]:
    """transformers' own states of the whole sequence, [T, D] by layer, and the final norm's output."""
    taken = inspect.signature(loaded.base.forward).parameters
    given = {name: value.to(loaded.device) for name, value in inputs.items() if name in taken and name != "labels"}
    given = {name: value.to(loaded.dtype) if value.is_floating_point() else value for name, value in given.items()}
    given = given or {"input_ids": torch.tensor([sample.ids], device=loaded.device)}
    layers = range(loaded.shape.num_layers)
    with observe(loaded.blocks, layers) as states:
        output = loaded.base(**given, use_cache=False)
    return {layer: states[layer][0].float() for layer in layers}, output.last_hidden_state[0].float()


def _shared_pass(loaded: LoadedModel, short: EncodedSample, longer: EncodedSample) -> States:
    """The shorter caption's states behind what two captions share, or whole where they share nothing, as they are
    captured: beside a longer one, so that it is padded."""
    reading = Reading(range(loaded.shape.num_layers))
    shared = common_length(loaded, [short.ids, longer.ids])
    if not shared:
        states = run_whole(loaded, [short, longer], reading)
        return {layer: state[0, : len(short.ids)].float() for layer, state in states.items()}
    group = CaptionGroup("trial", (short, longer), shared)
    prefix, before = encode_prefix(loaded, [group], reading)
    after = continue_prefix(loaded, prefix, [0, 0], [group.rest(short), group.rest(longer)], reading)
    own = len(short.ids) - shared
    return {layer: torch.cat([before[layer][0], after[layer][0, :own]]).float() for layer in reading.layers}


def _compare_resumed(loaded: LoadedModel, sample: EncodedSample, last: Tensor) -> None:
    batch = build_batch(loaded, [sample])
    for layer, stream in clean_run(loaded, batch, {0, loaded.shape.num_layers // 2}).items():
        resumed = states_from(loaded, batch, layer, stream)[0].float()
        _compare_states(resumed, last, loaded.dtype, f"above layer {layer},")
