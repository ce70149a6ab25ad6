"""Layers held in memory, with the attributes of the real ones and a truth that was planted in them.

Every image has shared image rows and, by language, a last-prompt row, two pre-gender rows (two images in three), a
first-gendered, two later-gendered and two other rows. From layer `born` on, feature 0 fires on female images and
feature 1 on male ones at every row; feature 2 fires on English rows alone. Features keep their number from layer to
layer and fire on the same rows, but those of `reborn` are drawn anew in each layer.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import torch
from scipy import sparse

from core.data.concept import Concept
from core.data.gender_concept import GENDER
from core.data.known_concepts import THE_CONCEPT
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import RowGrouper

LAYOUT = [
    "last-prompt",
    "pre-gender",
    "pre-gender",
    "first-gendered",
    "later-gendered",
    "later-gendered",
    "other",
    "other",
]


@dataclass(frozen=True)
class World:
    images: int = 120
    layers: int = 4
    d_model: int = 12
    features: int = 40
    k: int = 5
    image_rows: int = 4
    born: int = 1
    reborn: tuple[int, ...] = (30, 31, 32, 33)
    noise: float = 0.1
    languages: tuple[str, ...] = ("en", "ar")
    seed: int = 0


class Table:
    def __init__(self, tokens: pl.DataFrame, stream: np.ndarray) -> None:
        self.tokens, self._stream, self.d_model = tokens, stream, stream.shape[1]
        self.norm_limit = math.inf

    def __len__(self) -> int:
        return len(self._stream)

    def read(self, rows: np.ndarray) -> torch.Tensor:
        return torch.from_numpy(self._stream[rows])

    def block(self, start: int, stop: int) -> torch.Tensor:
        return torch.from_numpy(self._stream[start:stop])


def activations_of(layer: LayerView) -> sparse.csr_array:
    """The activations [T, F] that the layer's index holds."""
    indptr, features, values = layer.index.csr(0, layer.index.num_rows)
    return sparse.csr_array((values, features, indptr), shape=(layer.index.num_rows, layer.index.num_features))


