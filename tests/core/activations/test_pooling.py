"""One row a segment of a caption instead of one a token."""

from pathlib import Path

import polars as pl
import pytest
import torch

from core.activations.capture import capture_shard
from core.lm.loaded import LoadedModel
from tests.core.activations.test_capture import SAMPLES, job_of, matrices_in
from tests.core.activations.test_capture import folder as folder
from tests.core.activations.test_capture import vlm as vlm

KEYS = ["group", "image_id", "sample_id", "language", "segment"]


def expected(how: str, rows: torch.Tensor) -> torch.Tensor:
    return {"last": rows[-1], "mean": rows.mean(0), "max": rows.amax(0)}[how]


@pytest.mark.parametrize("how", ["last", "mean", "max"])
@pytest.mark.parametrize("token_budget", [1, 4096])
def test_a_pooled_row_is_made_of_its_segments_tokens(
    how: str, token_budget: int, vlm: LoadedModel, folder: Path, tmp_path: Path
) -> None:
    capture_shard(vlm, job_of(folder), tmp_path / "tokens")
    summary = capture_shard(vlm, job_of(folder, pool=how, token_budget=token_budget), tmp_path / "pooled")
    tokens = pl.read_parquet(tmp_path / "tokens" / "tokens.parquet").filter(~pl.col("special"))
    pooled = pl.read_parquet(tmp_path / "pooled" / "tokens.parquet")
    assert not pooled.select(KEYS).is_duplicated().any()
    assert pooled.height == tokens.select(KEYS).unique().height == sum(summary.rows.values())
    for row in pooled.iter_rows(named=True):
        own = tokens.filter(pl.all_horizontal(pl.col(key).eq_missing(row[key]) for key in KEYS))
        for layer in range(4):
            name = f"layer_{layer}.{row['group']}.safetensors"
            parts = matrices_in(tmp_path / "tokens")[name][own["row"].to_list()].float()
            found = matrices_in(tmp_path / "pooled")[name][row["row"]].float()
            # Both are rounded to bfloat16, the parts before they are averaged here and the mean after it there.
            assert torch.allclose(found, expected(how, parts), rtol=2**-6, atol=2**-7 * float(parts.abs().max()))


def test_a_pooled_caption_is_shown_whole_and_no_control_token_is_in_it(
    vlm: LoadedModel, folder: Path, tmp_path: Path
) -> None:
    capture_shard(vlm, job_of(folder, pool="mean"), tmp_path)
    pooled = pl.read_parquet(tmp_path / "tokens.parquet")
    assert not pooled["special"].any()
    assert pooled["token_id"].is_null().all()
    captions = pooled.filter(segment="caption", language="en").sort("sample_id")
    assert captions["token"].to_list() == SAMPLES["caption_en"].drop_nulls().to_list()
    assert captions["char_end"].to_list() == captions["token"].str.len_chars().to_list()
    images = pooled.filter(segment="image")
    assert images["token"].unique().to_list() == ["[image]"]
    assert images["image_id"].to_list() == ["i0", "i1", "i2"], "an image that two captions share is one row"
