"""Scans of one SAE over different sentences as one scan, as where an older run is continued."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from core.concepts.card import ScanCard, ScanSource
from core.concepts.encoding import Target, finish_scan
from core.concepts.scanned import ScannedSAE
from core.errors import BadInput
from core.features.columns import SparseRows


def join_scans(parts: Sequence[ScannedSAE], order: Sequence[str], source: ScanSource, target: Target) -> ScanCard:
    """Write the sentences named in `order`, each taken from the first part that has it, as one scan.

    Raises:
        BadInput: the parts have different numbers of features, or none has a sentence.
        OSError: the disk is full.
    """
    features = {part.card.features for part in parts}
    if len(features) != 1:
        raise BadInput(f"{source.key}: its parts have {sorted(features)} features; join scans of one SAE")
    places = {sentence: (number, span) for number, span, sentence in reversed(_spans(parts))}
    missing = next((sentence for sentence in order if sentence not in places), None)
    if missing is not None:
        raise BadInput(f"{source.key}: sentence {missing} is in none of its parts; scan it")
    target.folder.mkdir(parents=True, exist_ok=True)
    rows: list[pl.DataFrame] = []
    with SparseRows(target.folder, target.values) as csr:
        for sentence in order:
            number, (start, stop) = places[sentence]
            indptr, active, values = parts[number].csr(start, stop)
            csr.append(np.diff(indptr), active, values)
            rows.append(parts[number].rows[start:stop])
    return finish_scan(pl.concat(rows), features.pop(), source, target)


def _spans(parts: Sequence[ScannedSAE]) -> list[tuple[int, tuple[int, int], str]]:
    """Every sentence of every part, and its rows there."""
    found: list[tuple[int, tuple[int, int], str]] = []
    for number, part in enumerate(parts):
        ends = np.flatnonzero(part.rows["is_full"].to_numpy()) + 1
        starts = [0, *ends[:-1].tolist()]
        spans = zip(starts, ends.tolist(), strict=True)
        found += [(number, span, name) for span, name in zip(spans, part.sentences, strict=True)]
    return found
