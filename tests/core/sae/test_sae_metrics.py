"""Reconstruction figures against scikit-learn's."""

import math

import polars as pl
import pytest
import torch
from sklearn.metrics import explained_variance_score, r2_score

from core.sae.metrics import evaluate, final_metrics
from core.sae.rows import Rows
from tests.core.sae.dictionary import random_sae


def test_figures_equal_scikit_learns() -> None:
    sae = random_sae()
    x = torch.randn(300, 12, generator=torch.Generator().manual_seed(1)) + 50  # a mean far larger than the spread
    found = evaluate(sae, x)
    rebuilt = sae(x)
    weighting = {"multioutput": "variance_weighted"}
    assert found.fvu == pytest.approx(1 - r2_score(x.double(), rebuilt.double(), **weighting), rel=1e-5)
    explained = explained_variance_score(x.double(), rebuilt.double(), **weighting)
    assert found.explained_variance == pytest.approx(explained, rel=1e-4, abs=1e-4)
    assert found.cosine == pytest.approx(float(torch.cosine_similarity(x, rebuilt).mean()), rel=1e-6)


def test_identical_rows_have_no_share_of_variance() -> None:
    """Neither 0 nor 1, however well they are rebuilt; such figures are left out of those that runs are compared by."""
    sae = random_sae()
    row = torch.randn(1, 12, generator=torch.Generator().manual_seed(4)) + 50
    same = row.expand(70, 12).clone()
    found = evaluate(sae, same)
    assert math.isnan(found.fvu) and math.isnan(found.explained_variance) and found.mse > 0
    one_differs = torch.cat([same, row + 1e-3])
    assert math.isfinite(evaluate(sae, one_differs).fvu)
    metrics = final_metrics(sae, Rows(same, one_differs, {"train": 70})).metrics
    assert "train_fvu" not in metrics and "held_out_fvu" in metrics


def test_firings_count_positive_activations() -> None:
    sae = random_sae()
    x = torch.randn(200, 12, generator=torch.Generator().manual_seed(2))
    before = (x - sae.b_dec) @ sae.W_enc + sae.b_enc
    top = before.topk(sae.k)
    dense = torch.zeros_like(before).scatter(1, top.indices, top.values.relu())
    found = evaluate(sae, x)
    assert torch.equal(found.firings, (dense > 0).sum(0))
    assert found.l0 == pytest.approx(float((dense > 0).sum()) / 200)


@pytest.mark.parametrize("value", [0.0, 0.1, -3e4])
def test_identical_rows_have_no_share_of_variance_whatever_their_value(value: float) -> None:
    sae = random_sae()
    found = evaluate(sae, torch.full((5000, 12), value))
    assert math.isnan(found.fvu) and math.isnan(found.explained_variance)
    assert math.isfinite(found.mse) and found.rows == 5000
    nearly = torch.full((5000, 12), value)
    nearly[7] += 0.01
    assert math.isfinite(evaluate(sae, nearly).fvu)


def test_blocks_do_not_change_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    sae = random_sae()
    x = torch.randn(257, 12, generator=torch.Generator().manual_seed(3))
    whole = evaluate(sae, x)
    monkeypatch.setattr("core.sae.metrics._BLOCK_ELEMENTS", 40 * 16)
    blocks = evaluate(sae, x)
    assert blocks.fvu == pytest.approx(whole.fvu, rel=1e-6)
    assert torch.equal(blocks.firings, whole.firings)


def test_dead_and_dense_features_are_told() -> None:
    sae = random_sae(d_model=12, num_features=40, k=5)
    sae.b_enc[:30] = -1e3  # never among the top, nor positive
    sae.b_enc[30] = 1e3
    x = torch.randn(100, 12, generator=torch.Generator().manual_seed(4))
    quality = final_metrics(sae, Rows(x, x[:50], {"image": 100}))
    metrics, rate = quality.metrics, quality.firing_rate
    assert metrics["dead_fraction"] == 0.75
    assert rate[30] == 1
    assert metrics["dense_fraction"] >= 1 / 40
    assert metrics["rows_per_latent"] == 2.5
    assert metrics["rows_image"] == 100
    assert metrics["median_firings_per_live_latent"] == float(((rate[30:] * 100).round()).median())
    assert quality.l0.group_by("split", maintain_order=True).agg(pl.col("rows").sum()).rows() == [
        ("train", 100),
        ("held_out", 50),
    ]
    assert (quality.l0["active"] * quality.l0["rows"]).sum() == round(
        100 * metrics["train_l0"] + 50 * metrics["held_out_l0"]
    )
