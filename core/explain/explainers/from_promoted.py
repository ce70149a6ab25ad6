"""A model says what a feature makes the model under study say, from the tokens that it promotes and suppresses.

The output-centric way of Gur-Arieh et al. 2025 (arXiv:2501.08319, VocabProj): the tokens with the largest and smallest
scores of the feature's decoder direction under the unembedding.
"""

from collections.abc import Mapping, Sequence

from core.chat.questions import Asked
from core.explain.about import About
from core.explain.examples_shown import Example
from core.explain.explainers.promoted import tokens_of
from core.explain.explainers.saying import MAX_TOKENS, Put, Said, Task, answers
from core.explain.prompts import prompt
from core.progress import Progress

TOKENS = 30
"""Tokens shown of each direction."""


def say(
    asked: Asked, tasks: Sequence[Task], examples: Mapping[int, list[Example]], about: About, progress: Progress
) -> list[Said]:
    """One explanation per task, in their order; `examples` are not looked at."""
    tokens = tokens_of(about, TOKENS)
    told = [task for task in tasks if task.feature in tokens]
    said = dict(zip(told, answers(asked, [_put(task, tokens[task.feature]) for task in told], progress), strict=True))
    return [said.get(task, Said(failure="promotes no known token")) for task in tasks]


def _put(task: Task, tokens: Mapping[str, Sequence[str]]) -> Put:
    used = prompt("explain_promoted", task.language)
    listed = {way: ", ".join(f"`{token}`" for token in tokens.get(way, ())) for way in ("promoted", "suppressed")}
    return Put(lambda: used.asked((), MAX_TOKENS, **listed), used.version)
