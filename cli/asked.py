"""Who answers `saeflow feature`: the workspace's own files; `cli.asked_explorer` has a running explorer."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Protocol

from rich.progress import Progress

from cli.terminal import errors
from core.progress import Progress as Told
from core.reading.records import open_by_name
from explorer.asking.answer import Answer
from explorer.asking.labelling import exported, imported, labels_of, set_label
from explorer.asking.looked import Looked, the_latest
from flows.runtime.settings import read_settings

if TYPE_CHECKING:
    from explorer.asking.questions import Question


class Labelled(NamedTuple):
    """A feature that was labelled, in words, and what it is called now."""

    title: str
    label: str | None


class Asked(Protocol):
    """What answers questions about a layer and keeps its labels; what is wrong is a `BadInput`."""

    def ask(self, question: "Question") -> Answer:
        """The answer."""

    def explained(self, text: str, top_k: int) -> Answer:
        """The features that catalogues explain as a text says; of all studies and layers where none is named."""

    def label(self, feature: int, text: str, author: str | None) -> Labelled:
        """Set a feature's label; no text removes it."""

    def exported(self) -> str:
        """All labels of the study's model with their history, as the file that `imported` takes."""

    def imported(self, file: Path) -> tuple[int, int]:
        """Add the changes of such a file: how many it has, and how many were not there yet."""


@dataclass(frozen=True)
class Files:
    """The files of the workspace that is set; by default the study that ran last, and its only layer."""

    study: str | None
    layer: int | None = None

    def look(self) -> Looked:
        """Open the layer that is meant.

        Raises:
            BadInput: there is none, or it has to be named.
        """
        return Looked.at(read_settings().workspace, self.study, self.layer)

    def ask(self, question: "Question") -> Answer:
        """See `Asked`."""
        looked = self.look()
        with _progress() as progress:
            return question.answer(looked, progress)

    def explained(self, text: str, top_k: int) -> Answer:
        """See `Asked`."""
        from explorer.asking.explained import searched
        from explorer.reading.explained import Sought

        return searched(read_settings().workspace, self.study, self.layer, Sought(text, top_k))

    def label(self, feature: int, text: str, author: str | None) -> Labelled:
        """See `Asked`."""
        looked = self.look()
        change = set_label(labels_of(looked.study.workspace), looked, feature, text or None, author)
        return Labelled(looked.title(feature), change.text)

    def exported(self) -> str:
        """See `Asked`."""
        workspace = read_settings().workspace
        return exported(labels_of(workspace), open_by_name(workspace, self.study or the_latest(workspace)))

    def imported(self, file: Path) -> tuple[int, int]:
        """See `Asked`."""
        return imported(labels_of(read_settings().workspace), file)


@contextmanager
def _progress() -> Iterator[Told]:
    """A bar that appears with the first word of progress: most questions run no model."""
    bar = Progress(console=errors, transient=True)

    def told(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        if not bar.tasks:
            bar.add_task("the model runs")
            bar.start()
        bar.update(bar.tasks[0].id, completed=done, total=total)

    try:
        yield told
    finally:
        if bar.tasks:
            bar.stop()
