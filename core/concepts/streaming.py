"""Autoencoders one after the other: one is worked with while the next one loads, and no third is in memory."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

from core.errors import BadInput, first_line
from core.sae.architectures import SparseAutoencoder

Entry = TypeVar("Entry")


class Streamed(Generic[Entry]):
    """An entry with its autoencoder, or with the reason why it cannot be read."""

    def __init__(self, entry: Entry, sae: SparseAutoencoder | None, fault: str | None) -> None:
        self.entry, self.fault, self._sae = entry, fault, sae

    @property
    def sae(self) -> SparseAutoencoder:
        """The autoencoder, until the next entry is asked for; whoever keeps it keeps its memory.

        Raises:
            BadInput: it cannot be read.
        """
        if self._sae is None:
            raise BadInput(self.fault or "the next SAE was asked for; this one is no longer in memory")
        return self._sae

    def _release(self) -> None:
        self._sae = None


def stream_saes(
    entries: Iterable[Entry], load: Callable[[Entry], SparseAutoencoder], device: str
) -> Iterator[Streamed[Entry]]:
    """The autoencoders of the entries, in their order, on `device`; a thread loads the next one meanwhile.

    An entry whose files cannot be read comes with the reason, and the others go on.
    """
    with ThreadPoolExecutor(1, "sae-loader") as thread:
        coming: Future[Streamed[Entry]] | None = None
        for entry in entries:
            before, coming = coming, thread.submit(_loaded, entry, load, device)
            if before is not None:
                yield from _handed(before)
        if coming is not None:
            yield from _handed(coming)


def _handed(coming: Future[Streamed[Entry]]) -> Iterator[Streamed[Entry]]:
    streamed = coming.result()
    yield streamed
    streamed._release()


def _loaded(entry: Entry, load: Callable[[Entry], SparseAutoencoder], device: str) -> Streamed[Entry]:
    try:
        return Streamed(entry, load(entry).to(device), None)
    except (BadInput, OSError) as error:
        return Streamed(entry, None, first_line(error))
