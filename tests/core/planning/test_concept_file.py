"""A concept's file: found by name or path, and refused in one line."""

from pathlib import Path

import pytest

from core.errors import BadInput
from core.planning.concept_file import CONCEPT_FILES, sentences_path
from core.study.concept_scan import ConceptScan

GOOD = "name: calm\ndescription: Calm is calm.\nsentences: calm.csv\n"


def test_a_concept_is_read_and_its_table_lies_beside_it(tmp_path: Path) -> None:
    file = tmp_path / "calm.yaml"
    file.write_text(GOOD, encoding="utf-8")
    found = CONCEPT_FILES.find("calm", [tmp_path / "none", tmp_path])
    concept = CONCEPT_FILES.load(found)
    assert concept == ConceptScan(name="calm", description="Calm is calm.", sentences="calm.csv")
    assert (concept.language, concept.held_out, concept.seed) == ("en", 0.5, 0)
    assert sentences_path(concept, found) == tmp_path / "calm.csv"
    assert CONCEPT_FILES.find(str(file), [Path("/")]) == file


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- calm", r"calm\.yaml: a concept is a mapping"),
        ("name: [", r"calm\.yaml, line 1: not valid YAML"),
        (GOOD + "langage: ar\n", r"calm\.yaml: langage: unknown key; did you mean 'language'\?"),
        (GOOD + "language: fr\n", r"calm\.yaml: language: 'fr' is wrong: .*'en' or 'ar'"),
        (GOOD + "held_out: 1\n", r"calm\.yaml: held_out: 1 is wrong: .*less than 1"),
        (GOOD.replace("calm\n", "Calm down\n", 1), r"calm\.yaml: name: 'Calm down' is wrong"),
        (GOOD.replace("calm\n", "c" * 101 + "\n", 1), r"calm\.yaml: name: 'c+.* is wrong: .*at most 100"),
        ("name: calm\ndescription: Calm.\n", r"calm\.yaml: sentences: missing; add it"),
    ],
)
def test_a_wrong_file_is_refused_by_its_field(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "calm.yaml").write_text(text, encoding="utf-8")
    with pytest.raises(BadInput, match=message):
        CONCEPT_FILES.load(tmp_path / "calm.yaml")


def test_an_unknown_name_is_answered_with_the_nearest(tmp_path: Path) -> None:
    (tmp_path / "calm.yaml").write_text(GOOD, encoding="utf-8")
    with pytest.raises(BadInput, match=r"concept 'clam': no such file in .*; did you mean calm\?"):
        CONCEPT_FILES.find("clam", [Path("/"), tmp_path])
    with pytest.raises(BadInput, match=r"concepts here: calm$"):
        CONCEPT_FILES.find("zzzz", [Path("/"), tmp_path])
