"""Checkpoints as they sometimes arrive: each is read as it was saved, or refused by the names of its tensors."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from core.errors import BadInput
from core.lm.checkpoint import read_checkpoint
from core.lm.loading import load_model
from core.lm.shape import read_shape, weight_files

Tensors = dict[str, Tensor]
CAPTIONER = Path(__file__).parents[3] / "deployments" / "models" / "scene-captioner"
DOWN = "model.layers.2.mlp.down_proj.weight"


@pytest.fixture
def stored(tiny_text_gemma: Path, tmp_path: Path) -> Callable[[Callable[[Tensors], Tensors]], Path]:
    """Stores the tiny model's tensors otherwise."""

    def store(change: Callable[[Tensors], Tensors]) -> Path:
        folder = tmp_path / "model"
        shutil.copytree(tiny_text_gemma, folder, dirs_exist_ok=True)
        save(change(load_file(tiny_text_gemma / "model.safetensors")), folder / "model.safetensors")
        return folder

    return store


def save(tensors: Tensors, path: Path) -> None:
    save_file({name: tensor.clone() for name, tensor in tensors.items()}, path, metadata={"format": "pt"})


def set_config(folder: Path, **fields: object) -> None:
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | fields))


def refusal(folder: Path) -> str:
    with pytest.raises(BadInput) as caught:
        load_model(folder, "float32", "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without(*names: str) -> Callable[[Tensors], Tensors]:
    return lambda tensors: {name: tensor for name, tensor in tensors.items() if name not in names}


def test_a_missing_tensor_of_the_captioner_is_named(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """It was made up at random, and the run succeeded."""
    folder = tmp_path / "model"
    shutil.copytree(CAPTIONER, folder)
    tensors = load_file(folder / "model.safetensors")
    gone = next(name for name in tensors if "layers.17.mlp.down_proj" in name and "vision" not in name)
    save(without(gone)(tensors), folder / "model.safetensors")
    assert gone.endswith("layers.17.mlp.down_proj.weight")
    assert "1 tensor missing (model.language_model.layers.17.mlp.down_proj.weight)" in refusal(folder)
    assert "MISSING" not in "".join(capfd.readouterr()), "transformers' own table is not printed beside it"


def test_many_missing_tensors_are_counted_and_a_few_named(stored: Callable[..., Path]) -> None:
    told = refusal(stored(lambda tensors: {k: v for k, v in tensors.items() if ".mlp." not in k}))
    assert "12 tensors missing (model.layers.0.mlp.down_proj.weight, " in told
    assert told.count(".mlp.") == 4 and ", and 8 more)" in told


def test_unexpected_tensors_are_named(stored: Callable[..., Path]) -> None:
    told = refusal(stored(lambda tensors: {**tensors, "v_head.summary.weight": torch.ones(1, 32)}))
    assert "1 tensor unexpected (v_head.summary.weight)" in told


def test_an_unmerged_adapter_is_told_as_one(stored: Callable[..., Path]) -> None:
    name = "model.layers.0.self_attn.q_proj.lora_A.default.weight"
    told = refusal(stored(lambda tensors: {**tensors, name: torch.ones(4, 32)}))
    assert name in told and "merge_and_unload" in told


def test_another_shape_is_told_with_the_expected_one(stored: Callable[..., Path]) -> None:
    told = refusal(stored(lambda tensors: {**tensors, DOWN: torch.ones(32, 40)}))
    assert f"1 tensor of another shape ({DOWN} is [32, 40], not [32, 48])" in told


def test_a_config_of_fewer_layers_leaves_tensors_over(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    set_config(folder, num_hidden_layers=3, layer_types=["full_attention"] * 3)
    told = refusal(folder)
    assert "tensors unexpected (model.layers.3." in told and "correct config.json" in told


@pytest.mark.parametrize(
    "wrapped",
    [
        lambda name: f"_orig_mod.{name}",
        lambda name: f"module.{name}",
        lambda name: f"module._orig_mod.{name}",
        lambda name: name.replace("model.", "model._orig_mod.", 1).replace("mlp.", "_fsdp_wrapped_module.mlp."),
        lambda name: f"_orig_mod.{name.removeprefix('model.')}",
    ],
    ids=["compiled", "parallel", "both", "nested", "base"],
)
def test_the_prefixes_of_wrappers_are_left_out_and_it_is_said(
    wrapped: Callable[[str], str], stored: Callable[..., Path], tiny_text_gemma: Path
) -> None:
    folder = stored(lambda tensors: {wrapped(name): tensor for name, tensor in tensors.items()})
    before = (folder / "model.safetensors").read_bytes()
    loaded, plain = (load_model(place, "float32", "cpu") for place in (folder, tiny_text_gemma))
    theirs = plain.model.state_dict()
    assert all(torch.equal(tensor, theirs[name]) for name, tensor in loaded.model.state_dict().items())
    (note,) = loaded.notes
    assert note.startswith("the prefix ") and note.endswith(" tensors is left out")
    assert "_orig_mod." in note or "module." in note
    assert (folder / "model.safetensors").read_bytes() == before
    assert plain.notes == ()


def test_a_wrapped_checkpoint_that_lacks_a_tensor_is_refused_by_its_own_name(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: {f"module.{name}": tensor for name, tensor in without(DOWN)(tensors).items()})
    assert f"1 tensor missing ({DOWN})" in refusal(folder)


def test_a_tensor_stored_with_and_without_its_prefix_is_refused(stored: Callable[..., Path]) -> None:
    told = refusal(stored(lambda tensors: {**tensors, f"module.{DOWN}": tensors[DOWN] + 1}))
    assert f"{DOWN} and module.{DOWN} are one tensor's names" in told


def test_what_transformers_itself_leaves_over_is_no_fault(stored: Callable[..., Path]) -> None:
    """Rotary frequencies were stored once, and are computed now."""
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    folder = stored(lambda tensors: {**tensors, name: torch.ones(8)})
    assert load_model(folder, "float32", "cpu").notes == ()


def test_a_head_that_differs_from_the_embeddings_to_which_it_is_tied_is_told(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: {**tensors, "lm_head.weight": tensors["model.embed_tokens.weight"] + 1})
    loaded = load_model(folder, "float32", "cpu")
    assert loaded.notes and "config.json ties the vocabulary head" in loaded.notes[0]
    embeddings = loaded.model.get_input_embeddings().weight
    assert torch.equal(loaded.unembedding, embeddings + 1)


def test_a_head_that_is_not_tied_must_be_there(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    set_config(folder, tie_word_embeddings=False)
    assert "1 tensor missing (lm_head.weight)" in refusal(folder)


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_no_numbers_are_named(value: float, stored: Callable[..., Path]) -> None:
    def spoil(tensors: Tensors) -> Tensors:
        tensors[DOWN][3, 4] = value
        return tensors

    assert f"NaN or Inf among the weights ({DOWN})" in refusal(stored(spoil))


def test_quantised_weights_are_refused(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: {**tensors, DOWN: tensors[DOWN].to(torch.int8)})
    assert f"quantised (I8: {DOWN})" in refusal(folder)
    folder = stored(lambda tensors: tensors)
    set_config(folder, quantization_config={"quant_method": "fp8"})
    with pytest.raises(BadInput, match=r"quantised \(config\.json: quantization_config, fp8\)"):
        read_shape(folder)


def test_an_adapter_is_told_to_be_merged(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    (folder / "adapter_config.json").write_text("{}")
    assert "adapter (PEFT)" in refusal(folder)


def shard(folder: Path, listed: dict[str, str]) -> None:
    tensors = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    for file in set(listed.values()):
        save({name: tensors[name] for name, own in listed.items() if own == file and name in tensors}, folder / file)
    (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": listed}))


def in_two(folder: Path) -> dict[str, str]:
    names = sorted(load_file(folder / "model.safetensors"))
    return {name: f"model-0000{1 + (place > 20)}-of-00002.safetensors" for place, name in enumerate(names)}


def test_several_files_are_read_and_a_tensor_missing_in_its_file_is_named(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    shard(folder, in_two(folder))
    assert load_model(folder, "float32", "cpu").notes == ()
    folder = stored(lambda tensors: tensors)
    (folder / "model.safetensors.index.json").unlink()
    shard(folder, in_two(folder) | {"model.extra.weight": "model-00002-of-00002.safetensors"})
    with pytest.raises(BadInput, match=r"1 tensor of the index not there \(model\.extra\.weight in model-00002"):
        read_checkpoint(folder)


def test_a_file_beside_an_index_is_ambiguous(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    (folder / "model.safetensors.index.json").write_text('{"weight_map": {"a": "model-1.safetensors"}}')
    assert "are both there; remove the one that is out of date" in refusal(folder)


def test_only_what_transformers_reads_counts_as_weights(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    shutil.copy(folder / "model.safetensors", folder / "consolidated.safetensors")
    assert weight_files(folder) == [folder / "model.safetensors"]
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(b"a pickle, which is never read")
    assert "no model.safetensors, and no model.safetensors.index.json beside consolidated.safetensors" in refusal(
        folder
    )


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "is damaged or incomplete (0 bytes)"),
        (b"not a tensor file", "is damaged or incomplete"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 8\n", "is a pointer of Git LFS"),
    ],
)
def test_files_that_hold_no_tensors_are_told(content: bytes, told: str, stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    (folder / "model.safetensors").write_bytes(content)
    assert f"model.safetensors {told}" in refusal(folder)


def test_a_download_that_broke_off_is_told(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    assert "is damaged or incomplete" in refusal(folder)


def test_weights_named_elsewhere_are_refused(stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: tensors)
    set_config(folder, transformers_weights="other.safetensors")
    with pytest.raises(BadInput, match=r"transformers_weights names 'other\.safetensors'; rename"):
        read_shape(folder)


@pytest.mark.parametrize(
    "fields",
    [
        {"num_hidden_layers": 40},
        {"layer_types": ["full_attention"]},
        {"num_attention_heads": "4"},
        {"num_attention_heads": 0},
        {"rms_norm_eps": "small"},
        {"hidden_activation": 3},
        {"head_dim": 7},
        {"pad_token_id": 10**6},
        {"rope_scaling": [1]},
    ],
    ids=lambda fields: next(iter(fields)),
)
def test_values_that_make_no_model_are_told_with_the_file(
    fields: dict[str, object], stored: Callable[..., Path]
) -> None:
    folder = stored(without())
    set_config(folder, **fields)
    assert "config.json" in refusal(folder)


def test_files_in_a_folder_of_their_own_are_read(stored: Callable[..., Path]) -> None:
    folder = stored(without())
    (folder / "weights").mkdir()
    (folder / "model.safetensors").rename(folder / "weights" / "model-00001-of-00001.safetensors")
    names = load_file(folder / "weights" / "model-00001-of-00001.safetensors")
    index = {"weight_map": dict.fromkeys(names, "weights/model-00001-of-00001.safetensors")}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    assert set(read_checkpoint(folder).names) == set(names)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}])
def test_an_index_of_nothing_says_so(index: dict[str, object], stored: Callable[..., Path]) -> None:
    folder = stored(without())
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    with pytest.raises(BadInput, match="weight_map names no tensor"):
        read_checkpoint(folder)


@pytest.mark.parametrize("dtype", [torch.int8, torch.bool])
def test_a_bias_that_was_cast_is_named(dtype: torch.dtype, stored: Callable[..., Path]) -> None:
    folder = stored(lambda tensors: {**tensors, "model.layers.0.fc.bias": torch.ones(4, dtype=dtype)})
    with pytest.raises(BadInput, match=r"model\.layers\.0\.fc\.bias"):
        read_checkpoint(folder)


def test_buffers_of_whole_numbers_are_no_weights(stored: Callable[..., Path]) -> None:
    buffers = {"a.position_ids": torch.arange(4), "h.0.attn.bias": torch.ones(4, dtype=torch.bool)}
    read_checkpoint(stored(lambda tensors: {**tensors, **buffers}))
