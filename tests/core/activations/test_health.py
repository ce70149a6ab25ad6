import json
import re
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from core.activations.health import NonFinite, examine_layer
from core.activations.table import LayerTable, Read


class _Table(LayerTable):
    """A table in memory."""

    def __init__(self, rows: torch.Tensor, **columns: list[object]) -> None:
        count = len(rows)
        tokens = pl.DataFrame(
            {
                "origin": range(count),
                "sample_id": columns.get("samples", ["s"] * count),
                "language": columns.get("languages", ["en"] * count),
                "segment": columns.get("segments", ["caption"] * count),
                "position": range(count),
                "token": [f"t{index}" for index in range(count)],
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


def test_outliers_are_left_out_of_every_figure_and_named(rows: torch.Tensor, tmp_path: Path) -> None:
    rows[[7, 500]] *= 300
    rows[900] *= 1e30
    special = [index == 4 for index in range(len(rows))]
    rows[4] = 1e9  # a control token is none of them
    segments = ["image" if index == 7 else "caption" for index in range(len(rows))]
    languages = [None if index == 7 else "ar" for index in range(len(rows))]
    health = examine_layer(_Table(rows, special=special, segments=segments, languages=languages), "fail", 10)
    ordinary = np.delete(rows.double().numpy(), 4, axis=0)
    norms = np.linalg.norm(ordinary, axis=1)
    left = ordinary[norms <= 10 * np.median(norms)]
    assert len(left) == len(ordinary) - 3
    assert np.allclose(health.mean, left.mean(0), atol=1e-5)
    assert health.scale == pytest.approx(np.sqrt(np.square(left).sum(1).mean() / 6))
    assert health.gamma == pytest.approx(np.linalg.norm(left.mean(0)) / np.linalg.norm(left.std(0)))
    assert health.norm_quantiles["1"] == pytest.approx(np.linalg.norm(left, axis=1).max())
    assert health.outliers.counts() == {"caption_ar": 2, "image": 1}
    assert health.outliers.limit == pytest.approx(10 * np.median(norms))
    assert health.outliers.named()[0].startswith("s caption ar 900 't900' (")
    assert "3 of 19,999 rows exceed 10 times the median norm" in str(health.outliers.words(7))
    assert health.warnings == ()
    health.save(tmp_path)
    assert pl.read_parquet(tmp_path / "outliers.parquet")["origin"].to_list() == [7, 500, 900]


def test_gamma_is_exact_where_the_mean_is_far_larger_than_the_spread(rows: torch.Tensor) -> None:
    far = rows + 3000
    exact = far.double().numpy()
    found = examine_layer(_Table(far), "fail", 10).gamma
    assert found == pytest.approx(np.linalg.norm(exact.mean(0)) / np.linalg.norm(exact.std(0)), rel=1e-9)
    assert found == pytest.approx(1000, rel=0.01)


def test_without_a_limit_few_rows_that_hold_much_are_warned_of(rows: torch.Tensor) -> None:
    rows[:3] *= 300
    health = examine_layer(_Table(rows), "fail")
    assert (health.outliers.limit, health.outliers.table.height, health.outliers.words(7)) == (None, 0, None)
    (warning,) = health.warnings
    assert re.match(r"layer 7: the largest 0\.1% of its rows hold \d\d\.\d% of the squared norm", warning)


def test_a_layer_in_which_many_rows_are_beyond_the_limit_is_warned_of(rows: torch.Tensor) -> None:
    rows[:400] *= 300
    (warning,) = examine_layer(_Table(rows), "fail", 10).warnings
    assert warning.startswith("layer 7: 2.0% of the rows exceed capture.max_norm_multiple 10; so many are the layer's")


def test_where_the_median_norm_is_zero_no_row_is_an_outlier() -> None:
    rows = torch.zeros(9, 6)
    rows[0] = 5
    health = examine_layer(_Table(rows), "fail", 10)
    assert (health.outliers.limit, health.outliers.table.height) == (None, 0)
    assert health.warnings == (
        "layer 7: the median norm is 0 (half of the rows are all zeros), so that capture.max_norm_multiple is not "
        "applied",
    )


@pytest.mark.parametrize(("count", "multiple"), [(1, 10), (2, 1.0001), (50, 1e308)])
def test_equal_rows_have_no_outlier_and_no_gamma(count: int, multiple: float, tmp_path: Path) -> None:
    health = examine_layer(_Table(torch.full((count, 6), 2.0)), "fail", multiple)
    assert (health.gamma, health.warnings, health.outliers.table.height) == (None, (), 0)
    health.save(tmp_path)
    assert json.loads((tmp_path / "health.json").read_text())["gamma"] is None
