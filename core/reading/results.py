"""What an analysis found, read back from its artefact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.analysis.result import Result
from core.stats.estimate import Estimate
from core.store.artifacts import read_json


def read_result(folder: Path) -> Result:
    """The `Result` that the analysis returned, from `summary.json` and the tables beside it.

    Raises:
        DamagedArtifact: the summary is missing or not JSON.
    """
    summary = read_json(folder / "summary.json")
    return Result(
        metrics=summary["metrics"],
        tables={path.stem: pl.read_parquet(path, glob=False) for path in sorted(folder.glob("*.parquet"))},
        shown=summary["shown"],
        notes=tuple(summary["notes"]),
        estimates=_estimates(summary),
    )


def read_estimates(folder: Path) -> tuple[Estimate, ...]:
    """The estimates of an analysis, without its tables.

    Raises:
        DamagedArtifact: the summary is missing or not JSON.
    """
    return _estimates(read_json(folder / "summary.json"))


def _estimates(summary: Mapping[str, Any]) -> tuple[Estimate, ...]:
    return tuple(map(Estimate.from_json, summary["estimates"]))
