"""What the user sees: one console, and errors in one line."""

import signal
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType

from rich.console import Console

from core.errors import BadInput

console = Console(highlight=False, soft_wrap=True)
errors = Console(stderr=True, highlight=False, soft_wrap=True)

_CONTINUES = "stopped; what was finished or checkpointed stays, and the same command continues from there"
INTERRUPTED = 130  # the shell's number for a command ended by Ctrl-C


_words = ["stopped"]


def continues() -> None:
    """From here on the command makes what stays: where it is stopped, that is said."""
    _words[0] = _CONTINUES


def complain(message: str) -> None:
    """Print an error, never as markup."""
    errors.print("error:", style="bold red", end=" ")
    errors.print(message, markup=False)


def warn(messages: Iterable[str]) -> None:
    """Print what the user should know before it runs, never as markup."""
    for message in messages:
        errors.print("warning:", style="bold yellow", end=" ")
        errors.print(message, markup=False)


@contextmanager
def plain_errors() -> Iterator[None]:
    """Turn what the user can correct into one line and exit code 1; anything else keeps its traceback."""
    try:
        yield
    except BadInput as error:
        complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        complain(_words[0])
        sys.exit(INTERRUPTED)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # typer has taken the Ctrl-C
            complain(_words[0])
        raise
    except OSError as error:
        complain(f"{error.filename or 'the system'}: {error.strerror or error}")
        sys.exit(1)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """SIGTERM, and the SIGHUP of a terminal that was closed, end the block as Ctrl-C does; `nohup` is respected."""

    def end(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    asked = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) != signal.SIG_IGN]
    before = {number: signal.signal(number, end) for number in asked}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
