"""The same caption on a concept's other side: by its twin, by what was planted, or by a lexicon."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from core.data.concept import Concept
from core.lm.outcomes import continues_word

Span = tuple[int, int]


@dataclass(frozen=True)
class Swap:
    """A word of a caption, `caption[start:end]`, and the word that the other side has in its place."""

    start: int
    end: int
    other: str


def words_of(text: str) -> list[Span]:
    """Where the words of a text stand: runs of characters that go on with a word."""
    found: list[Span] = []
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
    """The concept's words up to the first that has no sure counterpart (a given name, a word with an owner's suffix).

    What follows such a word is no longer the first that tells the side, so that there are no swaps behind it. Words
    that speak of nobody in the caption (king-size) are none of the concept's.
    """
    swaps: list[Swap] = []
    for start, end in words_of(caption):
        told = [word for word in concept.words(caption, language) if word.start < end and start < word.end]
        if not told or (len(told) == 1 and told[0].start < start and swaps and swaps[-1].start == told[0].start):
            continue  # the s of woman's
        whole = len(told) == 1 and told[0].start == start and end <= told[0].end <= end + len("'s")
        if (
            not whole
            and len(told) == 1
            and told[0].start == start
            and any(told[0].end == stop for _, stop in words_of(caption))
        ):
            whole, end = True, told[0].end  # a phrase of several words
        other = concept.counterpart(caption, told[0], language) if whole else None
        if other is None:
            break
        swaps.append(Swap(start, end, other))
    return swaps


def side_of(concept: Concept, caption: str, span: Span, language: str) -> str | None:
    """The side that the word at `span` tells by itself; null where it tells none, or both."""
    words = [word for word in concept.words(caption, language) if word.start < span[1] and span[0] < word.end]
    sides = {word.side for word in words}
    return sides.pop() if len(sides) == 1 else None


def telling_spans(
    concept: Concept, caption: str, language: str, swaps: Sequence[Swap], twin: str | None = None
) -> tuple[Span, ...]:
    """The words that may tell the side, which no measure of "all other words" may count.

    Args:
        concept: its words are found by the lexicon, whether they have a counterpart or not.
        caption: the caption.
        language: its language.
        swaps: the words that the other side changes.
        twin: the caption of the twin on the other side; words that it has not are left out as well, wherever the two
            captions have different lengths.
    """
    told = [(word.start, word.end) for word in concept.words(caption, language)]
    marked = [*((swap.start, swap.end) for swap in swaps), *told, *(_differing(caption, twin) if twin else ())]
    return tuple(word for word in words_of(caption) if _touches(word, marked))


def _differing(caption: str, twin: str) -> list[Span]:
    own, other = ([text[slice(*word)] for word in words_of(text)] for text in (caption, twin))
    matched = SequenceMatcher(None, own, other, autojunk=False).get_opcodes()
    changed = {place for kind, start, stop, _, _ in matched if kind != "equal" for place in range(start, stop)}
    return [word for place, word in enumerate(words_of(caption)) if place in changed]


def _touches(word: Span, marked: Iterable[Span]) -> bool:
    return any(word[0] < end and start < word[1] for start, end in marked)
