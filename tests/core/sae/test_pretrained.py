"""Autoencoders of others, their files written here by the published names and shapes, against their own formulas."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.errors import BadInput
from core.sae.formats import Origin, load_sae, save_sae
from core.sae.pretrained import check_pretrained, load_gemma_scope_2, load_sparsify, open_pretrained
from tests.core.sae.dictionary import random_sae

D, F, OUT = 12, 40, 9
ORIGIN = Origin(model="gemma", layer=17)


def _parts(d_out: int = D) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(8)
    shapes = {"W_enc": (D, F), "W_dec": (F, d_out), "b_enc": (F,), "b_dec": (d_out,)}
    parts = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    return {**parts, "threshold": torch.rand(F, generator=generator)}


def _jump_relu(parts: dict[str, Tensor], x: Tensor) -> Tensor:
    """Gemma Scope's own formula; b_dec is not taken from the input."""
    before = x @ parts["W_enc"] + parts["b_enc"]
    return torch.relu(before) * (before > parts["threshold"]) @ parts["W_dec"] + parts["b_dec"]


@pytest.fixture
def x() -> Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(1))


def test_gemma_scope(tmp_path: Path, x: Tensor) -> None:
    parts = _parts()
    np.savez(tmp_path / "params.npz", **{name: tensor.numpy() for name, tensor in parts.items()})
    torch.testing.assert_close(open_pretrained(tmp_path, D)(x), _jump_relu(parts, x))


