"""Of a layer's variants the chosen one is taken, and of its frozen dictionaries the one beside it."""

import json
import logging
from pathlib import Path

from core.progress import silent
from core.store.steps import CHOOSE_SAE, TRAIN_SAE
from core.store.units import Unit
from core.store.workspace import Workspace
from tasks.choose import choose_sae
from tasks.context import RunContext, Work
from tests.planted_studies import publish

VARIANTS = ("k4", "k8")


def trained(workspace: Workspace, layer: int, variant: str, frozen: bool) -> Unit:
    """A variant's SAE, the sparser one as good as the other; of frozen ones the denser is far better."""
    name = f"{layer}-{variant}{'-frozen' if frozen else ''}"
    unit = TRAIN_SAE.unit(name, {"layer": layer, "k": variant, "frozen": frozen})
    fvu = 0.1 if not frozen or variant == "k8" else 0.9
    metrics = {"held_out_fvu": fvu, "held_out_l0": float(variant[1:]), "held_out_rows": 9.0}
    publish(workspace, unit, {"metrics.json": json.dumps(metrics), "weights": name})
    return unit


def test_a_frozen_dictionary_is_that_of_its_layer_and_of_the_chosen_variant(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    own, frozen = (
        tuple(trained(workspace, layer, variant, kind).artifact for layer in (9, 17) for variant in VARIANTS)
        for kind in (False, True)
    )
    recipe = {"layer": 17, "place": 1, "variants": list(VARIANTS), "choose": "sparsest"}
    taken = {}
    for label, inputs in {"17": {"candidates": own}, "17-frozen": {"candidates": own, "frozen": frozen}}.items():
        out = tmp_path / label
        out.mkdir()
        context = RunContext(str(tmp_path), "cats", "", "")
        unit = CHOOSE_SAE.unit(label, recipe, inputs)
        work = Work(unit, context, out, tmp_path, silent, logging.getLogger("test"))
        metrics = choose_sae(work)
        assert json.loads((out / "choice.json").read_text())["variant"] == "k4"
        taken[(out / "weights").read_text()] = metrics["held_out_fvu"]
    assert taken == {"17-k4": 0.1, "17-k4-frozen": 0.9}
