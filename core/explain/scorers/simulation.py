"""Simulation: how strongly does the feature fire on each token? Correlation with what it does; chance is 0.

Bills et al. 2023 ("Language models can explain neurons in language models"): a judge is given the explanation and the
tokens of an example and predicts the activation on each on a scale from 0 to 10; the score is Pearson's correlation
over the tokens of all examples together, firing and silent ones (their "top-and-random" scoring). They take the
expected value over the judge's next-token probabilities; chat endpoints need not give any, so the answer itself counts
here. Examples without text are left out.
"""

from collections.abc import Mapping, Sequence

from core.chat.questions import Question
from core.explain.about import About
from core.explain.examples_shown import STEPS, Example, Shower
from core.explain.marking import written
from core.explain.prompts import prompt
from core.explain.scorers.asking import Put, read_list, shuffled
from core.explain.scorers.items import item_of
from core.explain.scorers.judged import Explained, Item, against_silent

_TOKENS_PER_NUMBER = 4
_FURTHER = 100


def questions(explained: Sequence[Explained], examples: Mapping[int, list[Example]], shower: Shower) -> list[Put]:
    """One question per explanation and example; those about one feature show the same examples in the same order."""
    decks = {feature: _deck(examples[feature], shower.about, feature) for feature in examples}
    return [_put(one, example, item, shower) for one in explained for example, item in decks.get(one.feature, ())]


def _deck(examples: Sequence[Example], about: About, feature: int) -> list[tuple[Example, Item]]:
    told = [one for one in examples if one.tokens]
    items = against_silent([item_of(one, about, one.values) for one in told], [one.fires for one in told])
    return [(told[place], items[place]) for place in shuffled(len(told), about.seed, feature)]


def _put(explained: Explained, example: Example, item: Item, shower: Shower) -> Put:
    count = len(example.tokens)

    def question() -> Question:
        lines = "".join(f"{number}: {written(token)}\n" for number, token in enumerate(example.tokens, 1))
        form = f"[{', '.join(['0'] * count)}]"
        values = {"explanation": explained.text, "count": str(count), "sample": form}
        parts = (lines, *shower.context(example), "\n")
        return prompt("judge_simulation").asked(parts, _FURTHER + _TOKENS_PER_NUMBER * count, **values)

    return Put(explained, (item,), question, lambda answer, _: _read(answer, count))


def _read(answer: str, tokens: int) -> list[tuple[float, ...]] | None:
    numbers = read_list(answer, 0, STEPS)
    return None if numbers is None or len(numbers) != tokens else [tuple(numbers)]
