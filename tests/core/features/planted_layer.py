"""A small captured layer on disk, opened as the real table, and what its features are when computed densely."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from safetensors.torch import save_file

from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.sae.architectures import SparseAutoencoder
from tests.core.sae.dictionary import random_sae

CAPTIONS = {"en": ("In a park a {} sings .", ("woman", "man")), "ar": ("{} في حديقة خضراء", ("امرأة", "رجل"))}
D, F, K = 12, 40, 5


@dataclass(frozen=True)
class Layer:
    table: LayerTable
    samples: pl.DataFrame
    sae: SparseAutoencoder
    dense: np.ndarray

    @property
    def tokens(self) -> pl.DataFrame:
        return self.table.tokens


def make_layer(folder: Path, images: int = 12) -> Layer:
    """Two shards of one layer; feature 3 never fires, feature 4 fires on nearly every row."""
    samples = pl.DataFrame([_sample(number) for number in range(images)])
    half = images // 2
    shards = [_write_shard(folder / f"shard{n}", part, n) for n, part in enumerate((samples[:half], samples[half:]))]
    table = LayerTable.open(shards, 0)
    sae = random_sae(D, F, K)
    sae.b_enc[3], sae.b_enc[4] = -1e3, 3
    x = table.block(0, len(table))
    top = ((x - sae.b_dec) @ sae.W_enc + sae.b_enc).topk(K)
    dense = torch.zeros(len(x), F).scatter(1, top.indices, top.values.relu())
    return Layer(table, samples, sae, dense.numpy())


def _sample(number: int) -> dict[str, Any]:
    captions = {f"caption_{language}": text.format(words[number % 2]) for language, (text, words) in CAPTIONS.items()}
    return {"sample_id": f"s{number:02d}", "image_id": f"i{number:02d}", "split": "train", **captions}


def _write_shard(folder: Path, samples: pl.DataFrame, seed: int) -> Path:
    rows = [row for group in ("shared", "en", "ar") for row in _rows(samples, group)]
    tokens = pl.DataFrame(rows, schema={name: kind for name, kind in TOKENS.items() if name != "row"}, orient="row")
    tokens = tokens.with_columns(pl.int_range(pl.len()).over("group").cast(pl.UInt32).alias("row")).select(list(TOKENS))
    folder.mkdir(parents=True)
    tokens.write_parquet(folder / "tokens.parquet")
    (folder / "shard.json").write_text(json.dumps({"site": "resid_post", "d_model": D}))
    generator = torch.Generator().manual_seed(seed)
    for group in ("shared", "en", "ar"):
        matrix = torch.randn(tokens["group"].eq(group).sum(), D, generator=generator).bfloat16()
        save_file({"activation": matrix}, folder / f"layer_0.{group}.safetensors")
    return folder


def _rows(samples: pl.DataFrame, group: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for sample in samples.iter_rows(named=True):
        ids = {"group": group, "sample_id": sample["sample_id"], "image_id": sample["image_id"]}
        if group == "shared":
            image = {"language": None, "segment": "image", "token": "<image>", "token_id": 3, "special": False}
            rows += [{**ids, **image, "position": 2 + place} for place in range(4)]
            continue
        prompt = {**ids, "language": group, "segment": "prompt", "position": 6}
        rows.append({**prompt, "token": "Describe", "token_id": 4, "special": False})
        rows.append({**prompt, "token": "<end>", "token_id": 5, "special": True, "position": 7})
        rows += _caption_rows(sample[f"caption_{group}"], {**ids, "language": group, "segment": "caption"})
    return rows


def _caption_rows(caption: str, ids: dict[str, Any]) -> list[dict[str, Any]]:
    rows, start = [], 0
    for place, word in enumerate(caption.split(" ")):
        span = {"char_start": start, "char_end": start + len(word)}
        token_id = 10 + sum(map(ord, word)) % 1000
        rows.append({**ids, **span, "token": word, "token_id": token_id, "special": False, "position": 8 + place})
        start += len(word) + 1
    return rows
