"""The same caption on a concept's other side: by its twin, by what was planted, or by a lexicon."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from core.data.concept import Concept
from core.lm.outcomes import continues_word


@dataclass(frozen=True)
class Swap:
    """A word of a caption, `caption[start:end]`, and the word that the other side has in its place."""

    start: int
    end: int
    other: str


def words_of(text: str) -> list[tuple[int, int]]:
    """Where the words of a text stand: runs of characters that go on with a word."""
    found: list[tuple[int, int]] = []
    for run in re.finditer(r"\S+", text):
        start = None
        for index in range(run.start(), run.end() + 1):
            inside = index < run.end() and continues_word(text[index])
            if inside and start is None:
                start = index
            elif not inside and start is not None:
                found.append((start, index))
                start = None
    return found


def swaps_by_twin(caption: str, twin: str) -> list[Swap]:
    """The words that differ between a caption and its twin's, in order; only the first where the lengths differ."""
    own, other = words_of(caption), words_of(twin)
    pairs = [
        (mine, twin[slice(*theirs)])
        for mine, theirs in zip(own, other)
        if caption[slice(*mine)] != twin[slice(*theirs)]
    ]
    swaps = [Swap(*mine, word) for mine, word in pairs]
    return swaps if len(own) == len(other) else swaps[:1]


def swaps_by_truth(concept: Concept, truth: Mapping[str, Any] | None, sample_id: str, language: str) -> list[Swap]:
    """The words that the known-answer world says it planted."""
    planted = (truth or {}).get("samples", {}).get(sample_id, {}).get(concept.planted, {}).get(language, [])
    return [Swap(int(word["start"]), int(word["end"]), str(word["counterpart"])) for word in planted]


def swaps_by_lexicon(concept: Concept, caption: str, language: str) -> list[Swap]:
    """The words that the concept's short list of everyday words has a counterpart for.

    Words that speak of nobody in the caption (king-size) are none of them. A given name has no counterpart, and what
    follows it is no word that tells the side first: there are no swaps behind it.
    """
    table = concept.counterparts.get(language, {})
    told = concept.words(caption, language)
    names = [word.start for word in told if word.kind == "name"]
    swaps = []
    for start, end in words_of(caption):
        if any(name < start for name in names):
            break
        if not any(word.start < end and start < word.end for word in told):
            continue
        word = caption[start:end]
        other = table.get(word.lower())
        if other is not None:
            swaps.append(Swap(start, end, other.capitalize() if word[0].isupper() else other))
    return swaps
