"""What a study's analyses are given when they are asked again: its own concept, and its samples labelled by that."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from core.reading.inputs import analysis_inputs
from core.reading.records import open_by_name
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.planted_studies import STUDY, publish

PLACES = ["kitchen", "garden", "street"]
CONCEPTS = [{"name": "place", "column": "place", "positive": "kitchen", "negative": "garden"}]


def study_of(workspace: Workspace, concepts: list[dict[str, Any]]) -> Any:
    """A study of three samples with a place each, of these concepts."""
    samples = {"sample_id": ["a", "b", "c"], "image_id": ["a", "b", "c"], "image": [None] * 3, "place": PLACES}
    captions = {
        "caption_en": ["A woman cooks.", "A man rests.", "A man runs."],
        "gender_en": ["female", "male", "male"],
    }
    study = {**STUDY, "concepts": concepts, "seed": 5}
    prepared, shard, report = (Unit(step, 1, "", {"study": study}) for step in ("prepare", "capture", "report"))
    publish(workspace, prepared, {"summary.json": json.dumps({"languages": ["en"]})})
    pl.DataFrame({**samples, **captions}).write_parquet(workspace.store.path(prepared.artifact) / "samples.parquet")
    publish(workspace, shard, {"shard.json": "{}"})
    refs = [unit.artifact.ref for unit in (prepared, shard, report)]
    workspace.remember("cats-1", {"study": study, "artifacts": refs, "report": report.artifact.ref})
    return open_by_name(workspace, "cats")


def test_they_are_of_the_studys_own_concept_with_its_labels(tmp_path: Path) -> None:
    inputs = analysis_inputs(study_of(Workspace(tmp_path), CONCEPTS), lambda: None)  # type: ignore[arg-type,return-value]
    assert inputs.concept.name == "place" and inputs.concept.sides == ("kitchen", "garden")
    assert inputs.samples["place_en"].to_list()[:2] == ["kitchen", "garden"]
