"""Search over explanations: by meaning, against the published embeddings, and by words."""

from collections.abc import Collection
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from jaxtyping import Float

from core.errors import BadInput, first_line
from core.explain.embedder import SentenceEmbedder, embedder_folder
from core.explain.table_file import Card
from core.explain.vector_columns import unit_length, vectors_of
from core.lm.hub import is_hub_name, snapshots
from core.lm.packages import PACKAGE_PREFIX

NEAREST = pl.Schema(
    {"feature_id": pl.UInt32(), "sae_id": pl.String(), "data_source": pl.String(), "cosine": pl.Float32()}
)
_KEYS = ("feature_id", "sae_id", "data_source")
_BLOCK = 1 << 14
"""Rows whose vectors are in memory at once."""
_MARK = "modules.json"


def nearest_in_file(file: Path, query: Float[np.ndarray, " d"], saes: Collection[str], most: int) -> pl.DataFrame:
    """The explanations of these SAEs that are nearest to a vector of unit length, by exact cosine: `NEAREST`.

    Args:
        file: `explanation_embeddings.parquet`, which is read block by block.
        query: what is looked for.
        saes: by `sae_id`.
        most: rows, at most.

    Raises:
        BadInput: the file is missing or damaged.
    """
    found = pl.DataFrame(schema=NEAREST)
    try:
        for batch in pq.ParquetFile(file).iter_batches(_BLOCK, columns=[*_KEYS, "embedding"]):
            block = pl.DataFrame(pl.from_arrow(batch)).with_columns(pl.col("sae_id", "data_source").cast(pl.String))
            own = block.filter(pl.col("sae_id").is_in(saes))
            if own.height:
                cosines = unit_length(vectors_of(own["embedding"])) @ query
                told = own.select(*_KEYS, pl.Series("cosine", cosines)).cast(NEAREST)
                found = pl.concat([found, told]).sort("cosine", *_KEYS, descending=[True, False, False, False])[:most]
    except (OSError, pa.ArrowException) as error:
        raise BadInput(f"{file}: cannot be read ({first_line(error)}); publish the catalogue again") from error
    return found


def with_words(texts: pl.DataFrame, query: str, most: int) -> pl.DataFrame:
    """The first `most` rows whose `text` has every word of the query, in any case and place."""
    text = pl.col("text").str.to_lowercase()
    has = [text.str.contains(word, literal=True) for word in query.lower().split()]
    return texts.filter(pl.all_horizontal(has)).head(most)


def opened_embedder(card: Card) -> SentenceEmbedder:
    """The embedder of published vectors, as far as it lies on this machine: nothing is downloaded.

    Raises:
        BadInput: it is not here, cannot be loaded, or is another revision than embedded the explanations.
    """
    if not card.embedder:
        raise BadInput("the explanations were not embedded")
    embedder = SentenceEmbedder(card.embedder, _folder_here(card.embedder))
    if embedder.revision != card.revision:
        told = f"is {embedder.revision or 'of no revision'} here, and embedded the explanations as {card.revision}"
        raise BadInput(f"embedder {card.embedder}: {told}")
    return embedder


def _folder_here(name: str) -> Path:
    """Its folder: one of that name, a snapshot in the hub's cache, or a package, which a catalogue names without
    `package:`."""
    if name.startswith(PACKAGE_PREFIX) or Path(name).expanduser().is_dir():
        return embedder_folder(name)
    if is_hub_name(name) and any((path / _MARK).is_file() for path in snapshots(name)):
        return embedder_folder(name)
    try:
        return embedder_folder(f"{PACKAGE_PREFIX}{name}")
    except BadInput as error:
        raise BadInput(f"embedder {name}: is not on this machine") from error
