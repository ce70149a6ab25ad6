"""The obvious way, as a reference: one full forward a caption with transformers' own processor and hidden states."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from core.lm.loaded import LoadedModel
from core.lm.prompts import CaptionRequest

INSTRUCTIONS = {"en": "Describe the image in English.", "ar": "Describe the image in Arabic."}


def noise_images(folder: Path, count: int, size: tuple[int, int] = (60, 50)) -> list[Path]:
    """PNGs of random pixels."""
    folder.mkdir(exist_ok=True)
    rng = np.random.default_rng(0)
    paths = [folder / f"noise{number}.png" for number in range(count)]
    for path in paths:
        Image.fromarray(rng.integers(0, 255, (*size, 3), dtype=np.uint8)).save(path)
    return paths


def requests_for(
    images: Sequence[Path | None], captions: Sequence[tuple[str, str]], instructions: dict[str, str]
) -> list[CaptionRequest]:
    """Every caption (language, text) of every image."""
    return [
        CaptionRequest(f"s{number}", f"i{number}", language, caption, instructions[language], image)
        for number, image in enumerate(images)
        for language, caption in captions
    ]


def processor_inputs(loaded: LoadedModel, request: CaptionRequest) -> dict[str, Any]:
    """What transformers' own processor (or tokenizer) makes of prompt and caption."""
    if loaded.processor is None:
        text = " ".join(part for part in (request.instruction, request.caption) if part)
        return dict(loaded.tokenizer("<bos>" + text, add_special_tokens=False, return_tensors="pt"))
    if loaded.shape.model_type == "paligemma":
        return _paligemma_inputs(loaded.processor, request)
    content = [{"type": "image"}] if request.image is not None else []
    messages = [{"role": "user", "content": [*content, {"type": "text", "text": request.instruction}]}]
    prompt = loaded.processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
    if request.image is None:
        return dict(loaded.tokenizer(prompt + request.caption, add_special_tokens=False, return_tensors="pt"))
    picture = Image.open(request.image).convert("RGB")
    made = loaded.processor(
        text=[prompt + request.caption], images=[[picture]], add_special_tokens=False, return_tensors="pt"
    )
    return dict(made)


def _paligemma_inputs(processor: Any, request: CaptionRequest) -> dict[str, Any]:
    """As for fine-tuning: the caption is the suffix, whose end token is taken away again."""
    picture = Image.open(request.image).convert("RGB")
    text, suffix = processor.image_token + request.instruction, request.caption or None
    made = processor(text=[text], images=[[picture]], suffix=suffix)  # as tensors it warns of numpy's next version
    end = -1 if suffix else None
    words = {name: torch.tensor(made[name])[:, :end] for name in ("input_ids", "attention_mask", "token_type_ids")}
    return {**words, "pixel_values": torch.from_numpy(np.stack(made["pixel_values"]))}


@torch.inference_mode()
def full_forward(loaded: LoadedModel, request: CaptionRequest) -> tuple[list[int], list[Tensor]]:
    """Token ids and, by layer, the stream after it [T, D]; the last one is what the final norm is given."""
    inputs = processor_inputs(loaded, request)
    before_norm: list[Tensor] = []
    handle = loaded.final_norm.register_forward_pre_hook(lambda _module, args: before_norm.append(args[0][0]))
    try:
        output = loaded.model(**inputs, output_hidden_states=True)
    finally:
        handle.remove()
    streams = [state[0] for state in output.hidden_states[1:-1]]
    return inputs["input_ids"][0].tolist(), [*streams, before_norm[-1]]  # NanoChat norms what enters block 0, too


def relative_error(ours: Tensor, theirs: Tensor) -> float:
    """Largest error of a row, relative to that row's norm."""
    assert ours.shape == theirs.shape
    return float(((ours.double() - theirs.double()).norm(dim=-1) / theirs.double().norm(dim=-1)).max())
