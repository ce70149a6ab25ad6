"""Questions made and put in portions, so that the pictures of a few are in memory and not those of all."""

from collections.abc import Callable, Sequence

from core.chat.questions import Asked, Question, Reply
from core.progress import Progress

PORTION = 128
"""Questions made together where they hold pictures."""
_WITHOUT_PICTURES = 8192


def in_portions(asked: Asked, makers: Sequence[Callable[[], Question]], progress: Progress) -> list[Reply]:
    """The replies to the questions that `makers` make, in their order; `progress` counts all of them."""
    size = PORTION if asked.pictures else _WITHOUT_PICTURES
    replies: list[Reply] = []
    for start in range(0, len(makers), size):
        questions = [make() for make in makers[start : start + size]]
        replies += asked.ask(questions, _Counted(progress, start, len(makers)))
    return replies


class _Counted:
    """Counts what a portion did on top of the portions before."""

    def __init__(self, progress: Progress, before: int, every: int) -> None:
        self._progress, self._before, self._every = progress, before, every

    def __call__(self, done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        self._progress(self._before + done, self._every, metrics)
