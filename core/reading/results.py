"""What an analysis found, read back from its artefact."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl

from core.analysis.result import Result
from core.errors import BadInput
from core.stats.estimate import Estimate
from core.store.artifacts import read_json


def read_result(folder: Path) -> Result:
    """The `Result` that the analysis returned, from `summary.json` and the tables beside it.

    Raises:
        DamagedArtifact: the summary is missing or not JSON.
        BadInput: it was written by an earlier saeflow.
    """
    summary = _summary(folder)
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
        BadInput: it was written by an earlier saeflow.
    """
    return _estimates(_summary(folder))


def read_question(folder: Path) -> str:
    """The question that the analysis answered, in its concept's words; empty where none was written.

    Raises:
        DamagedArtifact: the summary is missing or not JSON.
        BadInput: it was written by an earlier saeflow.
    """
    return str(_summary(folder).get("question", ""))


def _summary(folder: Path) -> Mapping[str, Any]:
    path = folder / "summary.json"
    summary: Mapping[str, Any] = read_json(path)
    missing = [name for name in ("metrics", "shown", "notes", "estimates") if name not in summary]
    if missing:
        raise BadInput(f"{path}: has no {', '.join(missing)}: an earlier saeflow wrote it; run the study again")
    return summary


def _estimates(summary: Mapping[str, Any]) -> tuple[Estimate, ...]:
    return tuple(map(Estimate.from_json, summary["estimates"]))
