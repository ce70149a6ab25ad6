"""Features by image as the maximum over its rows, beside the caption's length that the maximum grows with."""

import numpy as np
import polars as pl
from jaxtyping import Float, Int
from scipy import sparse

from core.features.index import FeatureIndex
from core.features.row_groups import RowGroups, code_blocks


def group_maxima(index: FeatureIndex, groups: RowGroups) -> sparse.csr_array:
    """The largest activation of each feature within each group [G, F], in one pass over the index."""
    found = sparse.csr_array((groups.table.height, index.num_features), dtype=np.float32)
    for start, stop, block in code_blocks(index):
        found = found.maximum(_block_maxima(block, groups.of_row[start:stop], found.shape))
    return sparse.csr_array(found)


def _block_maxima(block: sparse.csr_array, groups: Int[np.ndarray, " T"], shape: tuple[int, int]) -> sparse.csr_array:
    of_entry = np.repeat(groups, np.diff(block.indptr))
    kept = of_entry >= 0
    of_entry, features, values = of_entry[kept], block.indices[kept], block.data[kept]
    order = np.lexsort((features, of_entry))
    of_entry, features, values = of_entry[order], features[order], values[order]
    new = np.ones(of_entry.size, dtype=bool)
    new[1:] = (np.diff(of_entry) != 0) | (np.diff(features) != 0)
    starts = np.flatnonzero(new)
    largest = np.maximum.reduceat(values, starts) if starts.size else values
    return sparse.csr_array((largest, (of_entry[starts], features[starts])), shape=shape)


def maxima_by_image(
    maxima: sparse.csr_array, groups: RowGroups, language: str, position_set: str
) -> Float[np.ndarray, "N F"]:
    """The maxima over each image's groups there; images as `RowGroups.images` has them."""
    _, selection = groups.images(language, position_set)
    chosen = maxima[selection.indices].toarray()
    return np.asarray(np.maximum.reduceat(chosen, selection.indptr[:-1], axis=0)) if len(chosen) else chosen


def caption_lengths(tokens: pl.DataFrame, language: str) -> dict[str, int]:
    """The caption tokens of each image in a language, over all its captions: as many as a maximum is taken over."""
    rows = tokens.filter((pl.col("segment") == "caption") & ~pl.col("special"), pl.col("language") == language)
    counted = rows.group_by(pl.col("image_id").cast(pl.String)).agg(pl.len().alias("tokens"))
    return dict(counted.iter_rows())
