"""Tensors whose stored names transformers renames when it reads them."""

import shutil
from pathlib import Path

from safetensors.torch import load_file

from tests.core.lm.test_checkpoint import refusal, save


def test_two_names_that_transformers_takes_for_one_are_refused(tiny_gemma: Path, tmp_path: Path) -> None:
    folder = tmp_path / "model"
    shutil.copytree(tiny_gemma, folder)
    tensors = load_file(folder / "model.safetensors")
    old = next(name for name in tensors if name.endswith("language_model.model.layers.0.mlp.down_proj.weight"))
    new = "model.language_model.layers.0.mlp.down_proj.weight"
    save({**tensors, new: tensors[old] * 2}, folder / "model.safetensors")
    told = refusal(folder)
    assert old in told and new in told and "one tensor's names" in told
