"""What every analysis returns."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import polars as pl

from core.stats.estimate import Estimate


@dataclass(frozen=True)
class Result:
    """What an analysis found.

    `estimates` are its findings, which the report puts into words and MLflow into headline metrics; `metrics` are
    further flat numbers for MLflow; `tables` are written as Parquet; `shown` names the tables the report prints, with
    their headings; `notes` say what was left out and why.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, pl.DataFrame] = field(default_factory=dict)
    shown: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    estimates: tuple[Estimate, ...] = ()
