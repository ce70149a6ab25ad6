"""What a ranking reads, put together from the artefacts of a scan: scanned SAEs, labelled sentences, and the stream."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from jaxtyping import Float

from core.activations.table import LayerTable
from core.activations.tokens import SUMMARY
from core.concepts.beside import Beside
from core.concepts.full_sentences import FullSentences, side_by_side
from core.concepts.scanned import ScannedSAE
from core.study.sites import STREAM, Site


def shards_of(shards: Sequence[Path], site: Site) -> list[Path]:
    """Those of the shards' folders whose rows were read at a site."""
    return [shard for shard in shards if json.loads((shard / SUMMARY).read_text(encoding="utf-8"))["site"] == site]


def assemble(sentences: pl.DataFrame, scanned: Sequence[Path], shards: Sequence[Path]) -> tuple[FullSentences, Beside]:
    """The activations of all scanned SAEs at the last token of each sentence, and what baselines read of the same.

    Sentences that capture left out are in neither.

    Raises:
        BadInput: a file is missing or damaged.
    """
    saes = [ScannedSAE.open(folder) for folder in scanned]
    ids = saes[0].sentences
    order = pl.DataFrame({"sentence_id": ids}, schema={"sentence_id": pl.String})
    own = order.join(sentences, on="sentence_id", how="left", maintain_order="left")
    lengths = saes[0].rows.group_by("sentence_id", maintain_order=True).len()["len"].to_numpy()
    active, columns = side_by_side((one.card.key, _aligned(one, ids).full_sentences()) for one in saes)
    found = FullSentences(
        active,
        columns,
        own["label"].to_numpy().astype(np.int64),
        np.log(lengths.astype(np.float64)),
        own["family"].to_numpy(),
        own["split"].to_numpy(),
    )
    controls = [(one.card.key, one.control()) for one in saes]
    whole = [(key, control) for key, control in controls if control is not None]
    random = found.with_features(*side_by_side(whole)) if len(whole) == len(saes) else None
    return found, Beside(own["sentence"].to_list(), _streams(saes, shards), random)


def _aligned(one: ScannedSAE, ids: list[str]) -> ScannedSAE:
    if one.sentences != ids:
        raise ValueError(f"{one.card.key}: was scanned over other sentences")
    return one


def _streams(saes: Sequence[ScannedSAE], shards: Sequence[Path]) -> dict[int, Float[np.ndarray, "N D"]]:
    """The stream at the last token of each sentence, by layer; the SAEs' own site where none reads the stream."""
    sites = {one.card.site for one in saes}
    site = STREAM if STREAM in sites else saes[0].card.site
    found = {}
    for one in saes:
        if one.card.site == site and one.card.layer not in found:
            table = LayerTable.open(shards_of(shards, site), one.card.layer)
            found[one.card.layer] = table.read(np.flatnonzero(one.rows["is_full"].to_numpy())).numpy()
    return found
