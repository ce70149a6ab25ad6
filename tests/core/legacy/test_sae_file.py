"""Pickled SAEs of older scripts, against the formulas that their own classes compute."""

import json
import shutil
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from core.errors import BadInput
from core.legacy.sae_file import SAEOptions, import_sae
from core.sae.origins import read_trained
from core.sae.pretrained import open_pretrained

D, F, K = 12, 40, 5


class OldSAE(nn.Module):
    """As the scripts before this project had it; `centred` was one class, and not was another of the same names."""

    def __init__(self, centred: bool = False, width: int = F) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.centred = centred
        self.encoder, self.decoder = nn.Linear(D, width), nn.Linear(width, D)

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.features(x))

    def features(self, x: Tensor) -> Tensor:
        return torch.relu(self.encoder(x - self.decoder.bias if self.centred else x))


@pytest.fixture
def x() -> Tensor:
    return torch.randn(30, D, generator=torch.Generator().manual_seed(1))


NOTHING = SAEOptions()


def heard(source: Path, options: SAEOptions = NOTHING) -> tuple[Path, list[str]]:
    lines: list[str] = []
    out = source.with_name("rewritten")
    shutil.rmtree(out, ignore_errors=True)
    import_sae(source, out, options, lines.append)
    return out, lines


def saved(folder: Path, content: Any, name: str = "sae_final.pt") -> Path:
    torch.save(content, folder / name)
    return folder / name


@pytest.mark.parametrize("centred", [True, False])
@pytest.mark.parametrize("width", [F, D])
def test_an_old_checkpoint_computes_what_it_did(tmp_path: Path, x: Tensor, centred: bool, width: int) -> None:
    old = OldSAE(centred, width)
    settings = {"d_model": D, "expansion_factor": width / D, "l1_coefficient": 5e-4}
    content = {"model_state_dict": old.state_dict(), "config": settings, "layer": 10, "timestamp": "2025"}
    out, lines = heard(saved(tmp_path, content), SAEOptions(centred=centred, hook="model.layers.10", model="gemma"))
    torch.testing.assert_close(open_pretrained(out, D)(x), old(x))
    told = read_trained(out)
    assert (told.model, told.hook, told.metadata["l1_coefficient"]) == ("gemma", "model.layers.10", 5e-4)
    assert f"{width} features of width 12" in lines[-1]


def test_wrappers_of_every_name_are_stripped_and_reported(tmp_path: Path, x: Tensor) -> None:
    old = OldSAE()
    state = {f"module._orig_mod.sae.{name}": tensor for name, tensor in old.state_dict().items()}
    out, lines = heard(saved(tmp_path, state), SAEOptions("relu", centred=False))
    assert "every tensor's name begins with 'module._orig_mod.sae.', which was left out" in lines[0]
    torch.testing.assert_close(open_pretrained(out, D)(x), old(x))


def test_a_topk_takes_its_k_from_the_file_or_the_user(tmp_path: Path, x: Tensor) -> None:
    old = OldSAE(centred=True)
    before = old.features(x)
    top = before.topk(K)
    expected = old.decoder(torch.zeros_like(before).scatter(1, top.indices, top.values))
    in_file = saved(tmp_path, {"state_dict": old.state_dict(), "cfg": {"activation": "topk", "topk_k": K}})
    torch.testing.assert_close(open_pretrained(heard(in_file, SAEOptions(centred=True))[0], D)(x), expected)
    with pytest.raises(BadInput, match=r"k is 5 in the file, and --k is 6"):
        heard(in_file, SAEOptions(centred=True, k=6))
    bare = saved(tmp_path, old.state_dict())
    torch.testing.assert_close(open_pretrained(heard(bare, SAEOptions(centred=True, k=K))[0], D)(x), expected)


