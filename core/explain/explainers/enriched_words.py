"""The floor: the words that a feature's examples have more often than other texts, or on which it fires more often than
elsewhere, told without a model.

Log-odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008; `core.stats.enrichment`), a word counted
once per text; of the two z of a word the larger counts. The other texts are the captions of the samples that no example
for explainers is from; without captions, the other features' examples.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from core.explain.about import About
from core.explain.examples_shown import Example
from core.explain.explainers.saying import Said, Task
from core.stats.enrichment import enrich

WORDS = 5
"""Most words of an explanation."""
LEAST_Z = 1.96
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


class Words(NamedTuple):
    """The different words of a text, and those of them on which the feature fires."""

    every: frozenset[str]
    fired: frozenset[str] = frozenset()


def say(tasks: Sequence[Task], examples: Mapping[int, list[Example]], about: About) -> list[Said]:
    """One explanation per task, in their order."""
    captions = {language: _captions(about.samples, language) for language in {task.language for task in tasks}}
    return [_said(task, examples, captions[task.language]) for task in tasks]


def _said(task: Task, examples: Mapping[int, list[Example]], captions: Mapping[str, Words]) -> Said:
    own = [one for one in examples[task.feature] if one.fires]
    spoken = [one for one in own if one.language == task.language]
    if spoken and captions:
        seen = {one.sample_id for one in own}
        rest = [words for sample, words in captions.items() if sample not in seen]
    else:
        prompts = {one.prompt_id for one in own}
        others = [one for feature in examples if feature != task.feature for one in examples[feature]]
        rest = [words_of(one.tokens) for one in others if one.prompt_id not in prompts]
    words = enriched([words_of(one.tokens, one.active) for one in spoken or own], rest)
    return Said(", ".join(words)) if words else Said(failure="no word is enriched in its examples")


def enriched(inside: Sequence[Words], outside: Sequence[Words]) -> list[str]:
    """At most 5 words that texts `inside` have, or fire on, more often than there are elsewhere, the surest first."""
    own = [(word, word in text.fired) for text in inside for word in sorted(text.every)]
    rest = [word for text in outside for word in sorted(text.every)]
    known = sorted({*(word for word, _ in own), *rest})
    if not known:
        return []
    numbers = {word: number for number, word in enumerate(known)}
    values = np.array([numbers[word] for word in (*(word for word, _ in own), *rest)])
    standing = np.arange(values.size) < len(own)
    firing = np.array([fired for _, fired in own] + [False] * len(rest))
    z = np.maximum(*(enrich(values, active, len(known)).z for active in (standing, firing)))
    best = np.argsort(-z, kind="stable")[:WORDS]
    return [known[value] for value in best if z[value] > LEAST_Z]


def words_of(tokens: Iterable[str], active: Sequence[int] = ()) -> Words:
    """The words of a text in lower case, whole where tokens are parts of them."""
    ends = np.cumsum([0, *map(len, tokens)])
    found = list(_WORD.finditer("".join(tokens)))
    spans = [(ends[number], ends[number + 1]) for number in active]
    fired = [one for one in found if any(one.start() < high and low < one.end() for low, high in spans)]
    return Words(*(frozenset(one[0].lower() for one in words) for words in (found, fired)))


def _captions(samples: pl.DataFrame, language: str) -> dict[str, Words]:
    column = f"caption_{language}"
    if column not in samples.columns:
        return {}
    return {sample: words_of([text]) for sample, text in samples.select("sample_id", column).drop_nulls().iter_rows()}
