"""A model says what a feature means from where it fires.

As in Bills et al. 2023 ("Language models can explain neurons in language models") and Paulo et al. 2024
(arXiv:2410.13928): the examples of every quantile with their active tokens marked, each with its strength from 1 to 10.
Of a picture the model sees the picture itself and then the same one under the map of the feature's activation.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from core.chat.questions import Asked, Picture
from core.explain.about import About
from core.explain.examples_shown import Example, Shower, strengths
from core.explain.explainers.saying import MAX_TOKENS, Put, Said, Task, answers
from core.explain.marking import marked
from core.explain.prompts import prompt
from core.progress import Progress


def say(
    asked: Asked, tasks: Sequence[Task], examples: Mapping[int, list[Example]], about: About, progress: Progress
) -> list[Said]:
    """One explanation per task, in their order."""
    shower = Shower(about, asked.pictures)
    return answers(asked, [_put(task, examples[task.feature], shower) for task in tasks], progress)


def _put(task: Task, examples: Sequence[Example], shower: Shower) -> Put:
    used = prompt("explain_examples", task.language)
    return Put(lambda: used.asked(_parts(task, examples, shower), MAX_TOKENS), used.version)


def _parts(task: Task, examples: Sequence[Example], shower: Shower) -> list[str | Picture]:
    firing = [one for one in examples if one.fires]
    order = np.random.default_rng([shower.about.seed, task.feature]).permutation(len(firing))
    largest = max(one.strongest for one in firing)
    return [part for place, one in enumerate(order, 1) for part in _shown(firing[one], place, largest, shower)]


def _shown(example: Example, number: int, largest: float, shower: Shower) -> list[str | Picture]:
    told = strengths(example, largest)
    lines = f"Example {number}: {marked(example.tokens, example.active)}\n"
    return [lines, f"Strengths: {told}\n" if told else "", *shower.context(example, with_cells=True)]
