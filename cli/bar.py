"""A progress bar that goes when the work is done."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from cli.terminal import console
from core.progress import Progress as Told


@contextmanager
def bar(words: str) -> Iterator[Told]:
    """A bar behind `words`, moved by what it gives."""
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:.0f} %"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(words, total=None)

        def tell(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
            shown.update(task, completed=done, total=total)

        yield tell
