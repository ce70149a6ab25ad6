"""What a set of captions says of a concept: the side that each tells, and its other words."""

import re
from collections import Counter
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool

from core.data.concept import Concept

_WORD = re.compile(r"[^\W_]+")
NO_SIDE, BOTH = "no side", "both"


def told(concept: Concept, text: str, language: str) -> str:
    """The side that a caption tells; `BOTH`, or `NO_SIDE` where it has no word of either."""
    sides = {word.side for word in concept.words(text, language)}
    return sides.pop() if len(sides) == 1 else BOTH if sides else NO_SIDE


def other_words(concept: Concept, text: str, language: str) -> tuple[str, ...]:
    """A caption's words in lower case, but for those that tell a side."""
    spans = [(word.start, word.end) for word in concept.words(text, language)]
    return tuple(
        match[0].lower()
        for match in _WORD.finditer(text)
        if not any(match.start() < end and start < match.end() for start, end in spans)
    )


def frequent(captions: Sequence[Sequence[str]], most: int) -> list[str]:
    """The `most` words that stand in most captions, but for those in all or in one alone; by number, then by name."""
    counts = Counter(word for words in captions for word in set(words))
    kept = [word for word, count in counts.items() if 1 < count < len(captions)]
    return sorted(kept, key=lambda word: (-counts[word], word))[:most]


def has(captions: Sequence[Sequence[str]], words: Sequence[str]) -> Bool[np.ndarray, "N W"]:
    """Which of the words each caption has."""
    return np.array([[word in own for word in words] for own in map(set, captions)], dtype=bool).reshape(
        len(captions), len(words)
    )
