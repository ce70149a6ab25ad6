"""A study's record in a workspace, and what its analyses found."""

import difflib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from core.analysis.result import Result
from core.errors import BadInput
from core.reading.figures import StudyFigure, figures_in
from core.reading.made import FROZEN_DECODERS, AskedOf, Made
from core.reading.results import read_estimates, read_question, read_result
from core.stats.estimate import Estimate, as_table
from core.store.artifacts import Artifact
from core.store.workspace import Workspace
from core.study.variant import title


@dataclass(frozen=True, repr=False)
class RecordedStudy:
    """A study as its run left it. What is read is looked at first: nothing missing or damaged is read.

    `key` is the variant's key in `saeflow status`; `config` the study itself, as nested dictionaries; `of_layer` is the
    layer of a report on one layer; `mlflow` the page of its run in MLflow, where it has one; `of_frozen` says that its
    layers are those of `frozen`; `recorded` when its last run was recorded, in seconds since 1970, or 0.
    """

    workspace: Workspace
    key: str
    config: Mapping[str, Any]
    artifacts: tuple[Artifact, ...]
    report_artifact: Artifact
    of_layer: int | None = None
    mlflow: str = ""
    of_frozen: bool = False
    recorded: float = 0

    @property
    def name(self) -> str:
        """The study's name."""
        return str(self.config["name"])

    @property
    def title(self) -> str:
        """The name, and what sets the variant apart: `demo · sae.k=32`."""
        return title({**self.config, "layer": self.of_layer}) + self.of_frozen * FROZEN_DECODERS

    @property
    def finished(self) -> bool:
        """Whether its report is there, which is made last."""
        return self._path(self.report_artifact).is_dir()

    @property
    def results(self) -> tuple[str, ...]:
        """The analyses whose results are there."""
        return tuple(sorted(self._made.analyses))

    def result(self, analysis: str) -> Result:
        """What an analysis found: estimates, metrics, tables by name, notes.

        Raises:
            BadInput: there is no such result, or a file of it is damaged.
        """
        return read_result(self.result_folder(analysis))

    def result_folder(self, analysis: str) -> Path:
        """The folder of an analysis's tables and figures.

        Raises:
            BadInput: there is no such result, or a file of it is damaged.
        """
        found = self._made.analyses.get(analysis)
        if found is None:
            near = difflib.get_close_matches(analysis, self.results, n=1)
            there = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self.results) or 'none'}"
            raise self._missing(f"no result of {analysis!r} is there ({there})")
        return self._whole(found)

    def found(self) -> dict[str, tuple[Estimate, ...]]:
        """The estimates of each analysis whose result is there.

        Raises:
            BadInput: a file is damaged.
        """
        self._check(self._made.analyses.values())
        return {name: read_estimates(self._path(made)) for name, made in sorted(self._made.analyses.items())}

    def asked(self) -> dict[str, AskedOf]:
        """The analysis and the concept behind each name of `results`."""
        return dict(self._made.asked)

    def questions(self) -> dict[AskedOf, str]:
        """The question of each analysis and concept whose result is there; empty where none was written.

        Raises:
            BadInput: a file is damaged.
        """
        self._check(self._made.analyses.values())
        return {asked: read_question(self._path(self._made.analyses[name])) for name, asked in self._made.asked.items()}

    def estimates(self) -> pl.DataFrame:
        """The estimates of all analyses, one row each: `analysis`, the columns of `core.stats.estimate.as_table`, and
        the `artifact` that holds its table.

        Raises:
            BadInput: a file is damaged.
        """
        tables = [_of_analysis(name, found, self._made.analyses[name].ref) for name, found in self.found().items()]
        return pl.concat([_of_analysis("", (), ""), *tables])

    @property
    def figures(self) -> tuple[str, ...]:
        """The names of the figures that are there: `ANALYSIS-FIGURE`, and the study's own, `study-FIGURE`.

        Raises:
            BadInput: a file of an artefact that holds one is damaged.
        """
        return tuple(self._figures)

    def figure(self, name: str) -> StudyFigure:
        """A figure, which a notebook shows: its `caption`, and `save(path)` as SVG, PDF, PNG, HTML or JSON.

        Args:
            name: as `figures` has it, or without the analysis where only one figure ends so: `emergence`.

        Raises:
            BadInput: there is none of that name, or a file is damaged.
        """
        found = self._figures.get(name)
        ending = [full for full in self._figures if full.partition("-")[2] == name]
        if found is None and len(ending) == 1:
            return self._figures[ending[0]]
        if found is None and ending:
            raise BadInput(f"study {self.key}: several figures are called {name!r}: {', '.join(ending)}; name one")
        if found is None:
            near = difflib.get_close_matches(name, self._figures, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(self._figures) or 'none'}"
            unfinished = "" if self.finished else f"; the study is unfinished: saeflow run {self.name}"
            raise BadInput(f"study {self.key}: no figure {name!r} is there ({hint}){unfinished}")
        return found

    @cached_property
    def _figures(self) -> dict[str, StudyFigure]:
        if self.of_frozen:
            return {}
        own = [("", self.report.parent)] if self.finished else []
        return figures_in([*((f"{name}-", self.result_folder(name)) for name in self.results), *own])

    @property
    def report(self) -> Path:
        """The page `report.html`.

        Raises:
            BadInput: it is missing or damaged.
        """
        if not self.finished:
            raise self._missing("its report is not there")
        return self._whole(self.report_artifact) / "report.html"

    @cached_property
    def _made(self) -> Made:
        named = self.config.get("concepts") or [{"name": ""}]
        made = Made.find(self.workspace.store, self.artifacts, named[0]["name"])
        return made.frozen or Made() if self.of_frozen else made

    def _whole(self, artifact: Artifact) -> Path:
        self._check([artifact])
        return self._path(artifact)

    def _path(self, artifact: Artifact) -> Path:
        return self.workspace.store.path(artifact)

    def _check(self, artifacts: Iterable[Artifact]) -> None:
        for faults in self.workspace.store.faulty(artifacts).values():
            raise BadInput(f"study {self.key}: {faults[0]}; what is damaged is made again by: saeflow run {self.name}")

    def _missing(self, what: str) -> BadInput:
        return BadInput(f"study {self.key}: {what}; what is missing is made by: saeflow run {self.name}")


def _of_analysis(name: str, estimates: Iterable[Estimate], artifact: str) -> pl.DataFrame:
    return as_table(estimates).select(pl.lit(name).alias("analysis"), pl.all(), pl.lit(artifact).alias("artifact"))
