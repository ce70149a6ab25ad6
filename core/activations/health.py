"""A layer's rows counted and measured before anything is trained on them."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
import torch
from jaxtyping import Bool, Float
from safetensors.torch import load_file, save
from torch import Tensor

from core.activations.finite import finite_rows
from core.activations.table import KEEP, LayerTable
from core.errors import BadInput
from core.progress import Progress, silent

Policy = Literal["fail", "drop", "recompute"]
QUANTILES = (0.0, 0.01, 0.25, 0.5, 0.75, 0.99, 1.0)
_BLOCK = 8192
_NAMED = 5


class NonFinite(BadInput):
    """Rows hold NaN or Inf, and the study says to fail on them."""


@dataclass(frozen=True)
class LayerHealth:
    """One layer's rows: how many, how large, and which ones were dropped.

    Counts are of all rows; norms, `mean` [D], `scale` and `top_share` leave special rows out. Dividing by `scale` =
    sqrt(mean squared norm / D) gives rows a mean squared norm of D. `top_share` is the share of the total squared
    norm that the largest 0.1 % of rows hold; `samples` are those with a NaN or Inf row.
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
    mean: Float[Tensor, " D"]
    kept: np.ndarray | None

    def save(self, folder: Path) -> None:
        """Write `health.json`, `mean.safetensors` and, where rows were dropped, `keep.parquet` (`origin`)."""
        folder.mkdir(parents=True, exist_ok=True)
        plain = {name: value for name, value in vars(self).items() if name not in ("mean", "kept")}
        text = json.dumps(plain, indent=1, sort_keys=True, ensure_ascii=False)
        (folder / "health.json").write_text(text + "\n", encoding="utf-8")
        (folder / "mean.safetensors").write_bytes(save({"mean": self.mean}))
        if self.kept is not None:
            pl.DataFrame({"origin": self.kept.astype(np.uint32)}).write_parquet(folder / KEEP)

    @classmethod
    def load(cls, folder: Path) -> "LayerHealth":
        """What `save` wrote."""
        plain: dict[str, Any] = json.loads((folder / "health.json").read_text(encoding="utf-8"))
        mean = load_file(folder / "mean.safetensors")["mean"]
        keep = folder / KEEP
        kept = pl.read_parquet(keep, glob=False)["origin"].to_numpy() if keep.is_file() else None
        return cls(**{**plain, "samples": tuple(plain["samples"])}, mean=mean, kept=kept)


def examine_layer(table: LayerTable, policy: Policy, progress: Progress = silent) -> LayerHealth:
    """Count and measure the rows of a layer, all of them: open the table without `keep`.

    `drop` leaves rows with NaN or Inf out. Under `recompute` capture has already tried float32, so that what is left
    fails as under `fail`.

    Raises:
        NonFinite: rows hold NaN or Inf and the policy is not `drop`; or no usable row is left.
    """
    finite = np.ones(len(table), dtype=bool)
    squared = np.zeros(len(table))
    total = torch.zeros(table.d_model, dtype=torch.float64)
    special = table.tokens["special"].to_numpy()
    for start, block, usable in _blocks(table):
        stop = start + len(block)
        finite[start:stop] = usable.numpy()
        block = torch.where(usable[:, None], block.double(), 0.0)
        squared[start:stop] = block.square().sum(dim=1).numpy()
        total += block[torch.from_numpy(~special[start:stop])].sum(dim=0)
        progress(stop, len(table))
    samples = _offenders(table, finite, policy)
    counted = finite & ~special
    if not counted.any():
        raise NonFinite(f"layer {table.layer}: no row is left to measure; see the drops of the shards")
    norms = np.sqrt(squared[counted])
    segments = table.tokens["segment"].filter(pl.Series(counted))
    return LayerHealth(
        layer=table.layer,
        policy=policy,
        rows=int(finite.sum()),
        nonfinite_rows=int((~finite).sum()),
        samples=samples,
        mean_norm=_mean_by(segments, norms),
        norm_quantiles={f"{level:g}": float(np.quantile(norms, level)) for level in QUANTILES},
        scale=float(np.sqrt(squared[counted].mean() / table.d_model)),
        top_share=_top_share(squared[counted]),
        mean=(total / int(counted.sum())).float(),
        kept=None if finite.all() else table.tokens["origin"].to_numpy()[finite],
    )


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


def _top_share(squared: np.ndarray) -> float:
    """Share of the sum that the largest 0.1 % (at least one) hold."""
    count = max(1, round(len(squared) / 1000))
    whole = float(squared.sum())
    return float(np.partition(squared, -count)[-count:].sum()) / whole if whole else 0.0
