"""The prompts of explainers and judges: a text file for each version, with a hash that stands in the tables.

A file is called NAME-NUMBER.LANGUAGE.txt and holds what the system is told, a line `===`, and the question. A change
that reaches a model gets a new number; the language is that of the explanation.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from string import Template

from core.chat.questions import Picture, Question

NEWEST = {
    "explain_examples": 1,
    "explain_promoted": 1,
    "judge_detection": 1,
    "judge_fuzz": 1,
    "judge_simulation": 1,
    "judge_intruder": 1,
    "judge_twins": 1,
}
"""The number of each prompt in use."""
_FOLDER = Path(__file__).parent
_RULE = "\n===\n"
_EXAMPLES = "$examples"

Parts = tuple[str | Picture, ...]
"""Texts and pictures in their order."""


@dataclass(frozen=True)
class Prompt:
    """A prompt with its placeholders.

    Args:
        version: `judge_fuzz-1.en@0123456789ab`: name, number, language, and the start of the file's SHA-256.
        system: what the system is told.
        question: what is asked; `$examples` is where texts and pictures go.
    """

    version: str
    system: str
    question: str

    def asked(self, examples: Sequence[str | Picture], max_tokens: int, **values: str) -> Question:
        """The question with its placeholders filled; texts side by side become one part."""
        head, here, tail = self.question.partition(_EXAMPLES)
        parts = [Template(head).substitute(values), *examples] if here else [Template(head).substitute(values)]
        return Question(self.system, joined([*parts, Template(tail).substitute(values)]), max_tokens)


def joined(parts: Sequence[str | Picture]) -> Parts:
    """The parts with texts that stand side by side made one, and without empty ones."""
    found: list[str | Picture] = []
    for part in parts:
        if isinstance(part, str) and found and isinstance(found[-1], str):
            found[-1] += part
        elif part != "":
            found.append(part)
    return tuple(found)


@lru_cache
def prompt(name: str, language: str = "en") -> Prompt:
    """The newest version of a prompt; judges' prompts are in English whatever the explanation's language."""
    file = f"{name}-{NEWEST[name]}.{language}"
    text = (_FOLDER / f"{file}.txt").read_text(encoding="utf-8")
    system, _, question = text.strip().partition(_RULE)
    return Prompt(f"{file}@{hashlib.sha256(text.encode()).hexdigest()[:12]}", system, question)
