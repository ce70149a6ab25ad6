"""Stand for models in a dry run: hear what they would be asked, and send nothing."""

from collections.abc import Sequence
from pathlib import Path

from core.chat.address import Line, Words
from core.chat.cache import look_up, question_key
from core.chat.questions import Asked, Question, Reply
from core.progress import Progress, silent
from core.study.catalogue import ChatProfile


class StandIn(Asked):
    """Answers every question with the same text, and keeps the questions."""

    def __init__(self, text: str, name: str = "", pictures: bool = False) -> None:
        self.name, self.pictures, self.text = name, pictures, text
        self.questions: list[Question] = []

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """A reply per question."""
        self.questions += questions
        return [Reply(self.text) for _ in questions]


class Listening(StandIn):
    """Stands for a profile's model: a question that was answered earlier gets that answer."""

    def __init__(self, profile: ChatProfile, answers: Path, text: str) -> None:
        super().__init__(text, profile.model, profile.pictures)
        self._line = Line(profile.url, profile.model, Words("profile", "url", "model", "set it"))
        self._answers = answers

    def ask(self, questions: Sequence[Question], progress: Progress = silent) -> list[Reply]:
        """A reply per question.

        Raises:
            BadInput: the file of answers is damaged.
        """
        keys = [question_key(self._line, question) for question in questions]
        kept = look_up(self._answers, list(dict.fromkeys(keys)))
        return [kept.get(key, reply) for key, reply in zip(keys, super().ask(questions), strict=True)]
