"""Questions to a judge about examples, and its answers read: what cannot be read is a failure, never a wrong answer."""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from core.chat.questions import Asked, Question, Reply
from core.explain.portions import in_portions
from core.explain.scorers.judged import JUDGED, Explained, Item, judged_rows
from core.progress import Progress

MAX_TOKENS = 300
_LIST = re.compile(r"\[([^\[\]]*)\]")
_NUMBER = re.compile(r"\s*(\d+(?:\.\d+)?)\s*")
_THOUGHT = re.compile(r"<think(?:ing)?>.*?(?:</think(?:ing)?>|\Z)", re.DOTALL | re.IGNORECASE)
_WORD = re.compile(r"^\W*(?:(?:the\s+)?(?:answer|example)(?:\s+is)?\W*)*([A-Za-z]|\d{1,3})\W*$", re.IGNORECASE)

Read = Callable[[str, int], list[tuple[float, ...]] | None]
"""Reads an answer about so many items: what it says of each; null where it cannot be read."""


@dataclass(frozen=True)
class Put:
    """A question about one explanation, made when it is put: one with pictures is large.

    Args:
        explained: the explanation.
        items: what it asks of, in the order in which the judge sees it.
        question: makes the question.
        read: reads the answer.
    """

    explained: Explained
    items: tuple[Item, ...]
    question: Callable[[], Question]
    read: Read


def put_to(asked: Asked, put: Sequence[Put], progress: Progress) -> pl.DataFrame:
    """The questions answered: `JUDGED`."""
    replies = in_portions(asked, [one.question for one in put], progress)
    rows = [row for one, reply in zip(put, replies, strict=True) for row in _rows(one, reply)]
    return pl.DataFrame(rows, schema=JUDGED, orient="row")


def shuffled(count: int, seed: int, *further: int) -> list[int]:
    """An order of so many examples that the seed decides: nothing can be learned from an example's place."""
    return [int(place) for place in np.random.default_rng([seed, *further]).permutation(count)]


def read_list(answer: str, least: float, most: float) -> list[float] | None:
    """The numbers of the last list in an answer; null where there is none or one is not between `least` and `most`."""
    lists = _LIST.findall(_THOUGHT.sub("", answer))
    parts = [_NUMBER.fullmatch(part) for part in lists[-1].split(",")] if lists else []
    if not parts or any(part is None for part in parts):
        return None
    numbers = [float(part[1]) for part in parts if part is not None]
    return numbers if all(least <= number <= most for number in numbers) else None


def read_yes_or_no(answer: str, items: int) -> list[tuple[float, ...]] | None:
    """One 0 or 1 per item, in a list."""
    numbers = read_list(answer, 0, 1)
    if numbers is None or len(numbers) != items or any(number not in (0, 1) for number in numbers):
        return None
    return [(number,) for number in numbers]


def read_word(answer: str) -> str | None:
    """The one letter or number that the last line of an answer consists of, an upper-case letter; null otherwise."""
    lines = [line for line in _THOUGHT.sub("", answer).splitlines() if line.strip()]
    found = _WORD.match(lines[-1]) if lines else None
    return found[1].upper() if found else None


def _rows(put: Put, reply: Reply) -> list[tuple[object, ...]]:
    said = None if reply.text is None else put.read(reply.text, len(put.items))
    return judged_rows(put.explained, put.items, [None] * len(put.items) if said is None else said)
