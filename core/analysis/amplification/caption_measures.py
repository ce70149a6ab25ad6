"""What a generated caption is measured by: variety of its words, repetition, and the side that it speaks of."""

import math
import string
from collections.abc import Sequence

from core.causal.written import Cost
from core.data.concept import Concept

_PUNCTUATION = string.punctuation + "،؛؟«»“”‘’…–—"


def measures_of(concept: Concept) -> dict[str, str]:
    """The measures of a caption, in words; those of the concept are called after it and its sides."""
    one, other = concept.sides
    return {
        "ce": "cross-entropy of the generated captions under the clean model",
        "ce_other": f"cross-entropy of their words that tell no {concept.name} under the clean model",
        "distinct_1": "share of different words among a caption's words",
        "distinct_2": "share of different pairs of words among a caption's pairs",
        "repetition": "share of a caption's runs of four words that stood in it before",
        concept.adjective: f"{concept.adjective} words per word of the generated captions",
        one: f"share of generated captions that speak of {one}{concept.bearers} alone",
        other: f"share of generated captions that speak of {other}{concept.bearers} alone",
        "words": "words per generated caption",
    }


def unit_of(measure: str, concept: Concept) -> str:
    """The unit of a measure; points where it is a share."""
    per_token = dict.fromkeys(("ce", "ce_other"), "nats per token")
    return {**per_token, concept.adjective: "words per word", "words": "words"}.get(measure, "points")


def measures(text: str, language: str, cost: Cost, concept: Concept) -> dict[str, float]:
    """The measures of one caption, by name; NaN where it has too few words.

    `distinct_n` is different n-grams over n-grams (Li et al. 2016, arXiv 1510.03055) within the caption, `repetition`
    is 1 − distinct_4 (Welleck et al. 2019, arXiv 1908.04319, seq-rep-4).
    """
    words, label = words_of(text), concept.label(text, language)
    one, other = concept.sides
    return {
        "ce": cost.all,
        "ce_other": cost.other,
        "distinct_1": distinct(words, 1),
        "distinct_2": distinct(words, 2),
        "repetition": 1 - distinct(words, 4),
        concept.adjective: len(concept.words(text, language)) / len(words) if words else math.nan,
        one: float(label == one),
        other: float(label == other),
        "words": float(len(words)),
    }


def words_of(text: str) -> list[str]:
    """The words of a text, cut at spaces, without punctuation around them, case folded."""
    return [word for piece in text.casefold().split() if (word := piece.strip(_PUNCTUATION))]


def distinct(words: Sequence[str], n: int) -> float:
    """Different n-grams over n-grams; NaN where there are fewer than n words."""
    grams = list(zip(*(words[start:] for start in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else math.nan
