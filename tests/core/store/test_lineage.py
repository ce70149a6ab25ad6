"""What a damaged artefact puts in doubt."""

from pathlib import Path

import pytest

from core.store.artifacts import ArtifactStore
from core.store.checked import CHECKED
from core.store.lineage import look, made_from
from core.store.units import Unit
from tests.core.store.test_checked import flip

SHARD = Unit("capture", 1, "000", {"images": [0, 4]})
TABLES = [Unit("extract_layer", 1, str(layer), {"layer": layer}, {"shards": (SHARD.artifact,)}) for layer in range(2)]
SAES = [Unit("train_sae", 1, table.name, {}, {"layer": (table.artifact,)}) for table in TABLES]
REPORT = Unit("report", 1, "", {}, {"sae": tuple(sae.artifact for sae in SAES)})
UNITS = [SHARD, *TABLES, *SAES, REPORT]


@pytest.fixture
def store(tmp_path: Path) -> ArtifactStore:
    store = ArtifactStore(tmp_path)
    for unit in UNITS:
        staged = store.staging(unit.artifact)
        (staged / "rows.bin").write_bytes(unit.label.encode() * 100)
        store.publish(staged, unit.artifact, {"unit": unit.to_json()})
    return store


def test_all_that_was_made_directly_or_over_others_is_found(store: ArtifactStore) -> None:
    assert made_from(store, [SAES[1].artifact]) == [REPORT.artifact]
    assert made_from(store, [TABLES[0].artifact]) == [SAES[0].artifact, REPORT.artifact]
    assert set(made_from(store, [SHARD.artifact])) == {unit.artifact for unit in UNITS[1:]}
    assert made_from(store, [REPORT.artifact]) == made_from(store, []) == []


def test_an_artefact_without_a_manifest_hides_no_other(store: ArtifactStore) -> None:
    (store.path(TABLES[0].artifact) / "manifest.json").write_text("{}")
    assert made_from(store, [SHARD.artifact]) == [TABLES[1].artifact, SAES[1].artifact, REPORT.artifact]


def test_damage_after_the_last_check_costs_one_unit(store: ArtifactStore) -> None:
    flip(store.path(TABLES[0].artifact) / "rows.bin")
    found = look(store, UNITS)
    assert found.whole == {unit.artifact for unit in UNITS} - {TABLES[0].artifact}
    (line,) = found.damage
    assert line.startswith("extract_layer[0] is damaged") and line.endswith("rows.bin: content changed")
    assert found.doubtful == ()


def test_damage_of_unknown_age_puts_in_doubt_what_was_made_from_it(store: ArtifactStore) -> None:
    (store.path(TABLES[0].artifact) / CHECKED).unlink()
    flip(store.path(TABLES[0].artifact) / "rows.bin")
    found = look(store, UNITS)
    assert found.doubtful == (SAES[0].artifact, REPORT.artifact)
    assert found.whole == {unit.artifact for unit in (SHARD, TABLES[1], SAES[1])}
    assert "2 artefacts made from damaged ones are recomputed too" in found.damage[-1]


def test_what_is_not_there_is_no_damage(store: ArtifactStore) -> None:
    store.set_aside(SAES[0].artifact)
    found = look(store, UNITS)
    assert found.damage == found.doubtful == ()
    assert SAES[0].artifact not in found.whole
