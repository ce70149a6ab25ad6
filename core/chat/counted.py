"""A model that is asked, and what that took."""

from collections.abc import Sequence

from core.chat.questions import Asked, Question, Reply
from core.progress import Progress, silent


class Counted(Asked):
    """Passes questions on and counts what came back."""

    def __init__(self, asked: Asked) -> None:
        self.name, self.pictures = asked.name, asked.pictures
        self._asked = asked
        self._replies: list[Reply] = []

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """The replies, in the order of the questions."""
        replies = self._asked.ask(questions, progress)
        self._replies += replies
        return replies

    def metrics(self) -> dict[str, float]:
        """Questions, those answered earlier, those without a usable answer, and tokens and money of the others."""
        asked = [one for one in self._replies if not one.cached]
        return {
            "questions": len(self._replies),
            "questions_cached": len(self._replies) - len(asked),
            "unanswered": sum(one.text is None for one in self._replies),
            "prompt_tokens": sum(one.prompt_tokens for one in asked),
            "completion_tokens": sum(one.completion_tokens for one in asked),
            "money": sum(one.money for one in asked),
        }
