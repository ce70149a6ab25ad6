"""A study that has not run to its end: what is read of it says to run it, and leaves capture.layers alone."""

import shutil
from pathlib import Path
from typing import Any

import pytest

from core.errors import BadInput
from core.reading.catalogue_saes import catalogue_saes
from core.reading.records import open_by_name
from core.study.catalogue import CatalogueConfig
from tests.planted_studies import plant


def unfinished(root: Path, layers: object) -> Any:
    """The planted study, which captures `layers`, after all its indices and the report are gone."""
    workspace = plant(root)
    study = open_by_name(workspace, "cats")
    for artifact in study.artifacts:
        if artifact.step in ("index_features", "report"):
            shutil.rmtree(workspace.store.path(artifact))
    study.config["capture"] = {"layers": layers}
    return study


def config(**fields: object) -> CatalogueConfig:
    return CatalogueConfig.model_validate({"name": "c", "study": "cats", "features": {"by": "frequency"}, **fields})


@pytest.mark.parametrize(("captured", "advised"), [("all", False), ([3, 7], False), ([7], True)])
def test_a_layer_that_the_study_names_is_a_matter_of_running_it(
    tmp_path: Path, captured: object, advised: bool
) -> None:
    with pytest.raises(BadInput, match=r"layer 3 is not there \(there are none\)") as raised:
        catalogue_saes(unfinished(tmp_path, captured), config(layers=[3]))
    assert ("name it in capture.layers" in str(raised.value)) == advised
    assert "what is missing is made by: saeflow run cats" in str(raised.value)


def test_all_layers_are_those_that_the_study_is_to_have(tmp_path: Path) -> None:
    with pytest.raises(
        BadInput, match=r"0 of its 2 feature indices are there; run it to its end: saeflow run cats; or"
    ):
        catalogue_saes(unfinished(tmp_path, "all"), config())