@pytest.mark.parametrize("d_out", [D, OUT], ids=["autoencoder", "transcoder"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gemma_scope_2(tmp_path: Path, x: Tensor, d_out: int, dtype: torch.dtype) -> None:
    parts = {name: tensor.to(dtype) for name, tensor in _parts(d_out).items()}
    save_file({name.lower(): tensor for name, tensor in parts.items()}, tmp_path / "params.safetensors")
    (tmp_path / "config.json").write_text(json.dumps({"architecture": "jump_relu", "model_name": "gemma-v3-4b-it"}))
    expected = _jump_relu({name: tensor.float() for name, tensor in parts.items()}, x)
    torch.testing.assert_close(load_gemma_scope_2(tmp_path)(x), expected)
    if d_out != D:
        with pytest.raises(BadInput, match="a transcoder gives another site's rows"):
            open_pretrained(tmp_path, D)


@pytest.mark.parametrize("transcode", [False, True])
def test_sparsify(tmp_path: Path, x: Tensor, transcode: bool) -> None:
    parts = _parts()
    stored = {"encoder.weight": parts["W_enc"].T.contiguous(), "encoder.bias": parts["b_enc"]}
    save_file({**stored, "W_dec": parts["W_dec"], "b_dec": parts["b_dec"]}, tmp_path / "sae.safetensors")
    config = {"activation": "topk", "k": 5, "d_in": D, "num_latents": F, "transcode": transcode}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    before = torch.relu((x if transcode else x - parts["b_dec"]) @ parts["W_enc"] + parts["b_enc"])
    top = before.topk(5)
    code = torch.zeros(30, F).scatter(1, top.indices, top.values)
    torch.testing.assert_close(load_sparsify(tmp_path)(x), code @ parts["W_dec"] + parts["b_dec"])
    if transcode:
        with pytest.raises(BadInput, match="a transcoder"):
            open_pretrained(tmp_path, D)


def test_a_gated_one_of_saelens(tmp_path: Path, x: Tensor) -> None:
    generator = torch.Generator().manual_seed(3)
    parts = _parts()
    gate = {name: 0.3 * torch.randn(F, generator=generator) for name in ("b_gate", "r_mag", "b_mag")}
    stored = {name: parts[name] for name in ("W_enc", "W_dec", "b_dec")}
    save_file({**stored, **gate}, tmp_path / "sae_weights.safetensors")
    config = {"architecture": "gated", "d_in": D, "d_sae": F, "apply_b_dec_to_input": True}
    (tmp_path / "cfg.json").write_text(json.dumps(config))
    product = (x - parts["b_dec"]) @ parts["W_enc"]
    magnitude = torch.relu(product * gate["r_mag"].exp() + gate["b_mag"])
    code = (product + gate["b_gate"] > 0) * magnitude
    torch.testing.assert_close(open_pretrained(tmp_path, D)(x), code @ parts["W_dec"] + parts["b_dec"])


def test_ours_with_thresholds_and_ours_as_a_transcoder_come_back_equal(tmp_path: Path, x: Tensor) -> None:
    sae = random_sae(D, F)
    sae.k, sae.threshold = None, _parts()["threshold"]
    save_sae(sae, tmp_path / "jumprelu", ORIGIN)
    torch.testing.assert_close(load_sae(tmp_path / "jumprelu")(x), sae(x))
    sae.b_in, sae.transcodes = torch.randn(D, generator=torch.Generator().manual_seed(2)), True
    save_sae(sae, tmp_path / "transcoder", ORIGIN)
    torch.testing.assert_close(load_sae(tmp_path / "transcoder")(x), sae(x))
    sae.k = 5
    with pytest.raises(BadInput, match="no TopK transcoder"):
        save_sae(sae, tmp_path / "refused", ORIGIN)


def test_what_does_not_fit_is_told(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"holds no SAE; one of sae_weights\.safetensors, sae\.safetensors, params"):
        open_pretrained(tmp_path, D)
    parts = {name: tensor.numpy() for name, tensor in _parts().items()}
    np.savez(tmp_path / "params.npz", **parts)
    with pytest.raises(BadInput, match="reads rows of width 12; the layer's have 13"):
        open_pretrained(tmp_path, 13)
    np.savez(tmp_path / "params.npz", **{**parts, "threshold": parts["threshold"][:3]})
    with pytest.raises(BadInput, match=r"threshold is \[3\], W_enc \[12, 40\] says \[40\]"):
        open_pretrained(tmp_path, D)
    np.savez(tmp_path / "params.npz", **{**parts, "b_enc": np.zeros(F, np.int64)})
    with pytest.raises(BadInput, match=r"b_enc holds torch\.int64"):
        open_pretrained(tmp_path, D)
    holed = parts["W_dec"].copy()
    holed[3, 5] = np.nan
    np.savez(tmp_path / "params.npz", **{**parts, "W_dec": holed})
    with pytest.raises(BadInput, match=r"params\.npz: W_dec holds NaN"):
        open_pretrained(tmp_path, D)
    del parts["b_dec"]
    np.savez(tmp_path / "params.npz", **parts)
    with pytest.raises(BadInput, match="tensor 'b_dec' is missing; it has W_dec, W_enc"):
        open_pretrained(tmp_path, D)


@pytest.mark.parametrize(
    ("place", "refused"),
    [
        ("models--google--gemma-scope-2b-pt-transcoders/snapshots/a/layer_9/width_16k/average_l0_8", True),
        ("gemma-scope-2b-pt-transcoders/layer_9/width_16k/average_l0_8", True),
        ("gemma-scope-2-4b-pt/transcoder_all/layer_9_width_16k", True),
        ("transcoders-and-saes/layer_9", False),
        ("my-transcoders/gemma-scope-2b-pt-res/layer_9/width_16k/average_l0_8", False),
    ],
)
def test_gemma_scopes_transcoders_are_told_by_the_names_around_them(tmp_path: Path, place: str, refused: bool) -> None:
    (tmp_path / place).mkdir(parents=True)
    np.savez(tmp_path / place / "params.npz", **{name: tensor.numpy() for name, tensor in _parts().items()})
    if refused:
        with pytest.raises(BadInput, match="a transcoder"):
            open_pretrained(tmp_path / place, D)
    else:
        assert open_pretrained(tmp_path / place, D).d_model == D


@pytest.mark.parametrize("check", [open_pretrained, check_pretrained])
def test_a_damaged_npz_is_one_line(tmp_path: Path, check: Callable[[Path, int], object]) -> None:
    path, arrays = tmp_path / "params.npz", {name: tensor.numpy() for name, tensor in _parts().items()}
    odd = [np.array("gemma"), np.array([{}], object), np.zeros(2, "V2"), np.zeros(2, "g"), np.zeros(1, "M8[D]")]
    for extra in odd:
        np.savez(path, **arrays, extra=extra)
        with pytest.raises(BadInput, match=r"params\.npz: cannot be read"):
            check(tmp_path, D)
    whole = path.read_bytes()
    np.save(tmp_path / "one.npy", np.zeros(3))
    for content in (b"", whole[: len(whole) // 2], (tmp_path / "one.npy").read_bytes()):
        path.write_bytes(content)
        with pytest.raises(BadInput, match=r"params\.npz: cannot be read"):
            check(tmp_path, D)


@pytest.mark.parametrize("expansion", ["2", {"a": 2}])
def test_an_expansion_that_is_no_number_is_one_line(tmp_path: Path, expansion: object) -> None:
    parts = _parts()
    stored = {"encoder.weight": parts["W_enc"].T.contiguous(), "encoder.bias": parts["b_enc"]}
    save_file({**stored, "W_dec": parts["W_dec"], "b_dec": parts["b_dec"]}, tmp_path / "sae.safetensors")
    (tmp_path / "cfg.json").write_text(json.dumps({"k": 5, "d_in": D, "expansion_factor": expansion}))
    with pytest.raises(BadInput, match=r"expansion_factor is .*; write a number"):
        open_pretrained(tmp_path, D)
    (tmp_path / "cfg.json").write_text(json.dumps({"k": 5, "d_in": D, "expansion_factor": None}))
    assert open_pretrained(tmp_path, D).k == 5
