"""The error for what the user can correct, and one-line messages."""


class BadInput(ValueError):
    """Something handed in is wrong; the one-line message names it and the fix, and is shown without a traceback."""


def first_line(error: BaseException) -> str:
    """What an error says, on one line; its kind where it says nothing."""
    return (str(error).strip() or type(error).__name__).splitlines()[0]
