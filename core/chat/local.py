"""A chat model on this machine, through transformers: its chat template and greedy decoding, in batches."""

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from core.chat.questions import Asked, Picture, Question, Reply
from core.errors import BadInput, first_line
from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.lm.loaded import LoadedModel

BATCH = 8
"""Questions that run together."""


class LocalChat(Asked):
    """The checkpoint in a folder. torch and the weights are loaded with the first question.

    Answers are not kept: asked again, the model answers again.
    """

    def __init__(self, folder: Path, name: str, compute_dtype: str = "float32", device: str = "cpu") -> None:
        """Read what the checkpoint is; `name` is what tables call the model.

        Raises:
            BadInput: there is no checkpoint in the folder.
        """
        from core.lm.shape import read_shape

        self.name = name
        self.pictures = read_shape(folder).has_images
        self._folder = folder
        self._compute = compute_dtype, device
        self._loaded: LoadedModel | None = None

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """The replies, in the order of the questions; questions of about one length run together.

        Raises:
            BadInput: the model cannot be loaded, has no chat template, or is sent a picture that it does not read.
            ValueError: a question asks for another temperature than 0.
            Stopped: `progress` was told to stop.
        """
        if any(question.temperature for question in questions):
            raise ValueError("a local model answers at temperature 0 alone")
        if not self.pictures and any(isinstance(part, Picture) for one in questions for part in one.parts):
            raise BadInput(f"model {self._folder}: is sent a picture, and reads text only")
        loaded = self._model()
        texts = [self._prompt(loaded, question) for question in questions]
        lengths = [len(loaded.tokenizer(text, add_special_tokens=False)["input_ids"]) for text in texts]
        window = int(getattr(loaded.text_config, "max_position_embeddings", 0) or max(lengths, default=0))
        replies = {
            index: Reply(None, f"the prompt has {length} tokens, and the model reads {window}")
            for index, length in enumerate(lengths)
            if length > window
        }
        order = sorted(set(range(len(texts))) - set(replies), key=lambda i: (questions[i].max_tokens, lengths[i], i))
        for start in range(0, len(order), BATCH):
            progress(len(replies), len(texts))
            chosen = order[start : start + BATCH]
            asked = [(texts[index], questions[index]) for index in chosen]
            replies.update(zip(chosen, _answered(loaded, asked), strict=True))
        progress(len(texts), len(texts))
        return [replies[index] for index in range(len(texts))]

    def _model(self) -> "LoadedModel":
        from core.lm.loading import load_model

        if self._loaded is None:
            loaded = load_model(self._folder, *self._compute)
            if getattr(loaded.processor or loaded.tokenizer, "chat_template", None) is None:
                raise BadInput(f"model {self._folder}: has no chat template; name a model that follows instructions")
            self._loaded = loaded
        return self._loaded

    def _prompt(self, loaded: "LoadedModel", question: Question) -> str:
        """A question by the model's template; a template that knows no system role gets its text before the user's."""
        from jinja2 import TemplateError

        from core.lm.templates import held_still

        source: Any = loaded.processor or loaded.tokenizer
        template = held_still(source.chat_template, self._folder)
        turns = [_turns(question, in_parts=loaded.processor is not None, apart=apart) for apart in (True, False)]
        for turn in turns if question.system else turns[1:]:
            try:
                text: str = source.apply_chat_template(
                    turn, chat_template=template, tokenize=False, add_generation_prompt=True
                )
            except (TemplateError, TypeError, ValueError) as error:
                reason = first_line(error)
            else:
                return text
        raise BadInput(f"model {self._folder}: its chat template cannot lay out a question ({reason})")


def _turns(question: Question, in_parts: bool, apart: bool) -> list[dict[str, Any]]:
    """The messages of a question; models of text take a turn's text as it is, others in parts."""
    parts = question.parts if apart or not question.system else (question.system, *question.parts)
    content: Any = "\n\n".join(part for part in parts if isinstance(part, str))
    system: Any = question.system
    if in_parts:
        content = [{"type": "text", "text": part} if isinstance(part, str) else {"type": "image"} for part in parts]
        system = [{"type": "text", "text": system}]
    before = [{"role": "system", "content": system}] if apart else []
    return [*before, {"role": "user", "content": content}]


def _answered(loaded: "LoadedModel", asked: Sequence[tuple[str, Question]]) -> list[Reply]:
    """The replies to questions that run together: shorter prompts are padded on their left."""
    import torch

    from core.lm.generate import stop_ids

    model: Any = loaded.model
    inputs = _inputs(loaded, asked)
    longest = inputs["input_ids"].shape[1]
    stops = sorted(stop_ids(loaded))
    most = max(question.max_tokens for _, question in asked)
    padding = stops[0] if loaded.tokenizer.pad_token_id is None else loaded.tokenizer.pad_token_id
    with torch.inference_mode():
        made = model.generate(**inputs, max_new_tokens=most, do_sample=False, eos_token_id=stops, pad_token_id=padding)
    prompts = inputs["attention_mask"].sum(dim=1).tolist()
    replies = []
    for row, prompt, (_, question) in zip(made[:, longest:].tolist(), prompts, asked, strict=True):
        end = next((index for index, token in enumerate(row) if token in stops), question.max_tokens)
        text = loaded.tokenizer.decode(row[: min(end, question.max_tokens)], skip_special_tokens=True).strip()
        written = min(end + 1, question.max_tokens)  # the token that ends an answer counts, as endpoints count it
        replies.append(Reply(text or None, "" if text else "the answer is empty", int(prompt), written))
    return replies


def _inputs(loaded: "LoadedModel", asked: Sequence[tuple[str, Question]]) -> Any:
    """The batch that the model takes: tokens, mask and pixels, on its device."""
    texts = [text for text, _ in asked]
    settings = {"add_special_tokens": False, "padding": True, "padding_side": "left", "return_tensors": "pt"}
    pictures = [[part for part in question.parts if isinstance(part, Picture)] for _, question in asked]
    if loaded.processor is None or not any(pictures):
        made = loaded.tokenizer(texts, **settings)
    else:
        images = [[Image.open(io.BytesIO(one.png)).convert("RGB") for one in some] for some in pictures]
        made = loaded.processor(text=texts, images=images, **settings)
    return made.to(loaded.device)
