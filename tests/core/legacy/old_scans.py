"""A concept scan as older scripts left it: one dense npz per SAE, all members in one `np.savez_compressed`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from tests.core.concepts.scan_world import Captured


def old_members(captured: Captured, dense: np.ndarray, sentences: Sequence[str] | None = None) -> dict[str, Any]:
    """The members, of these sentences (by id) alone where they are named."""
    texts = dict(captured.sentences.select("sentence_id", "sentence").iter_rows())
    kept = captured.fragments.rows.with_row_index("row")
    kept = kept.filter(pl.col("sentence_id").is_in(list(sentences if sentences is not None else texts)))
    numbers = {name: number for number, name in enumerate(texts)}
    fragments = [text.strip() for text in kept["fragment"]]
    return {
        "activations": dense[kept["row"].to_numpy()].astype(np.float32),
        "fragments": np.array(fragments),
        "original_sentences": np.array([texts[name] for name in kept["sentence_id"]]),
        "concept_strength_labels": np.array([numbers[name] % 4 for name in kept["sentence_id"]]),
        "sentence_indices": np.array([numbers[name] for name in kept["sentence_id"]]),
        "token_positions": kept["token_index"].to_numpy(),
        "is_final_token": kept["is_full"].to_numpy(),
        "fragment_lengths": np.array([len(text.split()) for text in fragments]),
        "layer": 1,
        "average_l0": 9.0,
        "num_features": dense.shape[1],
    }


def write_old(folder: Path, l0: int, members: dict[str, Any]) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / f"layer_1_l0_{l0}_activations.npz"
    np.savez_compressed(path, **members | {"average_l0": float(l0)})
    return path


def write_progress(folder: Path, last: int) -> None:
    (folder / "batch_progress.json").write_text(json.dumps({"last_completed": last}))
