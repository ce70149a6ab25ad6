import math
import os
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import save_file

from core.activations import table as table_module
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.errors import BadInput

WIDTH = 5


def write_shard(folder: Path, counts: dict[str, int], first: float, layer: int = 3) -> Path:
    """A shard whose rows are numbered from `first` on, in the order shared, en, ar."""
    folder.mkdir()
    records = []
    number = first
    for group, count in counts.items():
        for row in range(count):
            values = (group, row, "s", "i", None if group == "shared" else group, "caption", row, 0, "t", 0, 1, False)
            records.append(dict(zip(TOKENS, values)))
        if count:
            rows = torch.arange(number, number + count)[:, None].expand(count, WIDTH).to(torch.bfloat16).contiguous()
            save_file({"activation": rows}, folder / f"layer_{layer}.{group}.safetensors")
        number += count
    pl.DataFrame(records, schema=TOKENS).write_parquet(folder / "tokens.parquet")
    (folder / "shard.json").write_text(f'{{"site": "resid_post", "d_model": {WIDTH}}}')
    return folder


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("shards")
    return [
        write_shard(folder / "0", {"shared": 4, "en": 3, "ar": 2}, 0),
        write_shard(folder / "1", {"shared": 0, "en": 0, "ar": 0}, 9),
        write_shard(folder / "2", {"shared": 0, "en": 5, "ar": 6}, 9),
    ]


def test_rows_stand_in_order_of_shards_and_groups(shards: list[Path]) -> None:
    table = LayerTable.open(shards, 3)
    assert len(table) == 20
    assert table.d_model == WIDTH
    assert table.block(0, 20)[:, 0].tolist() == list(range(20))
    assert table.tokens["index"].to_list() == table.tokens["origin"].to_list() == list(range(20))
    assert table.tokens["group"].to_list() == ["shared"] * 4 + ["en"] * 3 + ["ar"] * 2 + ["en"] * 5 + ["ar"] * 6
    assert table.tokens["shard"].to_list() == [0] * 9 + [2] * 11


@settings(max_examples=30, deadline=None)
@given(rows=st.lists(st.integers(0, 19)))
def test_rows_are_read_in_the_order_asked(shards: list[Path], rows: list[int]) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(table_module, "_PORTION", 3)
        read = LayerTable.open(shards, 3).read(np.array(rows, dtype=np.int64))
    assert read.dtype == torch.float32
    assert read.shape == (len(rows), WIDTH)
    assert read[:, 2].tolist() == rows


@settings(max_examples=30, deadline=None)
@given(start=st.integers(0, 20), stop=st.integers(0, 25))
def test_blocks_equal_rows(shards: list[Path], start: int, stop: int) -> None:
    assert LayerTable.open(shards, 3).block(start, stop)[:, 0].tolist() == list(range(20))[start:stop]


def test_dropped_rows_are_gone_and_the_others_keep_their_origin(shards: list[Path], tmp_path: Path) -> None:
    assert len(LayerTable.open(shards, 3, tmp_path)) == 20, "a layer that dropped nothing has no keep.parquet"
    kept = [0, 1, 5, 8, 9, 19]
    pl.DataFrame({"origin": kept}, schema={"origin": pl.UInt32}).write_parquet(tmp_path / "keep.parquet")
    table = LayerTable.open(shards, 3, tmp_path)
    assert table.tokens["index"].to_list() == list(range(6))
    assert table.tokens["origin"].to_list() == kept
    assert table.block(0, 6)[:, 0].tolist() == kept
    assert table.block(3, 5)[:, 0].tolist() == [8, 9]
    assert table.read(np.array([5, 0]))[:, 0].tolist() == [19, 0]


def test_outliers_are_marked_special_and_the_limit_is_known(shards: list[Path], tmp_path: Path) -> None:
    kept = [0, 1, 5, 8, 9, 19]
    pl.DataFrame({"origin": kept}, schema={"origin": pl.UInt32}).write_parquet(tmp_path / "keep.parquet")
    pl.DataFrame({"origin": [5, 19]}, schema={"origin": pl.UInt32}).write_parquet(tmp_path / "outliers.parquet")
    (tmp_path / "health.json").write_text('{"outliers": {"limit": 12.5}}')
    table = LayerTable.open(shards, 3, tmp_path)
    assert table.tokens["origin"].filter(table.tokens["outlier"]).to_list() == [5, 19]
    assert table.tokens["special"].equals(table.tokens["outlier"])
    assert (table.norm_limit, len(table)) == (12.5, 6)
    unmarked = LayerTable.open(shards, 3)
    assert (unmarked.norm_limit, unmarked.tokens["outlier"].any()) == (math.inf, False)


def test_open_tables_hold_no_files_open(shards: list[Path]) -> None:
    descriptors = Path(f"/proc/{os.getpid()}/fd")
    if not descriptors.is_dir():
        pytest.skip("needs /proc")
    before = len(list(descriptors.iterdir()))
    tables = [LayerTable.open(shards, 3) for _ in range(20)]
    assert len(list(descriptors.iterdir())) <= before
    assert len(tables) == 20


def test_what_was_not_captured_is_told(shards: list[Path]) -> None:
    with pytest.raises(BadInput, match="0: layer 4 was not captured"):
        LayerTable.open(shards, 4)


@pytest.mark.parametrize("damage", ["cut", "text", "shape"])
def test_damaged_files_are_told(tmp_path: Path, damage: str) -> None:
    shard = write_shard(tmp_path / "shard", {"shared": 4, "en": 3, "ar": 2}, 0)
    path = shard / "layer_3.en.safetensors"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    elif damage == "text":
        path.write_text("hello, this is no tensor file")
    else:
        save_file({"activation": torch.zeros(2, WIDTH, dtype=torch.bfloat16)}, path)
    with pytest.raises(BadInput, match=r"layer_3\.en\.safetensors"):
        LayerTable.open([shard], 3)
