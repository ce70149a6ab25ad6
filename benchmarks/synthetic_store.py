"""A workspace as a study leaves it, of any size, with random features: for benchmarks of those who read it.

Feature 0 of each layer fires on every row; how often the others fire falls as a power law, as an SAE's do. Of a layer
only what readers open is written: tokens, SAE metrics, the index in rows and columns, its tables, associations. The
tables are measured on layer 0 and copied to the others, whose arrays are their own.
"""

import json
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from core.data.sample_frame import SCHEMA
from core.features.columns import map_array, transpose
from core.features.statistics import Occurrences, RowKinds, feature_statistics, position_statistics
from core.store.steps import CAPTURE, EXTRACT_LAYER, INDEX_FEATURES, PREPARE, RANK_FEATURES, TRAIN_SAE
from core.store.units import Unit
from core.store.workspace import Workspace

STUDY = "synthetic"
ROWS_A_SAMPLE = 50
WORDS = 20_000


@dataclass(frozen=True)
class Size:
    """Layers, features and rows per layer, and active features per row."""

    layers: int
    features: int
    rows: int
    active: int


def build(root: Path, size: Size) -> Workspace:
    """The workspace in `root`; a study that is there already is taken as it is."""
    workspace = Workspace(root)
    if workspace.studies.is_dir():
        return workspace
    prepare, shard = PREPARE.unit("", {}), CAPTURE.unit("000", {})
    tokens = _tokens(size.rows)
    _publish(workspace, prepare, lambda folder: _samples(folder, tokens))
    _publish(workspace, shard, lambda folder: _shard(folder, tokens))
    tables = _tables(size, tokens)
    units = [prepare, shard]
    for layer in range(size.layers):
        table = EXTRACT_LAYER.unit(str(layer), {"layer": layer}, {"shards": (shard.artifact,)})
        sae = TRAIN_SAE.unit(str(layer), {"layer": layer}, {"layer": (table.artifact,)})
        inputs = {"shards": (shard.artifact,), "layer": (table.artifact,), "sae": (sae.artifact,)}
        index = INDEX_FEATURES.unit(str(layer), {"layer": layer}, inputs)
        ranked = RANK_FEATURES.unit(str(layer), {"layer": layer}, {**inputs, "index": (index.artifact,)})
        _publish(workspace, table, lambda folder: None)
        _publish(workspace, sae, lambda folder: _write_json(folder / "metrics.json", {"held_out_fvu": 0.3}))
        _publish(workspace, index, partial(_index, size=size, seed=layer, tables=tables))
        _publish(workspace, ranked, lambda folder, seed=layer: _associations(folder, size, seed))
        units += [table, sae, index, ranked]
        print(f"  layer {layer + 1} of {size.layers}", flush=True)
    study = {
        "name": STUDY,
        "variant": "",
        "data": {"source": "table"},
        "sae": {},
        "model": {"path": "/none", "factory": None},
    }
    refs = [unit.artifact.ref for unit in units]
    workspace.remember(f"{STUDY}-1", {"study": study, "artifacts": refs, "report": "report/0"})
    return workspace


def _publish(workspace: Workspace, unit: Unit, write: Callable[[Path], Any]) -> None:
    staged = workspace.store.staging(unit.artifact)
    write(staged)
    workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": STUDY})


