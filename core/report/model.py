"""What a report is made of: declared inputs, nothing else is read.

Columns that the report draws, in any shown table:

- `image` (str): a picture's path, relative to `ReportInputs.images`;
- `map` (list of numbers): a square grid, row by row, laid over the row's `image`;
- `strip` or `context` (list of {token, value}): a caption coloured by value, right to left where it is Arabic;
- `language`, and the columns of the concept's labels: coloured by meaning;
- other lists: their items one beside the other. Arabic is found by its letters, in every entry.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.writers import FigureFile
from core.stats.estimate import Estimate
from core.store.ledger import JobCost


@dataclass(frozen=True)
class ShownTable:
    """A table and its heading; one that is stored as `NAME.parquet` need not be shown whole."""

    name: str
    heading: str
    table: pl.DataFrame
    stored: bool = True


@dataclass(frozen=True)
class Section:
    """One analysis: what it asked, found, left out, drew and counted; `skipped` says why it was not run.

    `examples` have several rows per (layer, feature), each with a `strip` (or `context`), an `image` or a `map`; the
    features' order and facts are those of the first of `tables` with one row per feature. `beside` are tables that are
    not shown and that the features' cards read: `core.report.cards.READ`.
    """

    name: str
    question: str
    concept: Concept = THE_CONCEPT
    part: str = ""
    """The concept's name where the study has several: the section is called after it."""
    estimates: tuple[Estimate, ...] = ()
    notes: tuple[str, ...] = ()
    skipped: str | None = None
    figures: tuple[FigureFile, ...] = ()
    tables: tuple[ShownTable, ...] = ()
    examples: tuple[ShownTable, ...] = ()
    beside: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def key(self) -> str:
        """Its name, with the concept's where there are several: unique in a report."""
        return "-".join(filter(None, (self.name, self.part)))


@dataclass(frozen=True)
class Gallery:
    """Images picked by rule, with captions before and after intervention, heat strips and maps.

    Columns: sample_id, image, rule, language, reference, clean, ablated, amplified, strip, map, effect; those that
    are missing or null are left out.
    """

    table: pl.DataFrame
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class UnitFacts:
    """Where and how one unit was made, from its manifest."""

    step: str
    label: str
    fingerprint: str
    wall_seconds: float
    cpu_seconds: float
    gpu_seconds: float
    peak_rss_mib: float
    host: str
    device: str
    finished: float
    revision: str | None
    dirty: bool | None
    packages: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Making:
    """Everything with a clock, a host or a date; `sources` are the content hashes of data and model, `jobs` what a
    cluster gave."""

    units: tuple[UnitFacts, ...] = ()
    jobs: tuple[JobCost, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ReportInputs:
    """Everything a report says.

    `study` is the study's `model_dump`; `summary` what `prepare` counted; `samples` those that the model was run on;
    `dropped` rows of the source that were left out (row, sample_id, field, reason) and `capture_drops` captions that
    were (sample_id, language, reason); `sae`, `history`, `health`, `sweep`, `density`, `l0` as in
    `core.report.study_figures.figures`; `origins` the autoencoders that were trained elsewhere, and where (layer,
    trained_on_…, used_on_…, differs); `row_warnings` what is doubtful in layers' rows; `skipped` what was left
    out, with the reason.
    """

    study: Mapping[str, Any]
    summary: Mapping[str, Any]
    samples: pl.DataFrame
    dropped: pl.DataFrame
    sae: pl.DataFrame
    history: pl.DataFrame
    health: pl.DataFrame
    row_warnings: tuple[str, ...] = ()
    sweep: pl.DataFrame = field(default_factory=pl.DataFrame)
    origins: pl.DataFrame = field(default_factory=pl.DataFrame)
    density: pl.DataFrame = field(default_factory=pl.DataFrame)
    l0: pl.DataFrame = field(default_factory=pl.DataFrame)
    capture_drops: pl.DataFrame = field(default_factory=pl.DataFrame)
    sections: tuple[Section, ...] = ()
    gallery: Gallery | None = None
    images: Path | None = None
    making: Making = field(default_factory=Making)
    skipped: Mapping[str, str] = field(default_factory=dict)
    concepts: tuple[Concept, ...] = (THE_CONCEPT,)
    """What the study asks about, in its order."""
