"""Examples of which a judge says yes or no, several to a question: detection and fuzz."""

from collections.abc import Sequence
from typing import NamedTuple

from core.chat.questions import Question
from core.explain.examples_shown import Example, Shower
from core.explain.prompts import Prompt
from core.explain.scorers.asking import MAX_TOKENS, Put, read_yes_or_no
from core.explain.scorers.judged import Explained, Item


class Shown(NamedTuple):
    """An example with its text as the judge reads it, and what is asked of it."""

    example: Example
    text: str | None
    item: Item


def batches(explained: Explained, deck: Sequence[Shown], size: int, used: Prompt, shower: Shower) -> list[Put]:
    """Questions about at most `size` examples each, in the order of `deck`."""
    parts = [deck[start : start + size] for start in range(0, len(deck), size)]
    return [_put(explained, part, used, shower) for part in parts]


def _put(explained: Explained, part: Sequence[Shown], used: Prompt, shower: Shower) -> Put:
    def question() -> Question:
        numbered = [shower.numbered(one.example, number, one.text) for number, one in enumerate(part, 1)]
        values = {"explanation": explained.text, "count": str(len(part)), "sample": sample_list(len(part))}
        return used.asked([piece for one in numbered for piece in (*one, "\n")], MAX_TOKENS, **values)

    return Put(explained, tuple(one.item for one in part), question, read_yes_or_no)


def sample_list(count: int) -> str:
    """A list of so many noughts and ones that shows the form alone: [0, 1, 0, 1]."""
    return f"[{', '.join(str(number % 2) for number in range(count))}]"
