"""Texts that scorers compare by embedding, embedded once for all explainers, and an embedder that knows these alone."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from jaxtyping import Float

from core.explain.about import About
from core.explain.embedder import Embedder
from core.explain.examples_shown import as_text, examples_by_feature, unseen
from core.explain.table_file import Card
from core.explain.twins import pairs_by_feature
from core.explain.vector_columns import vector_column, vectors_of
from core.progress import Progress, silent

TEXT_VECTORS = pl.Schema({"text": pl.String(), "embedding": pl.List(pl.Float32())})
"""Different texts and their vectors of unit length."""


def embedded_texts(
    windows: pl.DataFrame, about: About, embedder: Embedder, progress: Progress = silent
) -> pl.DataFrame:
    """The texts of the examples for scorers, and of the pairs of twins where `about` has them: `TEXT_VECTORS`.

    Args:
        windows: with the columns of `WINDOWS`.
        about: samples and pairs.
        embedder: what embeds.
        progress: called with texts embedded.
    """
    shown = [one for own in examples_by_feature(unseen(windows), "score").values() for one in own]
    if about.pairs is not None:
        pairs = [pair for own in pairs_by_feature(about.pairs).values() for pair in own]
        shown += [one for pair in pairs for one in (pair.stronger, pair.weaker)]
    texts = sorted({as_text(one, about) for one in shown})
    vectors = vector_column(embedder.embed(texts, progress))
    return pl.DataFrame({"text": texts, "embedding": vectors}, schema=TEXT_VECTORS)


class KnownVectors:
    """An embedder of texts whose vectors are known.

    Attributes:
        name: of what embedded them.
        revision: its revision.
        dimension: of its vectors.
    """

    def __init__(self, card: Card, known: pl.DataFrame) -> None:
        """Embed as the embedder of `card` did; `known` has the columns of `TEXT_VECTORS`."""
        self.name, self.revision, self.dimension = card.embedder, card.revision, card.dimension
        self._places = {text: place for place, text in enumerate(known["text"])}
        self._vectors = vectors_of(known["embedding"]).reshape(known.height, self.dimension)

    def embed(self, texts: Sequence[str], progress: Progress = silent) -> Float[np.ndarray, "n d"]:
        """A vector of unit length per text, in their order; a text that is not known is a KeyError."""
        progress(len(texts), len(texts))
        return np.asarray(self._vectors[[self._places[text] for text in texts]], np.float32)


def with_explanations(known: pl.DataFrame, explanations: pl.DataFrame, vectors: pl.DataFrame) -> pl.DataFrame:
    """The known texts with those of explanations beside them: `TEXT_VECTORS`.

    Args:
        known: with the columns of `TEXT_VECTORS`.
        explanations: `EXPLANATIONS`.
        vectors: `EXPLANATION_EMBEDDINGS` of these.
    """
    told = explanations.filter(pl.col("text").is_not_null())["text"]
    return pl.concat([known, pl.DataFrame({"text": told, "embedding": vectors["embedding"]}, schema=TEXT_VECTORS)])