class Index:
    def __init__(self, codes: sparse.csr_array) -> None:
        self._rows, self._columns = codes, codes.tocsc()
        self.num_rows, self.num_features = codes.shape
        count = np.diff(self._columns.indptr)
        self.features = pl.DataFrame(
            {
                "feature": pl.Series(np.arange(self.num_features), dtype=pl.UInt32),
                "density": count / self.num_rows,
                "idf": np.log((1 + self.num_rows) / (1 + count)) + 1,
                "max": pl.Series(codes.max(axis=0).toarray().ravel(), dtype=pl.Float32),
            }
        )

    def csr(self, start: int, stop: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        part = self._rows[start:stop]
        return part.indptr, part.indices, part.data

    def csc(self, feature: int) -> tuple[np.ndarray, np.ndarray]:
        begin, end = self._columns.indptr[feature : feature + 2]
        return self._columns.indices[begin:end].astype(np.uint32), self._columns.data[begin:end]


def make_samples(world: World) -> pl.DataFrame:
    numbers = np.arange(world.images)
    gender = np.where(numbers % 2 == 0, "female", "male")
    return pl.DataFrame(
        {
            "sample_id": [f"s{n:04d}" for n in numbers],
            "image_id": [f"i{n:04d}" for n in numbers],
            "image": [f"images/i{n:04d}.png" for n in numbers],
            "caption_en": [f"a {g} baker" for g in gender],
            "caption_ar": [f"خباز {n}" for n in numbers],
            "gender_en": gender,
            "gender_ar": gender,
            "split": [("train", "train", "select", "test")[n // 2 % 4] for n in numbers],
            "twin_id": pl.Series([None] * world.images, dtype=pl.String),
            "profession": [("baker", "nurse", "pilot", "judge")[n // 2 % 3 + n % 5 // 4] for n in numbers],
        }
    )


def make_tokens(world: World, samples: pl.DataFrame) -> pl.DataFrame:
    rows: list[dict[str, Any]] = []
    for number, sample in enumerate(samples.iter_rows(named=True)):
        base = {"sample_id": sample["sample_id"], "image_id": sample["image_id"]}
        for position in range(world.image_rows):
            image = {"language": None, "segment": "image", "position_set": "image", "special": False}
            rows.append({**base, **image, "group": "shared", "position": position, "token_id": 3, "token": "<image>"})
        for language in world.languages:
            for offset, name in enumerate(LAYOUT):
                if name == "pre-gender" and number % 3 == 0:
                    continue
                special = name == "last-prompt"
                kind = number % 2 if "gendered" in name else number // 2 % 5
                word = {"token_id": 5 if special else 10 * offset + kind, "token": f" w{offset}{kind}"}
                place = {"language": language, "segment": "prompt" if special else "caption", "position_set": name}
                rows.append({**base, **place, **word, "special": special, "group": language, "position": 20 + offset})
    frame = pl.DataFrame(rows, infer_schema_length=None).with_columns(
        pl.int_range(pl.len(), dtype=pl.UInt32).over("group").alias("row"),
        pl.lit(None, dtype=pl.Int32).alias("char_start"),
        pl.lit(None, dtype=pl.Int32).alias("char_end"),
    )
    return (
        frame.with_columns(order=pl.col("group").replace_strict({"shared": 0, "en": 1, "ar": 2}))
        .sort("order", maintain_order=True)
        .drop("order")
        .with_row_index("index")
    )


def make_codes(world: World, tokens: pl.DataFrame, female: np.ndarray, layer: int) -> sparse.csr_array:
    rows, stable = tokens.height, np.random.default_rng(world.seed)
    density = world.k / world.features
    codes = stable.gamma(2, 1, (rows, world.features)).astype(np.float32)
    codes *= stable.random((rows, world.features)) < density
    fresh = np.random.default_rng([world.seed, layer])
    for feature in world.reborn:
        codes[:, feature] = fresh.gamma(2, 1, rows) * (fresh.random(rows) < density)
    codes[:, 2] *= (tokens["language"] == "en").fill_null(False).to_numpy()
    strength = (fresh.gamma(4, 1, rows) * (fresh.random(rows) < 0.8)).astype(np.float32) * (layer >= world.born)
    codes[:, 0] = np.where(female, strength, 0)
    codes[:, 1] = np.where(~female, strength, 0)
    return sparse.csr_array(codes)


def make_layer(world: World, tokens: pl.DataFrame, samples: pl.DataFrame, layer: int) -> LayerView:
    gender = dict(samples.select("image_id", "gender_en").iter_rows())
    female = np.array([gender[image] == "female" for image in tokens["image_id"]])
    codes = make_codes(world, tokens, female, layer)
    rng = np.random.default_rng([world.seed, 7])
    decoder = rng.normal(size=(world.features, world.d_model)).astype(np.float32)
    for feature in world.reborn:
        decoder[feature] = np.random.default_rng([world.seed, 9, layer]).normal(size=world.d_model)
    decoder /= np.linalg.norm(decoder, axis=1, keepdims=True)
    bias = rng.normal(size=world.d_model).astype(np.float32)
    noise = world.noise * np.random.default_rng([world.seed, 11, layer]).normal(size=(tokens.height, world.d_model))
    stream = (codes @ decoder + bias + noise).astype(np.float32)
    sae = SimpleNamespace(
        W_dec=torch.from_numpy(decoder),
        b_dec=torch.from_numpy(bias),
        d_model=world.d_model,
        num_features=world.features,
    )
    table: Any = Table(tokens, stream)
    index: Any = Index(codes)
    grouper = RowGrouper(samples, GENDER)
    return LayerView(layer, table, sae, index, samples, world.languages, GENDER, grouper)  # type: ignore[arg-type]


def no_model() -> Any:
    raise AssertionError("this analysis must not open the model")


def make_inputs(world: World, open_model: Callable[[], Any] = no_model) -> AnalysisInputs:
    samples = make_samples(world)
    tokens = make_tokens(world, samples)
    if set(world.languages) == {"en"}:
        samples = samples.drop("caption_ar", "gender_ar")
    return AnalysisInputs(
        samples=samples,
        images=Path("images") if world.image_rows else None,
        truth=None,
        layers=tuple(range(world.layers)),
        languages=world.languages,
        open_layer=lambda layer: make_layer(world, tokens, samples, layer),
        open_model=open_model,
        instructions={"en": "", "ar": ""},
        concept=THE_CONCEPT,
    )


def read_planted_sets(tokens: pl.DataFrame, samples: pl.DataFrame, concept: Concept) -> pl.Series:
    """Stands in for `position_sets`: the sets are a column of the planted tokens."""
    return tokens["position_set"]


def reordered(opened: LayerView, seed: int = 1) -> Any:
    """An SAE whose features are a planted layer's in another order; it knows the layer's rows alone."""
    order = np.random.default_rng(seed).permutation(opened.index.num_features)
    codes = activations_of(opened).toarray()[:, order]
    rows = opened.table.block(0, len(opened.table)).numpy()
    known = {row.tobytes(): torch.from_numpy(code) for row, code in zip(rows, codes, strict=True)}
    return SimpleNamespace(
        W_dec=opened.sae.W_dec[order],
        b_dec=opened.sae.b_dec,
        num_features=opened.index.num_features,
        encode=lambda x: torch.topk(torch.stack([known[row.tobytes()] for row in x.numpy()]), len(order)),
    )
