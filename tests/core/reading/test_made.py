"""What a study's run left, sorted by concept: the first one's ranking and results, the others' under their names."""

import json
from pathlib import Path
from typing import Any

from core.reading.made import Made
from core.store.artifacts import Artifact, ArtifactStore

PLACE, COLOUR = {"name": "place", "column": "place"}, {"name": "colour", "column": "colour"}


def made(root: Path, concept: str, *units: tuple[str, dict[str, Any]]) -> Made:
    store = ArtifactStore(root)
    artifacts = []
    for number, (step, recipe) in enumerate(units):
        artifact = Artifact(step, f"{number:020d}")
        staged = store.staging(artifact)
        (staged / "file").write_text(json.dumps(recipe), encoding="utf-8")
        store.publish(staged, artifact, {"unit": {"step": step, "name": "", "recipe": recipe, "inputs": {}}})
        artifacts.append(artifact)
    return Made.find(store, artifacts, concept)


def test_the_first_concepts_results_are_called_by_the_analysis_alone(tmp_path: Path) -> None:
    units = [
        (step, {"layer": 3, "concept": concept})
        for concept in (COLOUR, PLACE)
        for step in ("rank_features", "overview")
    ]
    found = made(tmp_path, "place", *units)
    assert set(found.analyses) == {"overview", "overview-colour"}
    assert found.analyses["overview"].fingerprint == f"{3:020d}"
    assert found.rankings[3].fingerprint == f"{2:020d}"


def test_a_result_without_a_concept_is_of_the_built_in_one(tmp_path: Path) -> None:
    found = made(tmp_path / "a", "place", ("overview", {}), ("rank_features", {"layer": 3, "concept": "gender"}))
    assert set(found.analyses) == {"overview-gender"} and not found.rankings
    alone = made(tmp_path / "b", "", ("overview", {}), ("rank_features", {"layer": 3, "concept": "gender"}))
    assert set(alone.analyses) == {"overview"} and set(alone.rankings) == {3}
