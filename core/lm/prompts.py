"""A caption as the model would have written it: prompt and caption as one token sequence, each token told apart."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import dropwhile, takewhile
from pathlib import Path
from typing import Any

from jinja2 import TemplateError

from core.errors import BadInput
from core.lm.images import image_tokens
from core.lm.loaded import LoadedModel
from core.lm.loaded import control_ids as control_ids
from core.lm.templates import held_still

Span = tuple[int, int]


class UnusableText(BadInput):
    """A caption or instruction that cannot be told apart from the prompt around it."""


@dataclass(frozen=True)
class EncodedSample:
    """One caption behind its prompt.

    `ids`, `segments` (image | prompt | caption), `special` (in no SAE, scale or statistic) and `spans` (characters of
    the caption, null outside it) have one entry per token; the caption starts at token `prefix_length`. The turn's end
    is left out.
    """

    sample_id: str
    image_id: str
    language: str
    ids: list[int]
    prefix_length: int
    segments: list[str]
    special: list[bool]
    spans: list[Span | None]
    text: str
    caption: str
    image: Path | None

    @property
    def caption_ids(self) -> list[int]:
        """The caption's tokens."""
        return self.ids[self.prefix_length :]

    def until(self, stop: int) -> "EncodedSample":
        """Its first `stop` tokens; text and caption stay whole."""
        return replace(
            self,
            ids=self.ids[:stop],
            segments=self.segments[:stop],
            special=self.special[:stop],
            spans=self.spans[:stop],
        )


@dataclass(frozen=True)
class CaptionRequest:
    """What `encode_sample` lays out: one caption, the instruction before it, and the image where there is one.

    A `literal` caption may spell control tokens: they are tokenised as the text that they are.
    """

    sample_id: str
    image_id: str
    language: str
    caption: str
    instruction: str = ""
    image: Path | None = None
    literal: bool = False


@dataclass(frozen=True)
class Prompt:
    """A prompt's text with image tokens written out, where in it the instruction stands, and what joins a caption."""

    text: str
    instruction: Span
    glue: str = ""


def encode_sample(loaded: LoadedModel, request: CaptionRequest) -> EncodedSample:
    """Tokenise prompt and caption as one sequence and mark each token.

    An empty caption gives the prompt alone, from which generation starts.

    Raises:
        BadInput: an image is given to a model of text only.
        UnusableText: the caption holds a control token, or the sequence does not begin with exactly one BOS.
    """
    prompt = build_prompt(loaded, request.instruction, request.image)
    text = prompt.text + (prompt.glue + request.caption if request.caption else "")
    start = len(text) - len(request.caption)
    ids, offsets = _tokenise(loaded.tokenizer, text, start if loaded.prefix_lm else 0)
    if request.literal and any(end > start and token in loaded.control_ids for token, (_, end) in zip(ids, offsets)):
        ids, offsets = _tokenise(loaded.tokenizer, text, start, literal=True)
    # A token belongs to the caption when it covers any of it: the caption's rows are the caption's tokens.
    prefix_length = next((index for index, (_, end) in enumerate(offsets) if end > start), len(ids))
    special_ids = loaded.control_ids
    _check(loaded, request, ids, prefix_length)
    segments = ["prompt"] * prefix_length + ["caption"] * (len(ids) - prefix_length)
    special = [False] * len(ids)
    image_token = loaded.image_token_id  # reading a config costs microseconds, and an image has hundreds of tokens
    for index in range(prefix_length):
        if ids[index] == image_token:
            segments[index] = "image"
        else:
            special[index] = ids[index] in special_ids or not _within(offsets[index], prompt.instruction)
    spans = [_trim(request.caption, begin - start, end - start) for begin, end in offsets[prefix_length:]]
    return EncodedSample(
        sample_id=request.sample_id,
        image_id=request.image_id,
        language=request.language,
        ids=ids,
        prefix_length=prefix_length,
        segments=segments,
        special=special,
        spans=[*([None] * prefix_length), *spans],
        text=text,
        caption=request.caption,
        image=request.image,
    )


def build_prompt(loaded: LoadedModel, instruction: str, image: Path | None) -> Prompt:
    """The text before the caption: through the chat template where the model has one, else BOS and instruction.

    The template is asked for image first, then instruction, so that no image row depends on the language.

    Raises:
        BadInput: an image is given to a model of text only, the chat template is missing or fails, or PaliGemma is
            given no image.
    """
    if image is not None and loaded.processor is None:
        raise BadInput(f"model {loaded.folder}: takes no images; use a study of text only, or another model")
    instruction = instruction.strip()
    bos = loaded.tokenizer.bos_token or ""
    source = loaded.processor or loaded.tokenizer
    chat = bool(instruction or image is not None) and getattr(source, "chat_template", None) is not None
    if loaded.prefix_lm and not chat:
        return _prefix_prompt(loaded, instruction, image)
    if image is not None and not chat:
        raise BadInput(f"model {loaded.folder}: has no chat template, which places the image; add chat_template.jinja")
    text = chat_text(loaded, instruction, image is not None) if chat else instruction
    text = text if text.startswith(bos) else bos + text
    text = _write_out_image(loaded, text, image) if image is not None else text
    start = text.rfind(instruction) if instruction else 0
    return Prompt(text, (start, start + len(instruction)), " " if instruction and not chat else "")


