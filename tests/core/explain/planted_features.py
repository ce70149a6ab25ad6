"""A layer whose features are known: its tokens, its samples with twins, and an index made of a dense matrix."""

import functools
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from core.features.columns import SparseRows, transpose
from core.features.index import FeatureIndex
from core.features.neighbours import COACTIVATION, NEIGHBOURS
from tests.core.features.planted_layer import make_layer

IMAGES = 40
NEVER, IMAGE_ALONE, CAPTION, INSTRUCTION, RARE, NEAR, RANDOM = range(7)
"""Features by what they do; `NEAR` is the nearest to `CAPTION`, `RANDOM` and all behind it fire at random."""
FEATURES = 12


@dataclass(frozen=True)
class Planted:
    index: FeatureIndex
    tokens: pl.DataFrame
    samples: pl.DataFrame
    dense: np.ndarray

    def fires(self, feature: int, sample: str, language: str) -> np.ndarray:
        """The activations of a feature on the rows of a prompt and of its image, special ones left out."""
        own = (pl.col("sample_id") == sample) & (pl.col("language").is_null() | (pl.col("language") == language))
        rows = self.tokens.with_row_index("at").filter(own, ~pl.col("special"))["at"].to_numpy()
        return np.asarray(self.dense[rows, feature])


@functools.cache
def planted() -> Planted:
    folder = Path(tempfile.mkdtemp(prefix="planted-features-"))
    layer = make_layer(folder / "layer", IMAGES)
    twins = [f"s{number + 1 - 2 * (number % 2):02d}" for number in range(IMAGES)]
    samples = layer.samples.with_columns(
        pl.Series("twin_id", twins), pl.concat_str(pl.lit("images/"), "image_id", pl.lit(".png")).alias("image")
    )
    dense = _dense(layer.tokens)
    return Planted(write_index(folder / "index", dense), layer.tokens, samples, dense)


def write_index(folder: Path, dense: np.ndarray) -> FeatureIndex:
    """An index of these activations [T, F], in which features 2 and 5 are nearest to each other."""
    folder.mkdir()
    with SparseRows(folder) as rows:
        rows.append_dense(dense)
    transpose(folder, dense.shape[1], 64)
    pairs = [(CAPTION, NEAR), (NEAR, CAPTION)]
    near = [(own, 1, other, 0.9) for own, other in pairs]
    pl.DataFrame(near, schema=NEIGHBOURS, orient="row").write_parquet(folder / "neighbours.parquet")
    beside = [(own, 1, other, 3, 0.1, 0.2) for own, other in pairs]
    pl.DataFrame(beside, schema=COACTIVATION, orient="row").write_parquet(folder / "coactivation.parquet")
    return FeatureIndex.open(folder)


def _dense(tokens: pl.DataFrame) -> np.ndarray:
    rng = np.random.default_rng(0)
    dense = np.zeros((tokens.height, FEATURES), np.float32)
    strength = rng.uniform(1, 9, tokens.height).astype(np.float32)
    number = tokens["image_id"].str.slice(1).cast(pl.Int64).to_numpy()
    segment, word = tokens["segment"].to_numpy(), tokens["token"].to_numpy()
    third = number // 2 % 3
    dense[:, IMAGE_ALONE] = strength * ((segment == "image") & (third == 0))
    dense[:, CAPTION] = strength * (np.isin(word, ["woman", "امرأة", "sings"]) & (third != 2))
    dense[:, INSTRUCTION] = strength * ((segment == "prompt") & (third == 1))
    dense[:, RARE] = strength * ((word == "park") & (number < 3))
    dense[:, NEAR] = strength * ((segment == "caption") & (number % 4 == 1) & (word != "."))
    dense[:, RANDOM:] = strength[:, None] * (rng.random((tokens.height, FEATURES - RANDOM)) < 0.1)
    return dense
