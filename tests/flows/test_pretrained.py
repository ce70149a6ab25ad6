"""A study over SAEs that others trained: instead of its own, and beside them."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from core.artifacts import ArtifactStore
from tests.flows.commands import saeflow
from tests.flows.test_mini import ANALYSES

pytestmark = pytest.mark.timeout(600)
WITHOUT = [word for name in sorted(ANALYSES) for word in ("--set", f"analyses.{name}=null")]


def gemma_scope(folder: Path, layers: tuple[int, ...], d_model: int = 64) -> None:
    """A JumpReLU SAE a layer in Gemma Scope's layout: random unit directions that fire where they are met."""
    for layer in layers:
        generator = torch.Generator().manual_seed(layer)
        decoder = torch.nn.functional.normalize(torch.randn(256, d_model, generator=generator), dim=1)
        parts = {"W_enc": decoder.T, "W_dec": decoder, "b_enc": torch.zeros(256), "b_dec": torch.zeros(d_model)}
        place = folder / f"layer_{layer}" / "width_256"
        place.mkdir(parents=True)
        arrays = {**parts, "threshold": torch.full((256,), 2.0)}
        np.savez(place / "params.npz", **{name: tensor.numpy() for name, tensor in arrays.items()})


def test_others_saes_are_used_instead_or_measured_beside(mini_workspace: Path, tmp_path: Path) -> None:
    workspace = tmp_path / "workspace"
    shutil.copytree(mini_workspace, workspace, symlinks=True)
    gemma_scope(tmp_path / "scope", (0, 9, 17, 33))
    place = f"{tmp_path}/scope/layer_{{layer}}/width_256"
    trained = set((workspace / "artifacts" / "train_sae").iterdir())

    beside = saeflow(workspace, "run", "mini", "--set", f"sae.beside={place}", *WITHOUT)
    assert beside.returncode == 0, beside.stdout + beside.stderr
    report = (workspace / "reports" / "mini" / "report.md").read_text("utf-8")
    assert report.count("| beside |") == report.count("| trained |") == 4
    assert report.count("jumprelu (beside)") == 4

    instead = saeflow(workspace, "run", "mini", "--set", f"sae.pretrained={place}", *WITHOUT)
    assert instead.returncode == 0, instead.stdout + instead.stderr
    store = ArtifactStore(workspace / "artifacts")
    imported = [store.path(artifact) for artifact in store if artifact.step == "import_sae"]
    assert len(imported) == 4  # the same units, beside and instead
    assert set((workspace / "artifacts" / "train_sae").iterdir()) == trained
    for folder in imported:
        layer = int(json.loads((folder / "manifest.json").read_text())["unit"]["recipe"]["layer"])
        theirs = np.load(tmp_path / "scope" / f"layer_{layer}" / "width_256" / "params.npz")
        np.testing.assert_array_equal(load_file(folder / "sae_weights.safetensors")["W_dec"], theirs["W_dec"])

    missing = saeflow(workspace, "run", "mini", "--set", f"sae.pretrained={tmp_path}/scope/lay_{{layer}}")
    assert missing.returncode == 1
    assert "holds no SAE" in " ".join(missing.stderr.split())