def _prefix_prompt(loaded: LoadedModel, instruction: str, image: Path | None) -> Prompt:
    """PaliGemma's own layout, which its processor writes without a template: image, BOS, instruction, line end."""
    if image is None:
        raise BadInput(f"model {loaded.folder}: PaliGemma is asked about an image; a study of text needs another model")
    processor: Any = loaded.processor
    before = processor.image_token * image_tokens(loaded, image) + str(loaded.tokenizer.bos_token)
    return Prompt(f"{before}{instruction}\n", (len(before), len(before) + len(instruction)))


def spell(loaded: LoadedModel, token: int) -> str:
    """A token as a reader sees it; one that is only part of a character by its name."""
    text: str = loaded.tokenizer.decode([token], clean_up_tokenization_spaces=False)
    return text if text and "\ufffd" not in text else str(loaded.tokenizer.convert_ids_to_tokens(token))


def chat_text(loaded: LoadedModel, instruction: str, with_image: bool) -> str:
    """One user's turn by the model's template; those of models of text take a turn's text as it is, not in parts.

    Raises:
        BadInput: the template fails, or draws at random.
    """
    parts = [{"type": "image"}] if with_image else []
    parts += [{"type": "text", "text": instruction}] if instruction else []
    source: Any = loaded.processor or loaded.tokenizer
    messages = [{"role": "user", "content": instruction if loaded.processor is None else parts}]
    template = held_still(source.chat_template, loaded.folder)
    try:
        text: str = source.apply_chat_template(
            messages, chat_template=template, tokenize=False, add_generation_prompt=True
        )
    except (TemplateError, TypeError, ValueError) as error:
        raise BadInput(f"model {loaded.folder}: its chat template cannot lay out a user's turn ({error})") from error
    return text


def _write_out_image(loaded: LoadedModel, text: str, image: Path) -> str:
    """Put the image's soft tokens where the template put its marker, as the processor does."""
    processor: Any = loaded.processor
    marker = getattr(processor, "boi_token", None) or processor.image_token  # Gemma 3's begin and end, or none
    written = getattr(processor, "full_image_sequence", None) or marker * image_tokens(loaded, image)
    if text.count(marker) != 1 or not written:
        raise BadInput(f"model {loaded.folder}: its chat template does not place one image ({marker})")
    return text.replace(marker, written)


def _tokenise(tokenizer: Any, text: str, apart: int, literal: bool = False) -> tuple[list[int], list[Span]]:
    """Tokens and the characters of each; what stands from character `apart` on is tokenised by itself, if it is not 0,
    as where a prompt must not depend on what follows, and if `literal` without its control tokens."""
    ids: list[int] = []
    spans: list[Span] = []
    for start, part in ((0, text[:apart]), (apart, text[apart:])):
        if part:
            split = {"split_special_tokens": True} if literal and start else {}
            encoded = tokenizer(part, add_special_tokens=False, return_offsets_mapping=True, **split)
            ids += encoded["input_ids"]
            spans += [(start + int(begin), start + int(end)) for begin, end in encoded["offset_mapping"]]
    return ids, spans


def _check(loaded: LoadedModel, request: CaptionRequest, ids: Sequence[int], prefix_length: int) -> None:
    name, bos = f"sample {request.sample_id} ({request.language})", loaded.tokenizer.bos_token_id
    if any(token in loaded.control_ids for token in ids[prefix_length:]):
        raise UnusableText(f"{name}: the caption holds one of the model's control tokens; remove it from the text")
    # Further on, BOS may be a template's own mark of a turn, as <|im_start|> is in SmolLM2's.
    after_image = dropwhile(lambda token: loaded.prefix_lm and token == loaded.image_token_id, ids)
    beginning = sum(1 for _ in takewhile(lambda token: token == bos, after_image))
    if bos is not None and beginning != 1:
        raise UnusableText(f"{name}: the prompt begins with {beginning} BOS tokens; its template must write one")


def _within(span: Span, outer: Span) -> bool:
    return span[0] < outer[1] and span[1] > outer[0]


def _trim(text: str, start: int, end: int) -> Span:
    """The characters of a token without the space around it; a token of space alone keeps its span."""
    start = max(start, 0)
    inner = text[start:end]
    if not inner.strip():
        return start, end
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())
