"""What questions will cost before one of them is sent: the dry run."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from core.chat.address import Line, Words
from core.chat.budget import Bill, pictures_tokens
from core.chat.cache import look_up, question_key
from core.chat.questions import Question
from core.study.catalogue import ChatProfile

_BYTES_PER_TOKEN = 4
"""Of English and of Arabic text alike, in today's large vocabularies; small ones make more tokens of Arabic."""
_AROUND = 16
"""Tokens that a chat template puts around a question."""


@dataclass(frozen=True)
class CostEstimate:
    """What a profile is going to be asked.

    Of `questions` distinct ones `cached` are answered already and cost nothing. The others take about `prompt_tokens`;
    their answers take `completion_tokens` at most, and usually less. `money` is the price of both.
    """

    questions: int
    cached: int
    prompt_tokens: int
    completion_tokens: int
    money: float

    @property
    def tokens(self) -> int:
        """Prompt and completion tokens."""
        return self.prompt_tokens + self.completion_tokens


def estimate(questions: Sequence[Question], profile: ChatProfile, cache: Path) -> CostEstimate:
    """What these questions will take, those that `cache` answers left out; sends and writes nothing.

    Raises:
        BadInput: the profile's address cannot be used, or the file of answers is damaged.
    """
    line = Line(profile.url, profile.model, Words("profile", "url", "model", "set it"))
    by_key = {question_key(line, question): question for question in questions}
    kept = look_up(cache, list(by_key))
    bills = [_about(question) for key, question in by_key.items() if key not in kept]
    prompt, completion = sum(bill.prompt for bill in bills), sum(bill.completion for bill in bills)
    return CostEstimate(len(by_key), len(kept), prompt, completion, Bill(prompt, completion).money(profile))


def _about(question: Question) -> Bill:
    texts = [question.system, *(part for part in question.parts if isinstance(part, str))]
    size = sum(len(text.encode("utf-8", "surrogatepass")) for text in texts)
    return Bill(size // _BYTES_PER_TOKEN + _AROUND + pictures_tokens(question), question.max_tokens)
