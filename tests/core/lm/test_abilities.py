"""Models that cannot be read here are refused when they are opened, in one line that says what they lack."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM
from transformers.models.llama.modeling_llama import LlamaDecoderLayer

from core.errors import BadInput
from core.lm import trial
from core.lm.images import image_tokens, read_pictures
from core.lm.loading import load_model
from core.lm.patched import build_batch, states_from
from core.lm.prompts import CaptionRequest, encode_sample
from tests.core.lm.families import save_family, save_tiny_llava, save_tiny_qwen_vl
from tests.core.lm.reference import noise_images
from tests.core.lm.tiny import save_random, save_tiny_gemma, tiny_tokenizer

SIZES = {"hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4}
LINEAR = {"layer_types": ["linear_attention", "full_attention", "linear_attention"]}
EXPERTS = {"num_experts": 2, "num_experts_per_tok": 1, "moe_intermediate_size": 16}
STATE = "3 layers \\({}, the first is 0\\) keep another state than attention's keys and values"
# What a recurrent, a hybrid and a linear-attention model keep beside keys and values, or in place of them.
STATEFUL: dict[str, tuple[dict[str, Any], str]] = {
    "mamba": ({"state_size": 4}, "it keeps a state of its own in place of keys and values"),
    "rwkv": ({"attention_hidden_size": 32}, "it keeps a state of its own in place of keys and values"),
    "recurrent_gemma": (
        {"lru_width": 32, "attention_window_size": 8, "num_key_value_heads": 1, "head_dim": 8},
        STATE.format("linear_attention"),
    ),
    "qwen3_next": (
        {
            **LINEAR,
            **EXPERTS,
            "num_key_value_heads": 2,
            "head_dim": 8,
            "shared_expert_intermediate_size": 16,
            "linear_num_value_heads": 4,
            "linear_num_key_heads": 2,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 8,
        },
        STATE.format("linear_attention"),
    ),
    "lfm2": ({"num_key_value_heads": 2, "layer_types": ["conv", "full_attention", "conv"]}, STATE.format("conv")),
    "bert": ({}, "it is a masked language model"),
}


def save(kind: str, folder: Path, **more: object) -> Path:
    tokenizer = tiny_tokenizer(chat=False)
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 2, "vocab_size": len(tokenizer)}
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SIZES, **ids, **more)
    save_random(AutoModelForCausalLM.from_config(config), folder)
    tokenizer.save_pretrained(folder)
    return folder


def refusal(folder: Path, match: str) -> str:
    with pytest.raises(BadInput, match=match) as caught:
        load_model(folder, "float32", "cpu")
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("kind", STATEFUL)
def test_states_other_than_keys_and_values_are_refused(kind: str, tmp_path: Path) -> None:
    settings, message = STATEFUL[kind]
    assert f"(model_type '{kind}') cannot be read here" in refusal(save(kind, tmp_path, **settings), message)


def test_an_encoder_decoder_is_refused(tmp_path: Path, tiny_text_gemma: Path) -> None:
    shutil.copytree(tiny_text_gemma, tmp_path / "model")
    config = json.loads((tmp_path / "model" / "config.json").read_text())
    (tmp_path / "model" / "config.json").write_text(json.dumps({**config, "is_encoder_decoder": True}))
    refusal(tmp_path / "model", "an encoder-decoder")


def test_a_tokenizer_without_offsets_is_refused(tmp_path: Path) -> None:
    folder = save_family("llama", tmp_path)
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    assert "it needs a tokenizer.json" in refusal(folder, r"its tokenizer \(ByT5Tokenizer\) gives no character offsets")


def test_everything_that_is_missing_is_in_one_line(tmp_path: Path) -> None:
    folder = save("lfm2", tmp_path, **STATEFUL["lfm2"][0])
    (folder / "tokenizer.json").unlink()
    (folder / "tokenizer_config.json").write_text('{"tokenizer_class": "ByT5Tokenizer"}')
    assert "; its tokenizer" in refusal(folder, "keep another state")


def test_images_that_are_cut_into_crops_are_refused(tmp_path: Path) -> None:
    folder = save_tiny_gemma(tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["image_processor"] |= {"do_pan_and_scan": True, "pan_and_scan_min_crop_size": 16}
    settings["image_processor"] |= {"pan_and_scan_max_num_crops": 4, "pan_and_scan_min_ratio_to_activate": 1.2}
    (folder / "processor_config.json").write_text(json.dumps(settings))
    refusal(folder, r"'gemma3'\) cannot be read here: a picture: .* cuts it into crops \(\[\d, 3, 56, 56\]\)")


def test_another_layout_of_the_image_is_refused(tmp_path: Path) -> None:
    folder = save_tiny_llava(tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps({**settings, "num_additional_image_tokens": 3}))
    refusal(folder, r"its processor lays image and prompt out in another way \(\d+ tokens, not \d+\)")


def test_what_an_image_comes_with_beside_its_pixels_is_named(tmp_path: Path) -> None:
    """Pixtral's processor hands the model each image's size as well."""
    folder = save_tiny_llava(tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    pictures = {"image_processor_type": "PixtralImageProcessor", "size": {"longest_edge": 56}, "patch_size": 14}
    (folder / "processor_config.json").write_text(json.dumps({**settings, "image_processor": pictures}))
    refusal(folder, "its images come with image_sizes, which is not passed on here")


def test_a_model_that_reads_a_shared_prompt_otherwise_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Positions of Qwen2-VL counted token by token, as in other models: it runs, and nothing but the states tells."""
    folder = save_tiny_qwen_vl(tmp_path)
    monkeypatch.setattr("core.lm.inputs.GRID", "no grid")
    refusal(folder, r"behind a shared prompt, at layer 0, a caption's states are off .* by \d+%")


