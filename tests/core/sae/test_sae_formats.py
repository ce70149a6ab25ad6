"""Autoencoders on disk."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from core.errors import BadInput
from core.sae.configs import CONFIG, SPARSITY, WEIGHTS
from core.sae.formats import Origin, load_sae, save_sae
from tests.core.sae.dictionary import random_sae

ORIGIN = Origin(model="scene-captioner", layer=17, dataset="demo")


def _edit(folder: Path, **changes: object) -> None:
    config = json.loads((folder / CONFIG).read_text())
    (folder / CONFIG).write_text(json.dumps({**config, **changes}))


def test_what_is_saved_loads_equal(tmp_path: Path) -> None:
    sae = random_sae()
    save_sae(sae, tmp_path, ORIGIN, torch.linspace(0, 1, 40))
    loaded = load_sae(tmp_path)
    assert all(torch.equal(a, b) for a, b in zip(sae.parameters(), loaded.parameters()))
    assert (loaded.d_model, loaded.num_features, loaded.k) == (12, 40, 5)
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert float(load_file(tmp_path / SPARSITY)["sparsity"][-1]) == pytest.approx(0)
    metadata = json.loads((tmp_path / CONFIG).read_text())["metadata"]
    assert metadata["hook_name"] == "blocks.17.hook_resid_post"


def test_the_same_autoencoder_gives_the_same_bytes(tmp_path: Path) -> None:
    for name in ("one", "two"):
        save_sae(random_sae(), tmp_path / name, ORIGIN, torch.ones(40))
    for file in (CONFIG, WEIGHTS, SPARSITY):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_activations_rescaled_by_decoder_norm_are_folded_in(tmp_path: Path) -> None:
    sae = random_sae()
    save_sae(sae, tmp_path, ORIGIN)
    weights = load_file(tmp_path / WEIGHTS)
    norms = torch.linspace(0.5, 2, 40)
    stored = {**weights, "W_dec": weights["W_dec"] * norms[:, None], "W_enc": weights["W_enc"] / norms}
    save_file({**stored, "b_enc": weights["b_enc"] / norms}, tmp_path / WEIGHTS)
    _edit(tmp_path, rescale_acts_by_decoder_norm=True)
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(load_sae(tmp_path)(x), sae(x))


def test_an_input_without_b_dec_is_folded_in(tmp_path: Path) -> None:
    sae = random_sae()
    save_sae(sae, tmp_path, ORIGIN)
    _edit(tmp_path, apply_b_dec_to_input=False)
    x = torch.randn(20, 12, generator=torch.Generator().manual_seed(0))
    top = (x @ sae.W_enc + sae.b_enc).topk(sae.k)
    code = torch.zeros(20, 40).scatter(1, top.indices, top.values.relu())
    torch.testing.assert_close(load_sae(tmp_path)(x), code @ sae.W_dec + sae.b_dec)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        (
            {"architecture": "standard", "activation_fn_str": "topk"},
            "activation_fn_str is 'topk'; load it in SAELens 6",
        ),
        ({"finetuning_scaling_factor": True}, "finetuning_scaling_factor is set; fold it into W_dec"),
        ({"k": 10_000}, "k is 10000; it must lie between 1 and d_sae"),
        ({"architecture": "temporal"}, "architecture is 'temporal'; what can be read is topk, jumprelu"),
        ({"normalize_activations": "layer_norm"}, "normalize_activations is 'layer_norm'"),
        ({"d_in": 13}, r"W_enc is \[12, 40\], cfg.json says \[13, 40\]"),
    ],
)
def test_what_cannot_be_read_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    save_sae(random_sae(), tmp_path, ORIGIN)
    _edit(tmp_path, **changes)
    with pytest.raises(BadInput, match=message):
        load_sae(tmp_path)


def test_missing_files_and_tensors_are_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"cfg\.json: cannot be read"):
        load_sae(tmp_path)
    save_sae(random_sae(), tmp_path, ORIGIN)
    weights = load_file(tmp_path / WEIGHTS)
    del weights["b_enc"]
    save_file(weights, tmp_path / WEIGHTS)
    with pytest.raises(BadInput, match="tensor 'b_enc' is missing; it has W_dec, W_enc, b_dec"):
        load_sae(tmp_path)
    (tmp_path / WEIGHTS).write_bytes(b"junk")
    with pytest.raises(BadInput, match=r"sae_weights\.safetensors: cannot be read"):
        load_sae(tmp_path)


def test_a_site_of_images_is_called_as_transformers_calls_it(tmp_path: Path) -> None:
    names = {}
    for site in ("vision_post", "projector"):
        save_sae(random_sae(), tmp_path / site, Origin(model="scene-captioner", layer=2, site=site))
        metadata = json.loads((tmp_path / site / CONFIG).read_text())["metadata"]
        assert metadata["prepend_bos"] is False
        names[site] = metadata["hf_hook_name"]
    assert names == {
        "vision_post": "model.vision_tower.encoder.layers.2.output",
        "projector": "model.multi_modal_projector.output",
    }