@pytest.mark.parametrize("transposed", [False, True])
def test_plain_parameters_lie_as_they_are_multiplied_unless_their_biases_say_otherwise(
    tmp_path: Path, x: Tensor, transposed: bool
) -> None:
    old = OldSAE(centred=True)
    parts = {"W_enc": old.encoder.weight.T, "W_dec": old.decoder.weight.T}
    parts = {name: (matrix.T if transposed else matrix).contiguous() for name, matrix in parts.items()}
    state = {**parts, "b_enc": old.encoder.bias, "pre_bias": old.decoder.bias}
    out, lines = heard(saved(tmp_path, state), SAEOptions("relu"))  # a pre_bias is taken from the input by its name
    assert any("lie transposed" in line for line in lines) == transposed
    torch.testing.assert_close(open_pretrained(out, D)(x), old(x))


def test_dictionary_learning_names_its_class(tmp_path: Path, x: Tensor) -> None:
    old = OldSAE(centred=True)
    state = {"encoder.weight": old.encoder.weight, "encoder.bias": old.encoder.bias, "b_dec": old.decoder.bias}
    state |= {"decoder.weight": old.decoder.weight, "k": torch.tensor(K), "threshold": torch.tensor(0.4)}
    saved(tmp_path, state, "ae.pt")
    trainer = {"k": K, "lm_name": "google/gemma-2-2b", "layer": 3, "submodule_name": "resid_post_layer_3"}
    before = old.features(x)
    top = torch.zeros_like(before).scatter(1, before.topk(K).indices, before.topk(K).values)
    expected = {"AutoEncoderTopK": top, "BatchTopKSAE": before * (before > 0.4)}
    for number, (name, code) in enumerate(expected.items()):
        (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": name, **trainer}, "buffer": {}}))
        out = tmp_path / str(number)
        import_sae(tmp_path, out, SAEOptions(), lambda _: None)
        torch.testing.assert_close(open_pretrained(out, D)(x), old.decoder(code))
        assert (read_trained(out).model, read_trained(out).hook) == ("google/gemma-2-2b", "resid_post_layer_3")
    (tmp_path / "config.json").write_text(json.dumps({"trainer": {"dict_class": "CrossCoder"}}))
    with pytest.raises(BadInput, match=r"trainer\.dict_class is 'CrossCoder'; what can be read is AutoEncoder, "):
        import_sae(tmp_path, tmp_path / "x", SAEOptions(), lambda _: None)


@pytest.mark.parametrize(
    ("change", "options", "message"),
    [
        ({}, SAEOptions(centred=True), "nothing says how its features fire; pass --activation relu, or --k K"),
        ({}, SAEOptions("relu"), "nothing says whether decoder.bias is taken from the input .* --centred"),
        ({}, SAEOptions("topk", centred=True), "a TopK, and k is missing; pass --k K"),
        ({}, SAEOptions(k=41, centred=True), "k is 41; it must lie between 1 and its 40 features"),
        (
            {"decoder.weight": None},
            SAEOptions("relu"),
            "no decoder weight among decoder.bias, encoder.bias, encoder.weight",
        ),
        ({"skip.weight": torch.ones(D, D)}, SAEOptions("relu"), r"tensor skip.weight \[12, 12\] is not read"),
        ({"encoder.bias": torch.full((F,), torch.inf)}, SAEOptions("relu"), "encoder.bias holds Inf"),
        ({"encoder.bias": torch.zeros(3)}, SAEOptions("relu"), r"shapes do not fit each other: .*b_enc \[3\]"),
        ({"threshold": torch.ones(F)}, SAEOptions("relu", centred=True), "it has a threshold, and is taken for relu"),
    ],
)
def test_what_nobody_states_is_not_assumed(
    tmp_path: Path, change: dict[str, Any], options: SAEOptions, message: str
) -> None:
    state = {**OldSAE().state_dict(), **change}
    source = saved(tmp_path, {name: value for name, value in state.items() if value is not None})
    with pytest.raises(BadInput, match=message):
        heard(source, options)
    assert not (tmp_path / "rewritten").exists()


def test_a_pickle_that_needs_a_class_is_refused_by_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    module = ModuleType("old_models")
    config = type("SAEConfig", (), {"__module__": "old_models"})
    module.SAEConfig = config  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "old_models", module)
    source = saved(tmp_path, {"model_state_dict": OldSAE().state_dict(), "config": config()})
    with pytest.raises(BadInput, match=r"sae_final\.pt: its pickle needs old_models\.SAEConfig, which is never loaded"):
        heard(source)
    (tmp_path / "half.pt").write_bytes(source.read_bytes()[:500])
    with pytest.raises(BadInput, match=r"half\.pt: cannot be read as a file of torch\.save"):
        heard(tmp_path / "half.pt")


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"config": {"normalize_activations": True}}, r"config\.normalize_activations \(True\) may change"),
        ({"config": {"normalize_activations": "layer_norm"}}, "config.normalize_activations .'layer_norm'. may change"),
        ({"config": {"input_scale": 12.5}}, r"config\.input_scale \(12\.5\) may change"),
        ({"config": {"signed": True}}, r"config\.signed \(True\) may change"),
        ({"config": {"soft_cap": 3}}, r"setting config\.soft_cap is not known"),
        ({"act_mean": torch.ones(D), "act_std": torch.ones(D)}, "act_mean may change"),
        ({"normalization": {"mean": torch.ones(D)}}, "normalization may change"),
        ({"ema_state_dict": {"encoder.weight": torch.ones(D)}}, r"ema_state_dict\.encoder\.weight lies outside"),
    ],
)
def test_what_lies_beside_the_state_and_may_change_it_is_refused(
    tmp_path: Path, beside: dict[str, Any], message: str
) -> None:
    options = SAEOptions("relu", centred=False)
    with pytest.raises(BadInput, match=message):
        heard(saved(tmp_path, {"model_state_dict": OldSAE().state_dict(), **beside}), options)


