"""Fakes of the judges' tests: a judge by rule, an endpoint that records, a model that says one thing, an embedder."""

import re
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from core.chat.questions import Picture, Question, Reply
from core.data.scene_changes import VALUES
from core.progress import Progress, silent
from tests.core.explain.reading_marks import read_back


class FakeRuleJudge:
    """No model: it answers the judges' prompts by the attributes that an explanation names.

    An example has what its list of attributes says; a word has what it is called like. Where a prompt asks for one of
    several examples and the rule does not tell, it takes the first.
    """

    name, pictures = "fake-rule-judge", False

    def __init__(self) -> None:
        self.questions: list[Question] = []

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        self.questions += questions
        return [Reply(self._answer(text_of(question))) for question in questions]

    def _answer(self, text: str) -> str:
        explanation = re.search(r"^Explanation: (.*)$", text, re.MULTILINE)
        assert explanation is not None
        named = named_values(explanation[1])
        if "on each token" in text:
            words = [line.partition(": ")[2] for line in text.splitlines() if re.match(r"\d+: ", line)]
            return f"[{', '.join('9' if values_of(word) & named else '0' for word in words)}]"
        told = re.split(r"^Example (\w+): ", text, flags=re.MULTILINE)[1:]
        examples = dict(zip(told[::2], told[1::2], strict=True))
        if "tokens are marked" in text.rpartition("Answer")[2]:
            return f"[{', '.join(str(int(_marks_right(one, named))) for one in examples.values())}]"
        holds = {name: bool(named & attributes_of(one)) for name, one in examples.items()}
        if "A or B" in text:
            return "A" if holds["A"] >= holds["B"] else "B"
        if "the number of the one example" in text:
            return next((name for name, held in holds.items() if not held), "1")
        return f"[{', '.join(str(int(held)) for held in holds.values())}]"


class FakeRecorder:
    """An endpoint that records what it is sent and says what it was told to."""

    def __init__(self, say: Callable[[Question], Reply], pictures: bool = True) -> None:
        self.name, self.pictures, self._say = "fake-recorder", pictures, say
        self.questions: list[Question] = []

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        self.questions += questions
        progress(len(questions), len(questions))
        return [self._say(question) for question in questions]


class FakeBagOfWords:
    """No model: a text is the sum of its words, each a random direction that the word decides."""

    name, revision, dimension = "fake-bag-of-words", "0", 256

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> np.ndarray:
        vectors = np.stack([sum(map(_direction, words), np.full(256, 1e-9)) for words in map(_words, texts)])
        return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def text_of(question: Question) -> str:
    return question.system + "\n" + "".join("" if isinstance(part, Picture) else part for part in question.parts)


@cache
def named_values(explanation: str) -> frozenset[tuple[str, str]]:
    """The attribute values that a text names by their words."""
    words = set(_words(explanation))
    return frozenset(
        (name, value) for name, values in VALUES.items() for value in values if set(_words(value)) <= words
    )


def values_of(word: str) -> frozenset[tuple[str, str]]:
    """What a token is called like."""
    return named_values(word.replace("\\0", ""))


def attributes_of(example: str) -> set[tuple[str, str]]:
    known = re.search(r"^Known of its picture: (.*)$", example, re.MULTILINE)
    parts = known[1].split("; ") if known else []
    return {(name, value) for name, _, value in (part.partition(": ") for part in parts)}


def _marks_right(example: str, named: frozenset[tuple[str, str]]) -> bool:
    line = example.splitlines()[0]
    return any(values_of(token) & named for token, active in read_back(line) if active)


def _words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def _direction(word: str) -> np.ndarray:
    return np.random.default_rng(list(word.encode())).normal(size=256)
