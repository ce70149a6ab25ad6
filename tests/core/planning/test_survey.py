"""What is known of a study before it runs."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import BadInput
from core.lm.factory import factory_content, open_factory
from core.planning.loading import load_study
from core.planning.study import Study
from core.planning.survey import Survey, survey
from core.store.workspace import Workspace

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
OWN = "tests.core.lm.set_models:load"


def of(workspace: Path, factory: str, *overrides: str) -> Survey:
    study: Study = load_study(STUDIES / "mini.yaml", ["model.path=null", f"model.factory={factory}", *overrides])
    return survey(study, Workspace(workspace))


def test_a_factorys_model_names_its_layers_and_its_weights(tmp_path: Path) -> None:
    seen = of(tmp_path, OWN, "capture.layers=all", "sae.k=4")
    assert seen.layers == (0, 1, 2)
    assert seen.sources.model == factory_content(OWN, open_factory(OWN))
    assert (seen.sources.folder, seen.sources.factory) == (None, OWN)
    assert seen.plan is None, "its samples are not there yet"


def test_a_factory_that_cannot_serve_the_study_is_told_before_it_runs(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"capture\.layers: layer 9 is out of range; the model has layers 0-2"):
        of(tmp_path, OWN)
    with pytest.raises(BadInput, match=r"sae\.k: 32 exceeds the 24 features of sae\.expansion 2"):
        of(tmp_path, OWN, "capture.layers=all", "sae.k=32")
    with pytest.raises(BadInput, match=r"model\.factory: the model names no site mlp_out"):
        of(tmp_path, OWN, "capture.layers=all", "capture.site=mlp_out")
    with pytest.raises(
        BadInput, match=r"model\.factory: tests\.core\.lm\.set_models:nobody: the module has no function"
    ):
        of(tmp_path, "tests.core.lm.set_models:nobody")


def test_saes_of_another_width_are_refused_before_anything_is_captured(tmp_path: Path) -> None:
    place = tmp_path / "saes" / "layer_1"
    settings = ("capture.layers=[1]", f"sae.pretrained={place.parent}/layer_{{layer}}")
    place.mkdir(parents=True)
    shapes = {"W_enc": (9, 32), "W_dec": (32, 9), "b_enc": (32,), "b_dec": (9,), "threshold": (32,)}
    np.savez(place / "params.npz", **{name: np.zeros(shape, np.float32) for name, shape in shapes.items()})
    with pytest.raises(
        BadInput, match=r"sae\.pretrained: .*layer_1: this SAE reads rows of width 9; the layer's have 12"
    ):
        of(tmp_path, OWN, *settings)
    (place / "params.npz").write_bytes(b"half a download")
    with pytest.raises(BadInput, match=r"sae\.pretrained: .*params\.npz: cannot be read"):
        of(tmp_path, OWN, *settings)
    (place / "params.npz").unlink()
    save_file({"W_dec": torch.zeros(32, 9)}, place / "params.safetensors")
    with pytest.raises(BadInput, match=r"sae\.pretrained: .*config\.json: cannot be read"):
        of(tmp_path, OWN, *settings)
    shapes = {"w_enc": (12, 32), "w_dec": (32, 12), "b_enc": (32,), "b_dec": (12,), "threshold": (32,)}
    save_file({name: torch.zeros(shape) for name, shape in shapes.items()}, place / "params.safetensors")
    (place / "config.json").write_text('{"architecture": "jump_relu"}')
    assert of(tmp_path, OWN, *settings).sources.saes["pretrained"][1].folder == place


@pytest.fixture
def captioner(tmp_path: Path) -> Path:
    """A copy of the demo's captioner."""
    place = tmp_path / "captioner"
    shutil.copytree(STUDIES.parent / "models" / "scene-captioner", place)
    return place


def with_model(workspace: Path, model: Path) -> Survey:
    return survey(load_study(STUDIES / "mini.yaml", [f"model.path={model}"]), Workspace(workspace))


def test_what_is_read_otherwise_than_it_is_stored_is_told_before_anything_runs(tmp_path: Path, captioner: Path) -> None:
    assert with_model(tmp_path, captioner).notes == ()
    tensors = load_file(captioner / "model.safetensors")
    save_file({f"_orig_mod.{name}": tensor for name, tensor in tensors.items()}, captioner / "model.safetensors")
    template = captioner / "chat_template.jinja"
    template.write_text("{{ strftime_now('%d %b %Y') }}" + template.read_text())
    assert with_model(tmp_path, captioner).notes == (
        f"model captioner: the prefix _orig_mod. of {len(tensors)} tensors is left out",
        "model captioner: its chat template asks for the date, and is always given 26 July 2024, 12:00",
    )


def test_weights_that_are_cut_short_are_told_before_anything_runs(tmp_path: Path, captioner: Path) -> None:
    whole = (captioner / "model.safetensors").read_bytes()
    (captioner / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadInput, match=r"model\.safetensors is damaged or incomplete"):
        with_model(tmp_path, captioner)