def test_a_model_whose_passes_cannot_be_resumed_is_captured_and_refused_where_they_must_be(tmp_path: Path) -> None:
    """Gemma 4's layers read the tokens again, beside the stream."""
    more = {"num_key_value_heads": 2, "head_dim": 8, "hidden_size_per_layer_input": 8, "num_kv_shared_layers": 1}
    folder = save("gemma4_text", tmp_path, layer_types=["full_attention"] * 3, **more)
    loaded = load_model(folder, "float32", "cpu")
    assert loaded.notes == (loaded.unresumable,) and "it cannot be run on from a layer's stream" in loaded.unresumable
    batch = build_batch(loaded, [encode_sample(loaded, CaptionRequest("s", "i", "en", "A man"))])
    with pytest.raises(BadInput, match=r"gemma4_text\): it cannot be run on .*; leave out what needs it \(analyses: "):
        states_from(loaded, batch, 0, torch.zeros(1, 3, 32))


@pytest.mark.parametrize("error", [ArithmeticError("odd"), StopIteration("odd"), KeyError("odd"), OSError("odd")])
def test_whatever_a_model_raises_in_its_trial_is_one_line(
    error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_inputs: object, **_options: object) -> None:
        raise error

    monkeypatch.setattr("transformers.models.llama.modeling_llama.LlamaMLP.forward", fail)
    refusal(save_family("llama", tmp_path), rf"'llama'\) cannot be read here \({type(error).__name__}: .*odd")


def test_a_block_that_takes_no_mask_is_captured_and_writes_but_is_not_forked_in_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = LlamaDecoderLayer.forward

    def forward(self: LlamaDecoderLayer, hidden_states: torch.Tensor, **options: Any) -> Any:
        return plain(self, hidden_states, **options)

    monkeypatch.setattr(LlamaDecoderLayer, "forward", forward)
    loaded = load_model(save_family("llama", tmp_path), "float32", "cpu")
    assert (loaded.unresumable, loaded.unwritable, loaded.forks_apart) == ("", "", True)


def test_a_model_is_tried_once_in_a_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = save_family("llama", tmp_path)
    load_model(folder, "float32", "cpu")
    monkeypatch.setattr(trial, "_try", lambda *_: pytest.fail("tried again"))
    load_model(folder, "float32", "cpu")


def test_image_tokens_come_from_the_config_or_from_the_images_own_grid(tmp_path: Path) -> None:
    loaded = load_model(save_tiny_qwen_vl(tmp_path), "float32", "cpu")
    image = noise_images(tmp_path, 1, (112, 56))[0]
    assert (loaded.shape.image_tokens, image_tokens(loaded, image)) == (0, 8)
    (picture,) = read_pictures(loaded, [image])
    assert picture["image_grid_thw"].tolist() == [[1, 8, 4]] and picture["pixel_values"].shape == (32, 1176)
