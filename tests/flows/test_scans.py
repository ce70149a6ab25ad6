"""A concept scan as somebody means it: places of its file are found from wherever it is run."""

from pathlib import Path

import pytest

from core.study.concept_scan import ConceptScan
from flows.runtime.scans import with_fields

CONCEPT = "name: calm\ndescription: Calm is calm.\nsentences: calm.csv\nregistry: saes.yaml\nmodel: lm\n"


@pytest.fixture
def concept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder, elsewhere = tmp_path / "my concepts", tmp_path / "elsewhere"
    elsewhere.mkdir()
    (folder / "lm").mkdir(parents=True)
    for name, text in {
        "calm.yaml": CONCEPT,
        "calm.csv": "",
        "saes.yaml": "",
        "other.yaml": "",
        "lm/config.json": "{}",
    }.items():
        (folder / name).write_text(text, encoding="utf-8")
    monkeypatch.setenv("SAEFLOW_FOLDER", str(elsewhere))
    return folder / "calm.yaml"


def test_another_registry_leaves_the_other_places_of_the_file_where_they_are(concept: Path) -> None:
    found = with_fields(str(concept), {"registry": "other.yaml"})
    assert isinstance(found, ConceptScan) and found.variant == "registry=other.yaml"
    places = (found.sentences, found.registry, found.model)
    assert places == tuple(str(concept.parent / name) for name in ("calm.csv", "other.yaml", "lm"))


def test_another_model_leaves_the_registry_of_the_file_where_it_is(concept: Path) -> None:
    found = with_fields(str(concept), {"model": str(concept.parent / "lm")})
    assert isinstance(found, ConceptScan) and found.registry == str(concept.parent / "saes.yaml")
    assert with_fields(found, {"model": None}) is found
