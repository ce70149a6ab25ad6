"""What a chat model is asked and what comes back, whoever answers."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from core.progress import Progress, silent


@dataclass(frozen=True)
class Picture:
    """A picture as the bytes of its PNG file."""

    png: bytes


@dataclass(frozen=True)
class Question:
    """One question: the system's text (empty sends none), then the user's texts and pictures in their order.

    An answer has at most `max_tokens` tokens; at temperature 0 the model takes its most likely token each time.
    """

    system: str
    parts: tuple[str | Picture, ...]
    max_tokens: int = 300
    temperature: float = 0.0


@dataclass(frozen=True)
class Reply:
    """The answer to one question: its text, or null where none can be used and `failure` says why.

    A `cached` reply was paid for earlier; `money` is then 0, its tokens are those of the answer as it was given.
    """

    text: str | None
    failure: str = ""
    prompt_tokens: int = 0
    completion_tokens: int = 0
    cached: bool = False
    money: float = 0.0


class Asked(Protocol):
    """A model that answers questions: behind an endpoint, on this machine, or a fake of the tests."""

    name: str
    """Full name of the model, for `llm_explainer` and `judge`."""
    pictures: bool
    """Whether it reads pictures."""

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """The replies, in the order of the questions.

        Raises:
            BadInput: nothing can be asked: the endpoint as a whole is wrong, or the budget is spent.
            Stopped: `progress` was told to stop; the answers that had come are kept where the model keeps answers.
        """
