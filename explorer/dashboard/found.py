"""What a study's analyses found, as pages show it: read once per artefact, and missing or damaged without harm."""

from functools import lru_cache
from typing import NamedTuple

import polars as pl

from core.analysis.result import Result
from core.errors import BadInput
from core.reading.study import OpenedStudy
from core.store.artifacts import DamagedArtifact

_MOST = 24
"""Results that are kept."""


class Found(NamedTuple):
    """An analysis' result; without one, why there is none."""

    result: Result | None
    reason: str = ""

    def table(self, name: str, **where: object) -> pl.DataFrame | None:
        """The rows of a table whose columns have these values; null where there is no such table, or no row."""
        table = None if self.result is None else self.result.tables.get(name)
        if table is None or not set(where) <= set(table.columns):
            return None
        rows = table.filter(**where)
        return rows if rows.height else None


class _Asked:
    """A study and an analysis; equal to another of the same artefact."""

    def __init__(self, study: OpenedStudy, analysis: str) -> None:
        self.study, self.analysis = study, analysis
        made = (one.ref for one in study.artifacts if one.step == analysis)
        self._key = (str(study.workspace.root), study.key, next(made, ""))

    def __hash__(self) -> int:
        return hash(self._key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Asked) and self._key == other._key


def found(study: OpenedStudy, analysis: str) -> Found:
    """The result of an analysis."""
    if analysis not in study.results:
        return Found(None, f"The analysis {analysis} has not run in this study.")
    try:
        return Found(_read(_Asked(study, analysis)))
    except (BadInput, DamagedArtifact) as error:
        return Found(None, str(error))


@lru_cache(_MOST)
def _read(asked: _Asked) -> Result:
    return asked.study.result(asked.analysis)
