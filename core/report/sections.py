"""What the analyses found, read from their artefacts for a report."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from core.data.concept import Concept
from core.data.known_concepts import THE_CONCEPT
from core.figures.writers import read_figures
from core.report.cards import READ
from core.report.contents import EXAMPLES
from core.report.model import Gallery, Section, ShownTable
from core.stats.estimate import Estimate
from core.store.artifacts import Artifact, ArtifactStore, read_json

GALLERY = "gallery"
"""The table of `qualitative` that becomes the gallery."""


def sections(store: ArtifactStore, analyses: Iterable[Artifact], concepts: Sequence[Concept]) -> tuple[Section, ...]:
    """One section per analysis, with the concept that it is of.

    Raises:
        DamagedArtifact: a manifest or a file that every analysis writes is missing.
    """
    return tuple(
        _section(store.path(one), one.step, _concept(store.manifest(one), concepts), len(concepts) > 1)
        for one in analyses
    )


def _concept(manifest: Mapping[str, Any], concepts: Sequence[Concept]) -> Concept:
    """The concept that an analysis was of."""
    named = manifest["unit"]["recipe"].get("concept")
    called = THE_CONCEPT.name if named is None else named["name"]
    return next((concept for concept in concepts if concept.name == called), THE_CONCEPT)


def _section(folder: Path, name: str, concept: Concept, is_one_of_several: bool) -> Section:
    summary = read_json(folder / "summary.json")
    shown = {key: heading for key, heading in summary.get("shown", {}).items() if key != GALLERY}
    return Section(
        name=name,
        question=summary.get("question", ""),
        concept=concept,
        part=concept.name if is_one_of_several else "",
        estimates=tuple(map(Estimate.from_json, summary["estimates"])),
        notes=tuple(summary.get("notes", ())),
        figures=tuple(read_figures(folder / "figures")),
        tables=_tables(folder, {key: heading for key, heading in shown.items() if key not in EXAMPLES}),
        examples=_tables(folder, EXAMPLES),
        beside={one.name: one.table for one in _tables(folder, dict.fromkeys(READ.get(name, ()), ""))},
    )


def _tables(folder: Path, headings: Mapping[str, str]) -> tuple[ShownTable, ...]:
    return tuple(
        ShownTable(key, heading, pl.read_parquet(folder / f"{key}.parquet", glob=False))
        for key, heading in headings.items()
        if (folder / f"{key}.parquet").is_file()
    )


def gallery(store: ArtifactStore, analyses: Iterable[Artifact]) -> Gallery | None:
    """The gallery, where an analysis made one."""
    for artifact in analyses:
        path = store.path(artifact) / f"{GALLERY}.parquet"
        if path.is_file():
            return Gallery(pl.read_parquet(path, glob=False))
    return None
