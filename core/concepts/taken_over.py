"""Activations of one SAE that an older scan left: taken as they are, and only what they lack is encoded."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from torch import Tensor

from core.concepts.card import SCAN, ScanCard, ScanSource
from core.concepts.encoding import Fragments, ReadableRows, Target, encode_fragments
from core.concepts.joining import join_scans
from core.concepts.scanned import ScannedSAE
from core.errors import BadInput
from core.progress import Progress, silent
from core.sae.architectures import SparseAutoencoder

_SAME = ["sentence_id", "token_index", "is_full"]


def imported_folders(folder: Path) -> dict[str, Path]:
    """The folders of the SAEs below a folder that `saeflow concept import` wrote, by key.

    Raises:
        BadInput: there is none, or one is damaged.
    """
    found = {ScanCard.read(path.parent).key: path.parent for path in sorted(folder.glob(f"*/{SCAN}"))}
    if not found:
        raise BadInput(f"imported: {folder} holds no imported SAE; name what `saeflow concept import` wrote")
    return found


def take_over(
    imported: ScannedSAE,
    sae: Callable[[], SparseAutoencoder],
    fragments: Fragments,
    source: ScanSource,
    target: Target,
    progress: Progress = silent,
) -> ScanCard:
    """Write what `encode_fragments` would, with the imported activations in place of the SAE's own.

    Args:
        imported: an older scan of this SAE; sentences that are not among `fragments` are left out.
        sae: opens the SAE; it is asked for where sentences are missing alone, which it encodes.
        fragments: of all sentences of this scan.
        source: the SAE as its registry names it.
        target: the folder that is written, and the precision there.
        progress: told of the rows that are encoded.

    Raises:
        BadInput: the older scan had other tokens or another number of features.
    """
    there = set(imported.sentences)
    lacks = np.flatnonzero(~fragments.rows["sentence_id"].is_in(list(there)).to_numpy())
    named = source.model_copy(update={"imported_from": imported.card.imported_from})
    order = fragments.rows.filter("is_full")["sentence_id"].to_list()
    target.folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=target.folder, prefix=".since-") as place:
        parts = [imported]
        if lacks.size:
            rest = Fragments(_Some(fragments.stream, lacks), fragments.rows[lacks])
            encode_fragments(sae(), rest, source, replace(target, folder=Path(place)), progress)
            parts.append(ScannedSAE.open(Path(place)))
        _refuse_other_tokens(parts, fragments.rows, source.key)
        return join_scans(parts, order, named, target)


def _refuse_other_tokens(parts: list[ScannedSAE], rows: pl.DataFrame, key: str) -> None:
    """Activations of other tokens would stand in the wrong rows."""
    own = pl.concat([part.rows.select(_SAME) for part in parts])
    wanted = rows.select(_SAME)
    if (
        not own.join(wanted.select("sentence_id").unique(), on="sentence_id", how="semi")
        .sort(_SAME)
        .equals(wanted.sort(_SAME))
    ):
        raise BadInput(f"{key}: what was imported has other tokens than this model's; leave it out of `imported`")


class _Some:
    """Some rows of a stream, by their numbers."""

    def __init__(self, stream: ReadableRows, rows: Int[np.ndarray, " n"]) -> None:
        self._stream, self._rows = stream, rows

    def __len__(self) -> int:
        return len(self._rows)

    def block(self, start: int, stop: int) -> Float[Tensor, "n D"]:
        """The chosen rows from `start` to `stop`."""
        return self._stream.read(self._rows[start:stop])

    def read(self, rows: Int[np.ndarray, " n"], /) -> Float[Tensor, "n D"]:
        """Chosen rows by their places."""
        return self._stream.read(self._rows[rows])
