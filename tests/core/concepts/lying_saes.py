"""SAEs of every layout, written small, in folders as their makers publish them."""

import json
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file

D, F = 4, 6
_SHAPES = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}


def gemma_scope(folder: Path) -> Path:
    folder.mkdir(parents=True)
    shapes = {**_SHAPES, "threshold": (F,)}
    np.savez(folder / "params.npz", **{name: np.ones(shape, np.float32) for name, shape in shapes.items()})
    return folder


def gemma_scope_2(folder: Path, hook: str, l0: float = 20) -> Path:
    folder.mkdir(parents=True)
    shapes = {**_SHAPES, "threshold": (F,)}
    save_file({name.lower(): torch.ones(shape) for name, shape in shapes.items()}, folder / "params.safetensors")
    told = {"architecture": "jump_relu", "model_name": "google/gemma-3-4b-it", "hf_hook_point_in": hook, "l0": l0}
    (folder / "config.json").write_text(json.dumps({**told, "width": F}))
    return folder


def sae_lens(folder: Path, layer: int, model: str = "acme/lm", **more: object) -> Path:
    folder.mkdir(parents=True)
    metadata = {"model_name": model, "hook_name": f"blocks.{layer}.hook_resid_post", "neuronpedia_id": f"lm/{layer}-x"}
    config = {"architecture": "standard", "d_in": D, "d_sae": F, "metadata": metadata, **more}
    (folder / "cfg.json").write_text(json.dumps(config))
    save_file({name: torch.ones(shape) for name, shape in _SHAPES.items()}, folder / "sae_weights.safetensors")
    return folder


def sparsify(folder: Path, model: str = "acme/lm", k: int = 3) -> Path:
    folder.mkdir(parents=True)
    (folder / "cfg.json").write_text(json.dumps({"k": k, "d_in": D}))
    (folder.parent / "config.json").write_text(json.dumps({"model": model}))
    shapes = {"encoder.weight": (F, D), "encoder.bias": (F,), "W_dec": (F, D), "b_dec": (D,)}
    save_file({name: torch.ones(shape) for name, shape in shapes.items()}, folder / "sae.safetensors")
    return folder