def test_a_scale_within_the_state_is_refused_and_what_is_of_training_is_not(tmp_path: Path) -> None:
    options, state = SAEOptions("relu", centred=False), OldSAE().state_dict()
    with pytest.raises(BadInput, match=r"activation_scale \(12\.5\) may change"):
        heard(saved(tmp_path, {**state, "activation_scale": 12.5}), options)
    optimizer = {"state": {0: {"exp_avg": torch.ones(D)}}, "param_groups": [{"lr": 1e-3}]}
    beside = {"optimizer_state_dict": optimizer, "epoch": 3, "loss": 0.1, "history": {"loss": [0.1]}, "best_loss": 0.1}
    config = {"seed": 0, "lr": 1e-3, "normalize_activations": "none", "normalize_decoder": True, "max_grad_norm": 1.0}
    heard(saved(tmp_path, {"model_state_dict": state, "config": {**config, "input_scale": 1.0}, **beside}), options)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        (5, torch.ones(3), "a tensor is called 5, no text"),
        ("encoder.weight", torch.ones(F, D).to_sparse(), r"encoder\.weight is stored as torch\.sparse_coo"),
        ("encoder.weight", torch.ones(F, D, device="meta"), r"encoder\.weight has no numbers"),
    ],
)
def test_a_tensor_that_is_not_plain_is_refused(tmp_path: Path, name: Any, tensor: Tensor, message: str) -> None:
    with pytest.raises(BadInput, match=message):
        heard(saved(tmp_path, {**OldSAE().state_dict(), name: tensor}), SAEOptions("relu", centred=False))


@pytest.mark.parametrize(
    ("beside", "message"),
    [
        ({"config": {"stages": [{"input_scale": 12.5}]}}, r"config\.stages\[0\]\.input_scale \(12\.5\) may change"),
        ({"train_config": {"normalize_activations": True}}, r"train_config\.normalize_activations \(True\) may change"),
        ({"training": {"data": {"scaling_factor": 0.2}}}, r"training\.data\.scaling_factor \(0\.2\) may change"),
    ],
)
def test_what_scales_is_found_in_whatever_holds_it(tmp_path: Path, beside: dict[str, Any], message: str) -> None:
    content = {"model_state_dict": OldSAE().state_dict(), **beside}
    with pytest.raises(BadInput, match=message):
        heard(saved(tmp_path, content), SAEOptions("relu", centred=False))


