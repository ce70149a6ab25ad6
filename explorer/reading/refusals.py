"""Requests that cannot be answered: a status, and one line that says what to do."""

from core.errors import BadInput

WRONG, NO_TOKEN, NOT_THERE, CONFLICT, TOO_LARGE, TOO_LONG, UNUSABLE, BUSY = 400, 401, 404, 409, 413, 414, 422, 429


class Refusal(BadInput):
    """A request that is refused with a status of its own; any other `BadInput` is a conflict with what is on disk."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status
