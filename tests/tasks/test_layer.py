"""The sibling of a layer's SAE is the one of the chosen variant's settings, from the other seed."""

import json
import logging
from pathlib import Path

import torch

from core.progress import silent
from core.sae.architectures import SparseAutoencoder
from core.sae.formats import Origin, save_sae
from core.store.artifacts import Artifact
from core.store.steps import CHOOSE_SAE, TRAIN_SAE
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.sites import STREAM
from tasks.context import RunContext, Work
from tasks.layer import open_sibling
from tests.planted_studies import publish

ALIKE = {"k4-seed0": "k4-seed1", "k4-seed1": "k4-seed0", "k8-seed0": "k8-seed1", "k8-seed1": "k8-seed0"}


def trained(workspace: Workspace, number: int, name: str) -> Artifact:
    """An SAE whose decoder bias is a number."""
    unit = TRAIN_SAE.unit(name, {"number": number})
    staged = workspace.store.staging(unit.artifact)
    sae = SparseAutoencoder(6, 12, 4)
    with torch.no_grad():
        sae.b_dec.fill_(number)
    save_sae(sae, staged, Origin("model", 3, STREAM))
    workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": "cats"})
    return unit.artifact


def test_the_sibling_is_of_the_layer_and_of_the_chosen_variant(tmp_path: Path) -> None:
    workspace, layers = Workspace(tmp_path), (3, 7)
    seeds = tuple(
        trained(workspace, layer * 10 + place, f"{layer}-{name}")
        for layer in layers
        for place, name in enumerate(ALIKE)
    )
    chosen = tuple(
        publish(
            workspace, CHOOSE_SAE.unit(str(layer), {"layer": layer}), {"choice.json": json.dumps({"variant": name})}
        )
        for layer, name in zip(layers, ("k8-seed0", "k4-seed1"))
    )
    unit = Unit("evolution", 1, "", {"layers": list(layers), "siblings": ALIKE}, {"sae": chosen, "seeds": seeds})
    context = RunContext(str(tmp_path), "cats", "", "")
    work = Work(unit, context, tmp_path, tmp_path, silent, logging.getLogger("test"))
    assert [float(open_sibling(work, layer).b_dec[0]) for layer in layers] == [33.0, 70.0]
