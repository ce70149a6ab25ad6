"""The training corpus in memory: pictures as bytes, attributes as class numbers, prompts and captions as token ids."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int, UInt8
from PIL import Image
from torch import Tensor
from transformers import Gemma3Processor, PreTrainedTokenizerFast

from core.data import scene_lexicon as lexicon
from core.data.languages import LANGUAGES, Language
from core.data.scene_captions import CORNERS
from core.data.scenes import Scene, SceneWorld, paint
from infra.captioner.tokenizer import TURN_END

INSTRUCTIONS: dict[Language, str] = {"en": "Describe the image in English.", "ar": "صف الصورة بالعربية."}
"""What the user asks after the picture; the rows before it are the same in both languages."""

ATTRIBUTES: dict[str, list[Any]] = {
    "visible": list(lexicon.VISIBLE),
    "profession": [profession.name for profession in lexicon.PROFESSIONS],
    "object": [thing.name for thing in lexicon.OBJECTS],
    "colour": list(lexicon.COLOURS),
    "place": [place.name for place in lexicon.PLACES],
    "mood": [mood.name for mood in lexicon.MOODS],
    "corner": list(CORNERS),
}
"""What the vision tower learns to tell, with each attribute's classes."""


@dataclass(frozen=True)
class Encoded:
    """Scenes as arrays; captions of a scene stand in the order of LANGUAGES."""

    pictures: UInt8[np.ndarray, "N side side 3"]
    attributes: Int[np.ndarray, "N A"]
    captions: Int[np.ndarray, "N 2 T"]
    """Token ids of the caption and the end of the turn, padded on the right."""
    lengths: Int[np.ndarray, "N 2"]


def instruction_texts() -> list[str]:
    """What the tokenizer must know besides captions."""
    return [*INSTRUCTIONS.values(), "user", "model"]


def conversation(language: Language, picture: Image.Image) -> list[dict[str, Any]]:
    """Ask for a caption in one language, as gemma-3-4b-it is asked."""
    content = [{"type": "image", "image": picture}, {"type": "text", "text": INSTRUCTIONS[language]}]
    return [{"role": "user", "content": content}]


def prompt_ids(processor: Gemma3Processor) -> dict[Language, list[int]]:
    """Return the token ids up to the caption, by language; image tokens included."""
    blank = Image.new("RGB", (SceneWorld().side,) * 2)
    return {
        language: processor.apply_chat_template(
            conversation(language, blank), tokenize=True, return_dict=True, add_generation_prompt=True
        )["input_ids"][0]
        for language in LANGUAGES
    }


def pixels(pictures: UInt8[np.ndarray, "N side side 3"]) -> Float[Tensor, "N 3 side side"]:
    """Scale bytes to [-1, 1], as the processor does."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def encode(scenes: list[Scene], tokenizer: PreTrainedTokenizerFast) -> Encoded:
    """Paint and tokenise every scene once; training then only indexes."""
    world = SceneWorld()
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    texts = [scene.caption(language).text for scene in scenes for language in LANGUAGES]
    rows = [[*ids, end] for ids in tokenizer(texts, add_special_tokens=False)["input_ids"]]
    lengths = np.array([len(row) for row in rows])
    captions = np.full((len(rows), int(lengths.max())), tokenizer.pad_token_id)
    for row, ids in enumerate(rows):
        captions[row, : len(ids)] = ids
    return Encoded(
        pictures=np.stack([np.asarray(paint(scene, world)) for scene in scenes]),
        attributes=np.array([_classes(scene) for scene in scenes]),
        captions=captions.reshape(len(scenes), len(LANGUAGES), -1),
        lengths=lengths.reshape(len(scenes), len(LANGUAGES)),
    )


def _classes(scene: Scene) -> list[int]:
    content = scene.content
    values = {
        "visible": scene.visible,
        "profession": content.profession.name,
        "object": content.thing.name,
        "colour": content.colour,
        "place": content.place.name,
        "mood": content.mood.name,
        "corner": content.corner,
    }
    return [classes.index(values[name]) for name, classes in ATTRIBUTES.items()]
