"""What every analysis takes and gives."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from core.progress import Progress, silent

if TYPE_CHECKING:
    from core.activations.table import LayerTable
    from core.features.index import FeatureIndex
    from core.lm.loaded import LoadedModel
    from core.sae.architectures import SparseAutoencoder


@dataclass(frozen=True)
class LayerInputs:
    """One layer: its rows, its SAE and its feature index, rows and features aligned."""

    layer: int
    table: "LayerTable"
    sae: "SparseAutoencoder"
    index: "FeatureIndex"


@dataclass(frozen=True)
class AnalysisInputs:
    """What the analyses read; layers and the model are opened when asked for.

    `images` is the folder that the `image` column of `samples` is relative to, null for a study of text only;
    `truth` is what was planted, where it is known.
    """

    samples: pl.DataFrame
    images: Path | None
    truth: Mapping[str, Any] | None
    layers: tuple[int, ...]
    languages: tuple[str, ...]
    open_layer: Callable[[int], LayerInputs]
    open_model: Callable[[], "LoadedModel"]
    instructions: Mapping[str, str]
    seed: int = 0
    progress: Progress = silent


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    `headlines` are one-sentence findings, each with its control and interval; `metrics` are flat numbers for MLflow;
    `tables` are written as Parquet; `shown` names the tables the report prints, with their headings; `notes` say what
    was left out and why.
    """

    headlines: tuple[str, ...]
    metrics: Mapping[str, float]
    tables: Mapping[str, pl.DataFrame]
    shown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