def _write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _tokens(rows: int) -> pl.DataFrame:
    number = np.arange(rows)
    words = np.random.default_rng(0).zipf(1.3, rows) % WORDS
    sample = pl.Series(number // ROWS_A_SAMPLE).cast(pl.String)
    return pl.DataFrame(
        {
            "group": pl.repeat("en", rows, eager=True),
            "row": pl.Series(number, dtype=pl.UInt32),
            "sample_id": "s" + sample,
            "image_id": "i" + sample,
            "language": pl.repeat("en", rows, eager=True),
            "segment": pl.repeat("caption", rows, eager=True),
            "position": pl.Series(number % ROWS_A_SAMPLE, dtype=pl.UInt32),
            "token_id": pl.Series(words, dtype=pl.UInt32),
            "token": "word" + pl.Series(words).cast(pl.String),
            "char_start": pl.Series(number % ROWS_A_SAMPLE, dtype=pl.Int32),
            "char_end": pl.Series(number % ROWS_A_SAMPLE + 1, dtype=pl.Int32),
            "special": pl.repeat(False, rows, eager=True),
        }
    )


def _samples(folder: Path, tokens: pl.DataFrame) -> None:
    ids = tokens.select("sample_id", "image_id").unique(maintain_order=True)
    missing = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in ids.columns]
    ids.with_columns(missing).write_parquet(folder / "samples.parquet")
    _write_json(folder / "summary.json", {"languages": ["en"]})


def _shard(folder: Path, tokens: pl.DataFrame) -> None:
    tokens.write_parquet(folder / "tokens.parquet")
    _write_json(folder / "shard.json", {"site": "resid_post", "d_model": 8})


def _index(folder: Path, size: Size, seed: int, tables: dict[str, pl.DataFrame]) -> None:
    _arrays(folder, size, seed)
    for name, table in tables.items():
        table.write_parquet(folder / f"{name}.parquet")


def _tables(size: Size, tokens: pl.DataFrame) -> dict[str, pl.DataFrame]:
    kinds = RowKinds.of(tokens.with_columns(outlier=False), pl.repeat("other", size.rows, eager=True))
    generator = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        _arrays(Path(folder), size, 0)
        occurrences = Occurrences(
            *(map_array(Path(folder, f"csc_{name}.npy")) for name in ("indptr", "rows", "values"))
        )
        return {
            "features": feature_statistics(occurrences, kinds, 20),
            "positions": position_statistics(occurrences, kinds),
            "neighbours": _pairs(generator, size.features, "neighbour"),
            "coactivation": _pairs(generator, size.features, "partner"),
        }


def _arrays(folder: Path, size: Size, seed: int) -> None:
    generator = np.random.default_rng(seed)
    drawn = (size.features * generator.random((size.rows, size.active), dtype=np.float32) ** 3).astype(np.uint32)
    drawn[:, 0] = 0
    drawn.sort(axis=1)
    first = np.ones(drawn.shape, bool)
    first[:, 1:] = drawn[:, 1:] != drawn[:, :-1]  # no feature twice in a row
    counts = first.sum(axis=1)
    np.save(folder / "csr_indptr.npy", np.concatenate([[0], counts.cumsum()]).astype(np.uint64))
    np.save(folder / "csr_features.npy", drawn[first])
    np.save(folder / "csr_values.npy", generator.gamma(2, 2, int(counts.sum())).astype(np.float32) + 1e-3)
    transpose(folder, size.features, 1 << 16)


def _pairs(generator: np.random.Generator, features: int, other: str) -> pl.DataFrame:
    feature = np.repeat(np.arange(features, dtype=np.uint32), 10)
    partner = generator.integers(0, features, len(feature), dtype=np.uint32)
    rank = np.tile(np.arange(1, 11, dtype=np.uint32), features)
    drawn = generator.random(len(feature), np.float32)
    measures = {"cosine": drawn} if other == "neighbour" else {"jaccard": drawn, "both": partner, "pmi": drawn}
    return pl.DataFrame({"feature": feature, "rank": rank, other: partner, **measures})


def _associations(folder: Path, size: Size, seed: int) -> None:
    generator = np.random.default_rng(seed)
    parts = [
        pl.DataFrame(
            {
                "language": pl.repeat(language, size.features, eager=True),
                "position_set": pl.repeat(place, size.features, eager=True),
                "feature": pl.Series(range(size.features), dtype=pl.UInt32),
                "auroc": generator.random(size.features, np.float32),
                "p": generator.random(size.features),
                "q": generator.random(size.features),
            }
        )
        for language in ("en", "ar")
        for place in ("last-prompt", "first")
    ]
    pl.concat(parts).write_parquet(folder / "associations.parquet")