@pytest.mark.parametrize("name", ["config.json", "cfg.json", "sae_config.json", "sae_final.json"])
def test_a_configuration_beside_the_file_is_read(tmp_path: Path, x: Tensor, name: str) -> None:
    old = OldSAE(centred=True)
    source = saved(tmp_path, old.state_dict())
    (tmp_path / name).write_text(json.dumps({"sae": {"activation": "topk", "k": K, "centred": True}, "images": 3}))
    top = old.features(x).topk(K)
    expected = old.decoder(torch.zeros(len(x), F).scatter(1, top.indices, top.values))
    torch.testing.assert_close(open_pretrained(heard(source)[0], D)(x), expected)
    for setting in ({"scaling_factor": 12.5}, {"data": {"normalisation": "layer"}}, {"activation_norm": [2.0]}):
        (tmp_path / name).write_text(json.dumps({"sae": {"k": K, **setting}}))
        with pytest.raises(BadInput, match=rf"{name}: sae\..*(scaling_factor|normalisation|activation_norm)"):
            heard(source, SAEOptions(centred=True))
    (tmp_path / name).write_text(json.dumps({"transformers_version": "5", "scale": 3, "activation": "gelu"}))
    heard(source, SAEOptions("relu", centred=True))


@pytest.mark.parametrize("container", ["config", "sae", "cfg", "SAE_config", "training", "hparams"])
def test_settings_are_read_from_within_containers(tmp_path: Path, container: str) -> None:
    settings = {"activation": "topk", "k": K, "apply_b_dec_to_input": True}
    content = {"state_dict": OldSAE().state_dict(), "config": {container: settings}}
    assert open_pretrained(heard(saved(tmp_path, content))[0], D).k == K
    inner = {"k": 3, "activation": "topk", "centred": True}
    for order in (1, -1):  # what stands around goes before what stands within, whichever comes first
        content = dict([("config", {container: inner}), ("k", K), ("state_dict", OldSAE().state_dict())][::order])
        assert open_pretrained(heard(saved(tmp_path, content))[0], D).k == K


def test_dictionary_learnings_own_factor_is_in_its_weights_already_and_its_buffers_is_not(tmp_path: Path) -> None:
    saved(tmp_path, OldSAE().state_dict(), "ae.pt")
    config: dict[str, Any] = {"trainer": {"dict_class": "AutoEncoder", "norm_factor": 3.5}, "buffer": {"ctx_len": 8}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    import_sae(tmp_path, tmp_path / "out", NOTHING, lambda _: None)
    config["buffer"]["rescale_acts"] = True
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(BadInput, match=r"config\.json: buffer\.rescale_acts \(True\) may change"):
        import_sae(tmp_path, tmp_path / "other", NOTHING, lambda _: None)


@pytest.mark.parametrize("wrapper", ["", "sae.", "encoder."])
def test_tied_weights_are_read_where_they_are_said_to_be_and_refused_by_name_elsewhere(
    tmp_path: Path, x: Tensor, wrapper: str
) -> None:
    old = OldSAE()
    state = {f"{wrapper}encoder.{name}": tensor for name, tensor in old.encoder.state_dict().items()}
    with pytest.raises(
        BadInput, match=r"no decoder weight among encoder\.bias, encoder\.weight; .* tied_weights: True"
    ):
        heard(saved(tmp_path, state), SAEOptions("relu"))
    out, _ = heard(saved(tmp_path, {"state_dict": state, "config": {"tied_weights": True}}), SAEOptions("relu"))
    expected = torch.relu(old.encoder(x)) @ old.encoder.weight
    torch.testing.assert_close(open_pretrained(out, D)(x), expected)


def test_a_folder_that_holds_something_is_not_written_into(tmp_path: Path) -> None:
    source = saved(tmp_path, OldSAE().state_dict())
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine").touch()
    with pytest.raises(BadInput, match="out: is there already"):
        import_sae(source, tmp_path / "out", SAEOptions("relu", centred=False), lambda _: None)
