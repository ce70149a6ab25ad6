"""A layer's rows counted and measured before anything is trained on them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from safetensors.torch import save
from torch import Tensor

from core.activations.finite import finite_rows
from core.activations.outliers import HEALTH, OUTLIERS, Outliers, find_outliers
from core.activations.table import LayerTable
from core.activations.tokens import KEEP
from core.errors import BadInput
from core.progress import Progress, silent

Policy = Literal["fail", "drop", "recompute"]
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
TOP_SHARE = 100
"""How many times their equal share the largest 0.1 % of rows may hold of the squared norm, which is a tenth of it: then
an SAE that rebuilds them alone explains about as much. Beyond that a layer is warned of."""
_BLOCK = 8192
_NAMED = 5


class NonFinite(BadInput):
    """Rows hold NaN or Inf, and the study says to fail on them."""


@dataclass(frozen=True)
class LayerHealth:
    """One layer's rows: how many, how large, and which ones were dropped or are outliers.

    Counts are of all rows; norms, `mean` [D], `scale`, `top_share` and `gamma` leave special rows and outliers out.
    Dividing by `scale` = sqrt(mean squared norm / D) gives rows a mean squared norm of D. `top_share` is the share of
    the total squared norm that the largest 0.1 % of rows hold; `samples` are those with a NaN or Inf row. `gamma` =
    ‖μ‖ / ‖σ‖ with μ [D] the mean row, σ [D] each dimension's standard deviation, both norms Euclidean: the outlier
    severity of Simon, Adams & Zou 2026 (arXiv 2605.31518); null where all rows are equal.
    """

    layer: int
    policy: Policy
    rows: int
    nonfinite_rows: int
    samples: tuple[str, ...]
    mean_norm: dict[str, float]
    norm_quantiles: dict[str, float]
    scale: float
    top_share: float
    gamma: float | None
    warnings: tuple[str, ...]
    mean: Float[Tensor, " D"]
    kept: np.ndarray | None
    outliers: Outliers

    def save(self, folder: Path) -> None:
        """Write `health.json`, `mean.safetensors`, `outliers.parquet` and, where rows were dropped, `keep.parquet`
        (`origin`)."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {name: value for name, value in vars(self).items() if name not in ("mean", "kept", "outliers")}
        plain["outliers"] = self.outliers.summary()
        text = json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
        (folder / HEALTH).write_text(text + "\n", encoding="utf-8")
        (folder / "mean.safetensors").write_bytes(save({"mean": self.mean}))
        self.outliers.table.write_parquet(folder / OUTLIERS, statistics=False)
        if self.kept is not None:
            pl.DataFrame({"origin": self.kept.astype(np.uint32)}).write_parquet(folder / KEEP)


def examine_layer(
    table: LayerTable, policy: Policy, max_norm_multiple: float | None = None, progress: Progress = silent
) -> LayerHealth:
    """Count and measure the rows of a layer, all of them: open the table without `keep`.

    `drop` leaves rows with NaN or Inf out. Under `recompute` capture has already tried float32, so that what is left
    fails as under `fail`. Rows beyond `max_norm_multiple` times the median norm are outliers; null makes none.

    Raises:
        NonFinite: rows hold NaN or Inf and the policy is not `drop`; or no usable row is left.
    """
    special = table.tokens["special"].to_numpy()
    finite, squared, total = _sums(table, ~special, progress)
    samples = _offenders(table, finite, policy)
    ordinary = finite & ~special
    if not ordinary.any():
        raise NonFinite(f"layer {table.layer}: no row is left to measure; see the drops of the shards")
    outliers = find_outliers(table.tokens, np.sqrt(squared), ordinary, max_norm_multiple)
    origin = table.tokens["origin"].to_numpy()
    counted = ordinary & ~np.isin(origin, outliers.table["origin"].to_numpy())
    norms = np.sqrt(squared[counted])
    top_share = _top_share(squared[counted])
    if outliers.table.height:
        _, _, total = _sums(table, counted, silent)
    mean = total / len(norms)
    return LayerHealth(
        layer=table.layer,
        policy=policy,
        rows=int(finite.sum()),
        nonfinite_rows=int((~finite).sum()),
        samples=samples,
        mean_norm=_mean_by(table.tokens["segment"].filter(pl.Series(counted)), norms),
        norm_quantiles={f"{level:g}": float(np.quantile(norms, level)) for level in QUANTILES},
        scale=float(np.sqrt(squared[counted].mean() / table.d_model)),
        top_share=top_share,
        gamma=_gamma(mean, float(squared[counted].mean())),
        warnings=(*outliers.warnings(table.layer), *_few_hold_much(table.layer, top_share, len(norms))),
        mean=mean.float(),
        kept=None if finite.all() else origin[finite],
        outliers=outliers,
    )


