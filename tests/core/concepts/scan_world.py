"""Sentences captured with a tiny random model, and random SAEs of its width: what a scan's tests share."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from core.activations.capture import capture_shard
from core.activations.table import LayerTable
from core.concepts.capturing import sentence_job
from core.concepts.card import ScanCard, ScanSource
from core.concepts.encoding import Fragments, Target, encode_fragments
from core.concepts.fragments import fragment_rows
from core.lm.loading import load_model
from core.sae.architectures import SparseAutoencoder
from core.study.model import CaptureConfig
from tests.core.sae.dictionary import random_sae

TEXTS = (
    "A woman sings in a park. She holds her red book.",
    "A man's ball",
    "not <eos> a book",
    "In a kitchen a man is cooking , blue ball !",
    "book",
)
D, F = 32, 48


def sentence_table(texts: tuple[str, ...] = TEXTS) -> pl.DataFrame:
    ids = [f"s{number:04d}" for number in range(len(texts))]
    labels = [number % 4 for number in range(len(texts))]
    return pl.DataFrame({"sentence_id": ids, "sentence": texts, "label": labels}, schema_overrides={"label": pl.Int8})


@dataclass(frozen=True)
class Captured:
    sentences: pl.DataFrame
    shards: list[Path]
    fragments: Fragments

    @property
    def dense_stream(self) -> torch.Tensor:
        return self.fragments.stream.block(0, len(self.fragments.stream))


def capture(model: Path, folder: Path, sentences: pl.DataFrame, language: str = "en", **config: object) -> Captured:
    """Two shards of the sentences, and layer 1 of both."""
    loaded = load_model(model, "float32", "cpu")
    settings = CaptureConfig(**{"layers": [1], "token_budget": 64, **config})
    half = -(-len(sentences) // 2)
    shards = [folder / "shard0", folder / "shard1"]
    for shard, part in zip(shards, (sentences[:half], sentences[half:]), strict=True):
        capture_shard(loaded, sentence_job(part, language, settings), shard)
    table = LayerTable.open(shards, 1)
    return Captured(sentences, shards, Fragments(table, fragment_rows(table.tokens, sentences)))


def jump_relu(seed: int = 0, threshold: float = 0.5) -> SparseAutoencoder:
    sae = random_sae(D, F, 5, seed)
    sae.k = None
    sae.threshold.fill_(threshold)
    return sae


def dense_code(sae: SparseAutoencoder, x: torch.Tensor) -> torch.Tensor:
    """What a JumpReLU makes of rows, by its formula."""
    before = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    return before * (before > sae.threshold)


def scan(captured: Captured, sae: SparseAutoencoder, folder: Path, values: str = "float32", **more: object) -> ScanCard:
    source = ScanSource(**{"key": "layer_1/width_48/average_l0_9", "layer": 1, "model": "tiny", **more})
    return encode_fragments(sae, captured.fragments, source, Target(folder, values))
