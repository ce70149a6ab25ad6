"""How well an autoencoder rebuilds the stream, and how its features are used."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl
import torch
from jaxtyping import Float, Int
from torch import Tensor

from core.sae.architectures import SparseAutoencoder, SparseCode
from core.sae.reading import StoredRows
from core.sae.rows import Rows

DENSE_RATE = 0.1
"""A feature that fires on more than this share of the rows is called dense."""
L0_ROWS = pl.Schema({"split": pl.String, "active": pl.UInt32, "rows": pl.UInt64})
"""One row per split (train, held_out) and number of active features that occurred: on how many rows it did."""
_BLOCK_ELEMENTS = 2**24


@dataclass(frozen=True)
class Evaluation:
    """Reconstruction over some rows.

    `fvu` = Σ‖x − x̂‖² / Σ‖x − x̄‖², fraction of variance unexplained; `explained_variance` = 1 − ΣVar(x − x̂) / ΣVar(x)
    over dimensions, which forgives a constant offset, so that it is 1 − fvu or a little more; both are NaN where the
    rows are identical; `mse` of an element, in
    the rows' own units squared; `cosine` between x and x̂, averaged over rows; `l0` features active a row, and
    `l0_rows` how many rows had 0, 1, 2 … of them; `firings` [F] rows each feature is active on.
    """

    rows: int
    fvu: float
    explained_variance: float
    mse: float
    cosine: float
    l0: float
    l0_rows: Int[Tensor, " n"]
    firings: Int[Tensor, " F"]

    def l0_quantile(self, share: float) -> float:
        """The number of active features that `share` of the rows do not exceed."""
        return float((self.l0_rows.cumsum(0) < share * self.rows).sum())


def unexplained_share(error: float, variance: float) -> float:
    """Squared error over the rows' variance: the fraction of variance unexplained, or, of an error whose mean is taken
    out, 1 − explained variance. NaN where nothing varies."""
    return error / variance if variance > 0 else float("nan")


def encode_blocks(
    sae: SparseAutoencoder, x: Float[Tensor, "T D"] | StoredRows
) -> Iterator[tuple[Float[Tensor, "t D"], SparseCode]]:
    """Rows and their codes, in blocks whose dense pre-activations stay below 64 MiB."""
    size = max(1, _BLOCK_ELEMENTS // sae.num_features)
    for start in range(0, len(x), size):
        rows = x[start : start + size].to(sae.b_dec.dtype)
        yield rows, sae.encode(rows)


@torch.no_grad()
def evaluate(
    sae: SparseAutoencoder, x: Float[Tensor, "T D"] | StoredRows, target: Float[Tensor, "T O"] | None = None
) -> Evaluation:
    """Measure the autoencoder on rows of the stream (a transcoder against its `target`), in one pass.

    Sums are taken about the first rows' mean, in float64: a stream's mean can be far larger than its spread.
    """
    wanted = x if target is None else target
    origin = wanted[:4096].double().mean(0)
    sums = torch.zeros(4, sae.d_out, dtype=torch.float64, device=x.device)  # y, y², r, r² with r = y − x̂
    cosine = torch.zeros((), dtype=torch.float64, device=x.device)
    firings = torch.zeros(sae.num_features, dtype=torch.int64, device=x.device)
    l0: list[Tensor] = []
    differ = torch.zeros((), dtype=torch.bool, device=x.device)  # of identical rows y2 − y1² is rounding
    done = 0
    for rows, code in encode_blocks(sae, x):
        y = rows if target is None else target[done : done + len(rows)].to(rows.dtype)
        done += len(rows)
        differ |= (y != wanted[:1].to(y.dtype)).any()
        rebuilt = sae.decode(code)
        shifted, residual = y.double() - origin, (y - rebuilt).double()
        sums += torch.stack([shifted.sum(0), shifted.square().sum(0), residual.sum(0), residual.square().sum(0)])
        cosine += torch.cosine_similarity(y, rebuilt, dim=1).double().sum()
        firings += torch.bincount(code.indices[code.values > 0], minlength=sae.num_features)
        l0.append((code.values > 0).sum(1))
    y1, y2, r1, r2 = sums / len(x)
    variance = float((y2 - y1.square()).sum()) if differ.item() else 0.0
    return Evaluation(
        rows=len(x),
        fvu=unexplained_share(float(r2.sum()), variance),
        explained_variance=1 - unexplained_share(float((r2 - r1.square()).sum()), variance),
        mse=float(r2.mean()),
        cosine=float(cosine) / len(x),
        l0=float(firings.sum()) / len(x),
        l0_rows=torch.bincount(torch.cat(l0)),
        firings=firings,
    )


@torch.no_grad()
def decoder_cosine_max(sae: SparseAutoencoder) -> Float[Tensor, " F"]:
    """Each feature's largest cosine with another feature's decoder row: near 1, two features say the same."""
    unit = torch.nn.functional.normalize(sae.W_dec, dim=1)
    found = []
    for start in range(0, len(unit), rows := max(1, _BLOCK_ELEMENTS // len(unit))):
        cosine = unit[start : start + rows] @ unit.T
        cosine.diagonal(start).fill_(-1.0)
        found.append(cosine.max(1).values)
    return torch.cat(found)


@dataclass(frozen=True)
class Quality:
    """The figures a finished run is compared by (those that are undefined left out), each feature's firing rate over
    the training rows [F], and on how many rows (training and held out) how many features fired."""

    metrics: dict[str, float]
    firing_rate: Float[Tensor, " F"]
    l0: pl.DataFrame


def final_metrics(sae: SparseAutoencoder, rows: Rows) -> Quality:
    """Measure a finished autoencoder.

    Dead: silent on every training row. Live: not dead. Held-out figures are left out when no row is held out; outliers
    are in no figure but `held_out_fvu_with_outliers`, which is left out when none is held out.
    """
    trained = evaluate(sae, rows.train, rows.train_target)
    rate = trained.firings / trained.rows
    live = trained.firings[trained.firings > 0]
    metrics = {
        **_reconstruction("train", trained),
        "dead_fraction": 1 - len(live) / sae.num_features,
        "dense_fraction": float((rate > DENSE_RATE).double().mean()),
        "rows_per_latent": trained.rows / sae.num_features,
        "median_firings_per_live_latent": float(live.double().median()) if len(live) else 0.0,
        "decoder_cosine_max": float(decoder_cosine_max(sae).median()),
        **{f"rows_{name}": float(count) for name, count in rows.counts.items()},
    }
    l0 = [_histogram("train", trained)]
    if len(rows.held_out):
        held_out = evaluate(sae, rows.held_out, rows.held_out_target)
        metrics |= _reconstruction("held_out", held_out)
        l0.append(_histogram("held_out", held_out))
    if rows.with_outliers is not None:
        metrics["held_out_fvu_with_outliers"] = evaluate(sae, rows.with_outliers).fvu
    defined = {name: value for name, value in metrics.items() if math.isfinite(value)}
    return Quality(defined, rate.float(), pl.concat(l0))


def _histogram(name: str, evaluation: Evaluation) -> pl.DataFrame:
    counts = evaluation.l0_rows.numpy(force=True)
    active = counts.nonzero()[0]
    columns = {"split": [name] * len(active), "active": active, "rows": counts[active]}
    return pl.DataFrame(columns, schema=L0_ROWS)


def _reconstruction(name: str, evaluation: Evaluation) -> dict[str, float]:
    return {
        f"{name}_fvu": evaluation.fvu,
        f"{name}_explained_variance": evaluation.explained_variance,
        f"{name}_mse": evaluation.mse,
        f"{name}_cosine": evaluation.cosine,
        f"{name}_l0": evaluation.l0,
        f"{name}_l0_low": evaluation.l0_quantile(0.05),
        f"{name}_l0_high": evaluation.l0_quantile(0.95),
        f"{name}_rows": float(evaluation.rows),
    }
