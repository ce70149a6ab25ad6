"""The floor: the words that a feature's examples have more often than other texts, told without a model.

Log-odds with an informative Dirichlet prior (Monroe, Colaresi & Quinn 2008; `core.stats.enrichment`), a word counted
once per text. The other texts are the captions of the samples that no example for explainers is from; without captions,
the other features' examples.
"""

import re
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import polars as pl

from core.explain.about import About
from core.explain.examples_shown import Example
from core.explain.explainers.saying import Said, Task
from core.explain.marking import plain
from core.stats.enrichment import enrich

WORDS = 5
"""Most words of an explanation."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


def say(tasks: Sequence[Task], examples: Mapping[int, list[Example]], about: About) -> list[Said]:
    """One explanation per task, in their order."""
    captions = {language: _captions(about.samples, language) for language in {task.language for task in tasks}}
    return [_said(task, examples, captions[task.language]) for task in tasks]


def _said(task: Task, examples: Mapping[int, list[Example]], captions: Mapping[str, str]) -> Said:
    own = [one for one in examples[task.feature] if one.fires]
    spoken = [one for one in own if one.language == task.language]
    seen = {one.sample_id for one in own}
    if spoken and captions:
        rest = [text for sample, text in captions.items() if sample not in seen]
    else:
        prompts = {one.prompt_id for one in own}
        others = [one for feature in examples if feature != task.feature for one in examples[feature]]
        rest = [plain(one.tokens) for one in others if one.prompt_id not in prompts]
    words = enriched((plain(one.tokens) for one in spoken or own), rest)
    return Said(", ".join(words)) if words else Said(failure="no word is enriched in its examples")


def enriched(inside: Iterable[str], outside: Iterable[str]) -> list[str]:
    """At most 5 words that the texts `inside` have more often than those `outside`, the surest first."""
    counted = [(word, True) for text in inside for word in _words(text)]
    counted += [(word, False) for text in outside for word in _words(text)]
    known = sorted({word for word, _ in counted})
    if not known:
        return []
    numbers = {word: number for number, word in enumerate(known)}
    values = np.array([numbers[word] for word, _ in counted])
    found = enrich(values, np.array([active for _, active in counted]), len(known))
    return [known[value] for value in found.best(WORDS)]


def _words(text: str) -> list[str]:
    return sorted({word.lower() for word in _WORD.findall(text)})


def _captions(samples: pl.DataFrame, language: str) -> dict[str, str]:
    column = f"caption_{language}"
    if column not in samples.columns:
        return {}
    return dict(samples.select("sample_id", column).drop_nulls().iter_rows())
