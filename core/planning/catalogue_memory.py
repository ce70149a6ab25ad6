"""Units of a catalogue done in memory: for the count of what they would ask, and for one feature on demand."""

from collections.abc import Callable
from dataclasses import replace

import polars as pl

from core.chat.questions import Asked
from core.explain.collected import about, collected, folders_of, with_pairs
from core.explain.embedder import Embedder
from core.explain.explainers import explain
from core.explain.publishing import EXAMPLES, WINDOWS, read
from core.explain.scorers import Judging, score
from core.explain.tables import EXPLAINED
from core.planning.catalogue import CataloguePlan
from core.progress import Progress, silent
from core.store.artifacts import Artifact
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.catalogue import Explainer, Scorer


class InMemory:
    """What the units of a plan make; what is in the workspace is read from there, and nothing is written."""

    def __init__(self, plan: CataloguePlan, workspace: Workspace, opened: Callable[[Unit], Asked | None]) -> None:
        """Do the units of `plan`; `opened` gives the model that answers a unit's questions."""
        self._units = {unit.artifact: unit for unit in plan}
        self._store, self._opened = workspace.store, opened
        self._shown: dict[Artifact, tuple[pl.DataFrame, pl.DataFrame]] = {}

    def examples(self, artifact: Artifact) -> tuple[pl.DataFrame, pl.DataFrame]:
        """Examples and windows of a block."""
        place = self._store.path(artifact)
        if self._store.intact(artifact):
            return read(place / EXAMPLES), read(place / WINDOWS)
        if artifact not in self._shown:
            unit = self._units[artifact]
            blocks, shown = collected(unit.recipe, folders_of(unit, self._store))
            self._shown[artifact] = pl.concat(blocks), shown
        return self._shown[artifact]

    def explained(self, unit: Unit, progress: Progress = silent) -> pl.DataFrame:
        """What an explainer says of a block: `EXPLANATIONS`."""
        if self._store.intact(unit.artifact):
            return read(self._store.path(unit.artifact) / EXPLAINED)
        explainer = Explainer.model_validate(unit.recipe["explainer"])
        _, shown = self.examples(unit.inputs["examples"][0])
        return explain(
            self._opened(unit), shown, about(unit.recipe, folders_of(unit, self._store)), explainer, progress
        )

    def scored(
        self, unit: Unit, embedder: Embedder | None = None, draws: int | None = None, progress: Progress = silent
    ) -> pl.DataFrame:
        """How a scorer scores what was said of a block: `SCORES`; `draws` are resamples, in place of the unit's."""
        asked, known = self._opened(unit), about(unit.recipe, folders_of(unit, self._store))
        examples, shown = self.examples(unit.inputs["examples"][0])
        scorer = Scorer.model_validate({**unit.recipe["scorer"], "model": asked and asked.name})
        if draws is not None:
            known = replace(known, draws=draws)
        if scorer.kind == "twins":
            known = with_pairs(known, examples, shown)
        said = self.explained(self._units[unit.inputs["explanations"][0]])
        return score(said, shown, Judging(asked, embedder), known, scorer, progress)
