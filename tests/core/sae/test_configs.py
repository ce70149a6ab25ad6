"""SAELens' cfg.json in all its versions: what is read, as which kind, and what is refused by name."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from core.errors import BadInput
from core.sae.configs import saelens_config
from core.sae.pretrained import check_pretrained, open_pretrained

D, F = 12, 40
SIZE = {"d_in": D, "d_sae": F, "dtype": "torch.float32", "device": "cuda"}
METADATA = {"model_name": "gemma-2-2b", "hook_name": "blocks.3.hook_resid_post", "anything": {"at": ["all"]}}
# A field of each kind that SAELens wrote before 6 beside what it computes.
OLD = {
    "model_name": "gpt2-small", "hook_point": "blocks.8.hook_resid_pre", "hook_point_layer": 8,
    "hook_point_head_index": None, "dataset_path": "x", "is_dataset_tokenized": False, "context_size": 128,
    "expansion_factor": 32, "l1_coefficient": 8e-5, "lr": 4e-4, "use_ghost_grads": False, "b_dec_init_method": "zeros",
    "feature_sampling_method": None, "resample_batches": 1028, "tokens_per_buffer": 67, "run_name": "r", "seed": 42,
    "normalize_activations": False, "noise_scale": 0.0, "mse_loss_normalization": None,
    "finetuning_scaling_factor": False,
}  # fmt: skip


def parts() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(8)
    shapes = {"W_enc": (D, F), "W_dec": (F, D), "b_enc": (F,), "b_dec": (D,)}
    return {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}


def stored(folder: Path, config: dict[str, Any], **more: Tensor) -> Path:
    (folder / "cfg.json").write_text(json.dumps({**SIZE, **config}))
    save_file({**parts(), **more}, folder / "sae_weights.safetensors")
    return folder


@pytest.fixture
def x() -> Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(1))


def product(x: Tensor) -> Tensor:
    return (x - parts()["b_dec"]) @ parts()["W_enc"] + parts()["b_enc"]


def decoded(code: Tensor) -> Tensor:
    return code @ parts()["W_dec"] + parts()["b_dec"]


def strongest(before: Tensor, k: int) -> Tensor:
    top = before.topk(k)
    return torch.zeros_like(before).scatter(1, top.indices, top.values.relu())


@pytest.mark.parametrize(
    "config",
    [
        {
            "architecture": "standard",
            "metadata": METADATA,
            "apply_b_dec_to_input": True,
            "reshape_activations": "hook_z",
        },
        {**OLD, "activation_fn": "relu"},
        {**OLD, "activation_fn_str": "relu", "activation_fn_kwargs": {}, "hook_layer": 8, "architecture": "standard"},
        {"architecture": "standard", "l1_coefficient": 1.0, "lp_norm": 1.0, "decoder_init_norm": 0.1, "k": None},
    ],
    ids=["six", "without architecture", "five", "training"],
)
def test_a_relu_of_any_version(tmp_path: Path, x: Tensor, config: dict[str, Any]) -> None:
    folder = stored(tmp_path, config, scaling_factor=torch.ones(F))
    check_pretrained(folder, D)
    torch.testing.assert_close(open_pretrained(folder, D)(x), decoded(product(x).relu()))


@pytest.mark.parametrize(
    "config",
    [
        {"architecture": "topk", "k": 5.0, "metadata": METADATA},
        {**OLD, "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5}},
        {**OLD, "architecture": "standard", "activation_fn": "topk", "activation_fn_kwargs": {"k": 5}},
        {"architecture": "topk", "activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5, "signed": False}},
    ],
)
def test_a_topk_of_any_version(tmp_path: Path, x: Tensor, config: dict[str, Any]) -> None:
    sae = open_pretrained(stored(tmp_path, config), D)
    assert sae.k == 5
    torch.testing.assert_close(sae(x), decoded(strongest(product(x), 5)))


def test_jumprelu_and_batchtopk_with_their_thresholds(tmp_path: Path, x: Tensor) -> None:
    level = torch.rand(F, generator=torch.Generator().manual_seed(2)) + 0.1
    before = product(x)
    for name in ("threshold", "log_threshold"):
        kept = {name: level.log() if name == "log_threshold" else level}
        sae = open_pretrained(stored(tmp_path, {"architecture": "jumprelu", "jumprelu_bandwidth": 0.05}, **kept), D)
        torch.testing.assert_close(sae(x), decoded(before.relu() * (before > level)))
    norms = parts()["W_dec"].norm(dim=1)
    kept = {"topk_threshold": torch.tensor(0.5, dtype=torch.float64)}
    for architecture, rescale in (("batchtopk", True), ("matryoshka_batchtopk", False)):
        config = {"architecture": architecture, "k": 4.5, "rescale_acts_by_decoder_norm": rescale, "metadata": METADATA}
        scale = norms if rescale else torch.ones(F)
        code = before.relu() * (before * scale > 0.5)
        torch.testing.assert_close(open_pretrained(stored(tmp_path, config, **kept), D)(x), decoded(code))


@pytest.mark.parametrize(
    ("config", "more", "message"),
    [
        ({"architecture": "standard", "clamp": 3}, {}, "key 'clamp' is not known and may change what the SAE computes"),
        ({"architecture": "topk", "k": 41}, {}, "k is 41; it must lie between 1 and d_sae, 40"),
        ({"architecture": "topk", "k": 0}, {}, "k is 0; it must lie"),
        ({"architecture": "topk", "k": 2.5}, {}, "k is 2.5; it must lie"),
        ({"architecture": "topk", "k": True}, {}, "k is True; it must lie"),
        ({"architecture": "topk"}, {}, "key 'k' is missing"),
        (
            {"architecture": "topk", "k": 4, "activation_fn_kwargs": {"k": 5}},
            {},
            "k is 4, and activation_fn_kwargs says 5",
        ),
        (
            {"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 5, "signed": True}},
            {},
            "key 'signed' is not known",
        ),
        ({"activation_fn_str": "topk", "activation_fn_kwargs": {"k": 500}}, {}, "k is 500; it must lie"),
        ({"activation_fn": "tanh-relu"}, {}, "activation_fn is 'tanh-relu'; load it in SAELens 6"),
        ({"architecture": "abstopk", "k": 3}, {}, "architecture is 'abstopk'; what can be read is topk"),
        ({"architecture": "skip_transcoder"}, {}, "architecture is 'skip_transcoder'"),
        ({"architecture": "standard", "normalize_activations": True}, {}, "normalize_activations is True; .* folds it"),
        ({"architecture": "standard", "normalize_activations": "constant_norm_rescale"}, {}, "save another"),
        ({"architecture": "standard", "rescale_acts_by_decoder_norm": True}, {}, "SAELens knows it of TopK alone"),
        ({"architecture": "standard", "apply_b_dec_to_input": "no"}, {}, "apply_b_dec_to_input is 'no'; write true"),
        (
            {"architecture": "standard", "metadata": {"hook_head_index": 3}},
            {},
            "hook_head_index is 3; an SAE of one head",
        ),
        ({"architecture": "standard", "d_in": "wide"}, {}, "d_in is 'wide'; it must be a whole number"),
        (
            {"architecture": "standard"},
            {"W_skip": torch.ones(D, D)},
            r"tensor W_skip \[12, 12\] is not read by this kind",
        ),
        ({"architecture": "standard"}, {"threshold": torch.ones(F)}, r"tensor threshold \[40\] is not read"),
        ({"architecture": "gated"}, {"r_mag": torch.ones(F), "b_mag": torch.ones(F)}, "tensor 'b_gate' is missing"),
    ],
)
def test_what_would_compute_something_else_is_refused_before_its_numbers_are_read(
    tmp_path: Path, config: dict[str, Any], more: dict[str, Tensor], message: str
) -> None:
    folder = stored(tmp_path, config, **more)
    for opened in (check_pretrained, open_pretrained):
        with pytest.raises(BadInput, match=message):
            opened(folder, D)


def test_what_only_numbers_show_is_refused_when_they_are_read(tmp_path: Path) -> None:
    standard = {"architecture": "standard"}
    for more, message in (
        ({"scaling_factor": torch.full((F,), 1.01)}, "scaling_factor is not all ones; fold it into W_dec"),
        ({"b_enc": torch.full((F,), torch.inf)}, "b_enc holds Inf"),
        ({"W_dec": torch.full((F, D), torch.nan)}, "W_dec holds NaN"),
        ({"b_dec": torch.full((D,), 1e300, dtype=torch.float64)}, "b_dec holds Inf"),
    ):
        with pytest.raises(BadInput, match=message):
            open_pretrained(stored(tmp_path, standard, **more), D)


def test_names_of_a_compiled_module_are_stripped_and_told(tmp_path: Path, x: Tensor) -> None:
    stored(tmp_path, {"architecture": "standard"})
    wrapped = {f"_orig_mod.{name}": tensor for name, tensor in parts().items()}
    save_file(wrapped, tmp_path / "sae_weights.safetensors")
    told: list[str] = []
    torch.testing.assert_close(open_pretrained(tmp_path, D, told.append)(x), decoded(product(x).relu()))
    assert "every tensor's name begins with '_orig_mod.', which was left out" in told[0]


SPARSIFY = {"expansion_factor": 2, "normalize_decoder": True, "num_latents": F, "k": 5, "d_in": D, "signed": False}


@pytest.mark.parametrize(
    ("change", "more", "message"),
    [
        ({"signed": True}, {}, "signed is True; it keeps negative activations"),
        ({"skip_connection": True}, {}, "skip_connection is True"),
        ({"activation": "groupmax"}, {}, "activation is 'groupmax'; only topk can be read"),
        ({"k": 41}, {}, "k is 41; it must lie between 1 and d_sae, 40"),
        ({"num_latents": 48}, {}, "W_dec has 40 features, cfg.json says 48"),
        ({"batch_topk": True}, {}, "key 'batch_topk' is not known"),
        ({}, {"W_skip": torch.ones(D, D)}, r"tensor W_skip \[12, 12\] is not read"),
    ],
)
def test_sparsify_by_its_own_keys(
    tmp_path: Path, x: Tensor, change: dict[str, Any], more: dict[str, Tensor], message: str
) -> None:
    own = {"encoder.weight": parts()["W_enc"].T.contiguous(), "encoder.bias": parts()["b_enc"]}
    own |= {name: parts()[name] for name in ("W_dec", "b_dec")}
    (tmp_path / "cfg.json").write_text(json.dumps(SPARSIFY))
    save_file(own, tmp_path / "sae.safetensors")
    torch.testing.assert_close(open_pretrained(tmp_path, D)(x), decoded(strongest(product(x), 5)))
    (tmp_path / "cfg.json").write_text(json.dumps({**SPARSIFY, **change}))
    save_file({**own, **more}, tmp_path / "sae.safetensors")
    with pytest.raises(BadInput, match=message):
        open_pretrained(tmp_path, D)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"type": "crosscoder"}, "type is 'crosscoder'; only an SAE of one layer"),
        ({"affine_connection": True}, "affine skip connection"),
        ({"hf_hook_point_out": "model.layers.3.mlp.output"}, "a transcoder gives another site's rows"),
        ({"norm": "rms"}, "key 'norm' is not known"),
    ],
)
def test_gemma_scope_2_by_its_own_keys(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    config = {"architecture": "jump_relu", "hf_hook_point_in": "model.layers.3.output", "type": "sae", "width": F}
    config |= {"hf_hook_point_out": "model.layers.3.output", "model_name": "google/gemma-3-4b-it", "l0": 20}
    save_file(
        {name.lower(): part for name, part in parts().items()} | {"threshold": torch.ones(F)},
        tmp_path / "params.safetensors",
    )
    (tmp_path / "config.json").write_text(json.dumps({**config, "affine_connection": False}))
    check_pretrained(tmp_path, D)
    (tmp_path / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(BadInput, match=message):
        open_pretrained(tmp_path, D)


def test_without_architecture_and_activation_it_is_a_standard_one(tmp_path: Path) -> None:
    (tmp_path / "cfg.json").write_text(json.dumps({"d_in": 4, "d_sae": 6}))
    assert saelens_config(tmp_path / "cfg.json").architecture == "standard"


def test_a_batchtopk_with_more_features_than_there_are_or_no_threshold_is_refused(tmp_path: Path) -> None:
    config = {"architecture": "batchtopk", "metadata": METADATA}
    with pytest.raises(BadInput, match=rf"k is {F}\.5; it must lie between 0 and d_sae, {F}"):
        check_pretrained(stored(tmp_path, {**config, "k": F + 0.5}, topk_threshold=torch.tensor(0.1)), D)
    with pytest.raises(BadInput, match=r"topk_threshold is -1\.0: it was never set"):
        open_pretrained(stored(tmp_path, {**config, "k": 4}, topk_threshold=torch.tensor(-1.0)), D)
