"""What an explainer says of one feature, and how an answer of a model becomes it."""

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple

from core.chat.questions import Asked, Picture, Question, Reply
from core.data.table_values import shown
from core.explain.portions import in_portions
from core.progress import Progress

MAX_TOKENS = 300
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_SAID = re.compile(r"^\W*explanation\s*\W*:\W*(.*)$", re.IGNORECASE | re.MULTILINE)
_REFUSED = re.compile(
    r"^\W*(?:i['’]?m sorry|i am sorry|sorry\W+(?:but\W+)?i\b|i apologi[sz]e|i can(?:['’]t|not)\b|"
    r"i(?:['’]m| am) (?:unable|not able)|"
    r"i won['’]t|as an ai\b|عذرا|عذرًا|آسف|أعتذر|لا أستطيع|لا يمكنني)",
    re.IGNORECASE,
)


class Task(NamedTuple):
    """A feature and the language of the explanation."""

    feature: int
    language: str


class Said(NamedTuple):
    """The columns of `EXPLANATIONS` that an explainer fills."""

    text: str | None = None
    prompt_version: str = ""
    prompt: str = ""
    raw_answer: str | None = None
    failure: str | None = None
    prompt_tokens: int = 0
    completion_tokens: int = 0


class Put(NamedTuple):
    """What makes a question when it is put, and the version of the prompt that it is made from."""

    question: Callable[[], Question]
    version: str


def answers(asked: Asked, put: Sequence[Put], progress: Progress) -> list[Said]:
    """Put the questions; what was asked and what came back is kept, whatever can be made of it."""
    told: list[str] = []

    def made(one: Put) -> Question:
        question = one.question()
        told.append(as_text(question))
        return question

    replies = in_portions(asked, [partial(made, one) for one in put], progress)
    return [_said(one.version, text, reply) for one, text, reply in zip(put, told, replies, strict=True)]


def as_text(question: Question) -> str:
    """A question in words; `[picture]` stands for each of its pictures."""
    parts = ["[picture]" if isinstance(part, Picture) else part for part in question.parts]
    return "\n\n".join(filter(None, (question.system, "".join(parts))))


def read_answer(answer: str) -> tuple[str | None, str | None]:
    """The explanation in an answer, or null and why there is none.

    What a model thinks before it speaks is left out; of several lines that begin with `Explanation:` the last counts.
    """
    spoken = _THOUGHT.sub("", answer).strip()
    if not spoken:
        return None, "empty answer"
    said = _SAID.findall(spoken)
    lines = [line for line in said if line.strip()] or ([""] if said else [spoken])
    text = " ".join(lines[-1].split()).strip("\"'«»*` ")
    if not text:
        return None, "empty answer"
    return (None, f"refused: {shown(text)}") if _REFUSED.match(text) else (text, None)


def _said(version: str, told: str, reply: Reply) -> Said:
    text, failure = (None, reply.failure or "no answer") if reply.text is None else read_answer(reply.text)
    return Said(text, version, told, reply.text, failure, reply.prompt_tokens, reply.completion_tokens)