def _sums(
    table: LayerTable, counted: Bool[np.ndarray, " T"], progress: Progress
) -> tuple[Bool[np.ndarray, " T"], Float[np.ndarray, " T"], Float[Tensor, " D"]]:
    """Which rows are finite, each one's squared norm (0 where it is not), and the sum of those counted, in float64."""
    finite, squared = np.ones(len(table), dtype=bool), np.zeros(len(table))
    total = torch.zeros(table.d_model, dtype=torch.float64)
    for start, block, usable in _blocks(table):
        stop = start + len(block)
        finite[start:stop] = usable.numpy()
        block = torch.where(usable[:, None], block.double(), 0.0)
        squared[start:stop] = block.square().sum(dim=1).numpy()
        total += block[torch.from_numpy(counted[start:stop])].sum(dim=0)
        progress(stop, len(table))
    return finite, squared, total


def _gamma(mean: Float[Tensor, " D"], mean_square: float) -> float | None:
    """‖μ‖ / ‖σ‖, by ‖σ‖² = E‖x‖² − ‖μ‖² in float64: exact to nine digits up to γ = 1000, null beyond a million."""
    squared = float(mean.square().sum())
    spread = mean_square - squared
    return (squared / spread) ** 0.5 if spread > 1e-12 * mean_square else None


def _few_hold_much(layer: int, top_share: float, rows: int) -> tuple[str, ...]:
    equal = _top_count(rows) / rows
    if top_share < TOP_SHARE * equal:
        return ()
    words = f"layer {layer}: the largest {equal:.1%} of its rows hold {top_share:.1%} of the squared norm"
    return (f"{words}, so that FVU mostly measures these; a lower capture.max_norm_multiple leaves them out",)


def _blocks(table: LayerTable) -> Iterator[tuple[int, Tensor, Bool[Tensor, " n"]]]:
    for start in range(0, len(table), _BLOCK):
        block = table.block(start, start + _BLOCK)
        yield start, block, finite_rows(block)


def _offenders(table: LayerTable, finite: np.ndarray, policy: Policy) -> tuple[str, ...]:
    if finite.all():
        return ()
    wrong = table.tokens.filter(pl.Series(~finite))
    samples = tuple(wrong["sample_id"].unique().sort())
    if policy == "drop":
        return samples
    named = ", ".join(samples[:_NAMED]) + (" …" if len(samples) > _NAMED else "")
    mend = "set capture.nonfinite: drop" if policy == "recompute" else "set capture.nonfinite to drop or recompute"
    first = table.layer if table.nonfinite_from is None else table.nonfinite_from
    where = f"computed in {table.compute_dtype}, where they start at layer {first}"
    where += ", and in float32 too" if policy == "recompute" else ""
    raise NonFinite(f"layer {table.layer}: {len(wrong)} rows hold NaN or Inf, {where} (samples {named}); {mend}")


def _mean_by(segments: pl.Series, norms: np.ndarray) -> dict[str, float]:
    names = segments.to_numpy()
    return {str(segment): float(norms[names == segment].mean()) for segment in sorted(segments.unique())}


def _top_count(rows: int) -> int:
    """0.1 % of the rows, and at least one."""
    return max(1, round(rows / 1000))


def _top_share(squared: np.ndarray) -> float:
    """Share of the sum that the largest 0.1 % (at least one) hold."""
    count = _top_count(len(squared))
    whole = float(squared.sum())
    return float(np.partition(squared, -count)[-count:].sum()) / whole if whole else 0.0
