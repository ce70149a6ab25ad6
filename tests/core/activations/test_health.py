import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.activations.health import LayerHealth, NonFinite, examine_layer
from core.activations.table import LayerTable, Read


class _Table(LayerTable):
    """A table in memory."""

    def __init__(self, rows: torch.Tensor, **columns: list[object]) -> None:
        count = len(rows)
        tokens = pl.DataFrame(
            {
                "origin": range(count),
                "sample_id": columns.get("samples", ["s"] * count),
                "segment": columns.get("segments", ["caption"] * count),
                "special": columns.get("special", [False] * count),
            }
        )
        self.rows = rows
        super().__init__(7, tokens, [], Read("resid_post", rows.shape[1]))

    def block(self, start: int, stop: int) -> torch.Tensor:
        return self.rows[start:stop].float()


@pytest.fixture
def rows() -> torch.Tensor:
    return torch.randn(20_000, 6, generator=torch.Generator().manual_seed(0)) * 3 + 1


def test_dividing_by_the_scale_gives_a_mean_squared_norm_of_d(rows: torch.Tensor) -> None:
    health = examine_layer(_Table(rows), "fail")
    assert (rows / health.scale).square().sum(1).mean().item() == pytest.approx(6, rel=1e-5)
    assert torch.allclose(health.mean, rows.mean(0), atol=1e-5)
    assert health.norm_quantiles["0.5"] == pytest.approx(rows.norm(dim=1).median().item(), rel=1e-3)
    assert (health.rows, health.nonfinite_rows, health.kept) == (20_000, 0, None)


def test_special_rows_enter_no_statistic(rows: torch.Tensor) -> None:
    rows[100] = 1e6
    special = [index == 100 for index in range(len(rows))]
    health = examine_layer(_Table(rows, special=special), "fail")
    others = torch.cat([rows[:100], rows[101:]])
    assert health.rows == 20_000
    assert torch.allclose(health.mean, others.mean(0), atol=1e-5)
    assert health.norm_quantiles["1"] < 100


def test_the_share_of_the_largest_rows_is_told(rows: torch.Tensor) -> None:
    squared = rows.square().sum(1).sort(descending=True).values
    assert examine_layer(_Table(rows), "fail").top_share == pytest.approx(
        (squared[:20].sum() / squared.sum()).item(), rel=1e-4
    )


def test_norms_are_told_by_segment(rows: torch.Tensor) -> None:
    segments = ["image"] * 500 + ["caption"] * 19_500
    rows[:500] *= 10
    health = examine_layer(_Table(rows, segments=segments), "fail")
    assert health.mean_norm["image"] == pytest.approx(rows[:500].norm(dim=1).mean().item(), rel=1e-5)
    assert sorted(health.mean_norm) == ["caption", "image"]


@pytest.mark.parametrize("policy", ["fail", "recompute"])
def test_nan_fails_naming_layer_and_samples(rows: torch.Tensor, policy: str) -> None:
    rows[3, 2] = float("nan")
    samples = ["bad" if index == 3 else "good" for index in range(len(rows))]
    table = _Table(rows, samples=samples)
    table.compute_dtype, table.nonfinite_from = "bfloat16", 4
    too = {"fail": "", "recompute": ", and in float32 too"}[policy]
    told = f"layer 7: 1 rows hold NaN or Inf, computed in bfloat16, where they start at layer 4{too} (samples bad); set"
    with pytest.raises(NonFinite, match=re.escape(told)):
        examine_layer(table, policy)


def test_dropped_rows_are_counted_named_and_left_out(rows: torch.Tensor, tmp_path: Path) -> None:
    rows[3, 2] = float("nan")
    rows[19_999] = float("-inf")
    samples = [f"s{index}" for index in range(len(rows))]
    health = examine_layer(_Table(rows, samples=samples), "drop")
    assert (health.rows, health.nonfinite_rows, health.samples) == (19_998, 2, ("s19999", "s3"))
    clean = rows[rows.isfinite().all(1)]
    assert torch.allclose(health.mean, clean.mean(0), atol=1e-5)
    health.save(tmp_path)
    assert pl.read_parquet(tmp_path / "keep.parquet")["origin"].to_list() == [*range(3), *range(4, 19_999)]


def test_a_layer_without_a_usable_row_fails() -> None:
    with pytest.raises(NonFinite, match="layer 7: no row is left"):
        examine_layer(_Table(torch.full((4, 6), float("nan"))), "drop")


def test_health_survives_its_files(rows: torch.Tensor, tmp_path: Path) -> None:
    rows[5] = float("nan")
    health = examine_layer(_Table(rows), "drop")
    health.save(tmp_path)
    read = LayerHealth.load(tmp_path)
    assert torch.equal(read.mean, health.mean)
    assert np.array_equal(read.kept, health.kept)
    assert {**vars(read), "mean": 0, "kept": 0} == {**vars(health), "mean": 0, "kept": 0}
