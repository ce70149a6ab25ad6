"""A study's frozen dictionaries are opened apart from its SAEs."""

import json
from pathlib import Path

import pytest

from core.errors import BadInput
from core.reading.study import OpenedStudy
from core.store.artifacts import Artifact
from core.store.steps import CAPTURE, DESCRIBE_FEATURES, EXTRACT_LAYER, INDEX_FEATURES, PREPARE, TRAIN_SAE
from core.store.units import Unit
from core.store.workspace import Workspace
from tests.planted_studies import publish

SHARD, SAMPLES = CAPTURE.unit("000", {}), PREPARE.unit("", {})
NOTHING = {"made": ""}


def units(layer: int, frozen: bool) -> dict[str, Unit]:
    """What is made of a layer's SAE, or of its frozen dictionary."""
    name, more = (f"{layer}-frozen", {"frozen": True}) if frozen else (str(layer), {})
    table = EXTRACT_LAYER.unit(str(layer), {"layer": layer}, {"shards": (SHARD.artifact,)})
    sae = TRAIN_SAE.unit(name, {"layer": layer, "sae": {"frozen_decoder": frozen}}, {"layer": (table.artifact,)})
    inputs = {"layer": (table.artifact,), "sae": (sae.artifact,), "shards": (SHARD.artifact,)}
    index = INDEX_FEATURES.unit(name, {"layer": layer, **more}, inputs)
    described = {"index": (index.artifact,)}
    return {
        "table": table,
        "sae": sae,
        "index": index,
        "described": DESCRIBE_FEATURES.unit(name, {"layer": layer, **more}, described),
    }


def opened(root: Path, *made: dict[str, Unit]) -> OpenedStudy:
    """A study of which these units are there."""
    workspace, whole = Workspace(root), {unit.label: unit for one in made for unit in one.values()}
    for label, unit in {**whole, SHARD.label: SHARD, SAMPLES.label: SAMPLES}.items():
        fvu = {"held_out_fvu": 0.7 if "frozen" in label else 0.2}
        publish(workspace, unit, {"metrics.json": json.dumps(fvu)} if unit.step == TRAIN_SAE.name else NOTHING)
    artifacts = tuple(unit.artifact for unit in (SAMPLES, SHARD, *whole.values()))
    return OpenedStudy(workspace, "cats-1", {"name": "cats"}, artifacts, Artifact("report", "0"))


def test_they_are_opened_as_saes_are_and_apart_from_them(tmp_path: Path) -> None:
    own, frozen = units(3, frozen=False), units(3, frozen=True)
    study = opened(tmp_path, own, frozen, units(7, frozen=False))
    assert study.layers == (3, 7) and study.layer_artifacts(3).index == own["index"].artifact
    beside = study.frozen
    assert beside is not None and beside.layers == (3,)
    found = beside.layer_artifacts(3)
    assert (found.sae, found.index) == (frozen["sae"].artifact, frozen["index"].artifact)
    assert (found.table, found.shards) == (own["table"].artifact, (SHARD.artifact,))
    assert found.table == study.layer_artifacts(3).table and found.ranking is None
    assert beside.samples_artifact == study.samples_artifact
    store = study.workspace.store
    assert beside.described(3) == store.path(frozen["described"].artifact)
    assert study.described(3) == store.path(own["described"].artifact)
    assert beside.sae_folder(3) == store.path(frozen["sae"].artifact)
    assert beside.sae_metrics() == {3: {"held_out_fvu": 0.7}} and study.sae_metrics()[3] == {"held_out_fvu": 0.2}
    assert beside.title == "cats · frozen decoders" and beside.results == () and beside.frozen is None
    with pytest.raises(BadInput, match=r"layer 7 is not there \(there are 3\)"):
        beside.layer_artifacts(7)


def test_a_study_without_them_has_none(tmp_path: Path) -> None:
    assert opened(tmp_path, units(3, frozen=False)).frozen is None


def test_a_damaged_one_is_named_and_hides_no_sae(tmp_path: Path) -> None:
    own, frozen = units(3, frozen=False), units(3, frozen=True)
    study = opened(tmp_path, own, frozen)
    (study.workspace.store.path(frozen["sae"].artifact) / "metrics.json").write_text("{}")
    beside = study.frozen
    assert beside is not None and study.sae_folder(3).is_dir()
    with pytest.raises(BadInput, match=rf"{frozen['sae'].artifact.ref}/metrics.json.*made again by: saeflow run cats"):
        beside.sae_folder(3)
