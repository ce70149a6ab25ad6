"""What an analysis found, read back from its artefact."""

from pathlib import Path

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
        headlines=tuple(summary["headlines"]),
        metrics=summary["metrics"],
        tables={path.stem: pl.read_parquet(path, glob=False) for path in sorted(folder.glob("*.parquet"))},
        shown=summary["shown"],
        notes=tuple(summary["notes"]),
        estimates=tuple(map(Estimate.from_json, summary.get("estimates", ()))),
    )
