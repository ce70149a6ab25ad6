"""Where others' SAEs were trained, by the files and names that the projects publish, and when that is elsewhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from core.sae.formats import Origin, save_sae
from core.sae.origins import Trained, hook_place, plain_name, read_origin, read_trained
from core.sae.pretrained import open_pretrained
from tests.core.sae.dictionary import random_sae

PARAMS = "params.npz"


def written(folder: Path, name: str, config: dict[str, Any] | None, weights: str) -> Path:
    folder.mkdir(parents=True)
    (folder / weights).write_bytes(b"")
    if config is not None:
        (folder / name).write_text(json.dumps(config))
    return folder


@pytest.mark.parametrize(
    ("place", "name", "config", "weights", "model", "hook"),
    [
        (
            "a/blocks.8.hook_resid_pre",
            "cfg.json",
            {"model_name": "gpt2-small", "hook_point": "blocks.8.hook_resid_pre", "hook_point_layer": 8},
            "sae_weights.safetensors",
            "gpt2-small",
            "blocks.8.hook_resid_pre",
        ),
        (
            "b",
            "cfg.json",
            {"metadata": {"model_name": "gemma-2-2b", "hook_name": "blocks.20.hook_resid_post"}},
            "sae_weights.safetensors",
            "gemma-2-2b",
            "blocks.20.hook_resid_post",
        ),
        (
            "c",
            "config.json",
            {"model_name": "google/gemma-3-4b-pt", "hf_hook_point_in": "model.layers.17.output"},
            "params.safetensors",
            "google/gemma-3-4b-pt",
            "model.layers.17.output",
        ),
        (
            "sae-pythia/layers.3.mlp",
            "cfg.json",
            {"k": 16, "d_in": 512},
            "sae.safetensors",
            "pythia-70m",
            "layers.3.mlp",
        ),
        (
            "models--google--gemma-scope-2b-pt-mlp/snapshots/a/layer_3/width_16k/average_l0_71",
            "",
            None,
            PARAMS,
            "google/gemma-2-2b",
            "blocks.3.hook_mlp_out",
        ),
        ("a/language_model.layers.9", "cfg.json", {"k": 1}, "sae.safetensors", None, "language_model.layers.9"),
        ("a/gpt_neox.layers.9", "cfg.json", {"k": 1}, "sae.safetensors", None, "gpt_neox.layers.9"),
        ("a/transformer.h.9.mlp", "cfg.json", {"k": 1}, "sae.safetensors", None, "transformer.h.9.mlp"),
        ("a/decoder.layers.9", "cfg.json", {"k": 1}, "sae.safetensors", None, "decoder.layers.9"),
        (
            "e",
            "cfg.json",
            {"metadata": {"sae_lens_version": "6"}, "model_name": "gpt2", "hook_name": "blocks.3.hook_mlp_out"},
            "sae_weights.safetensors",
            "gpt2",
            "blocks.3.hook_mlp_out",
        ),
        (
            "f",
            "cfg.json",
            {"model_name": "gpt2", "hook_point": "blocks.{layer}.hook_resid_pre", "hook_point_layer": 9},
            "sae_weights.safetensors",
            "gpt2",
            "blocks.9.hook_resid_pre",
        ),
        ("gemma-scope-9b-it-res/layer_9/x", "", None, PARAMS, "google/gemma-2-9b-it", "blocks.9.hook_resid_post"),
        ("gemma-scope-2b-pt-res/embedding/width_4k", "", None, PARAMS, "google/gemma-2-2b", "hook_embed"),
        ("mine/layer_9", "", None, PARAMS, None, None),
        ("d", "cfg.json", {"d_in": 3}, "sae_weights.safetensors", None, None),
    ],
)
def test_the_place_is_read_from_what_each_project_writes(
    tmp_path: Path, place: str, name: str, config: dict[str, Any] | None, weights: str, model: str, hook: str
) -> None:
    folder = written(tmp_path / place, name, config, weights)
    (tmp_path / "sae-pythia").mkdir(exist_ok=True)
    (tmp_path / "sae-pythia" / "config.json").write_text(json.dumps({"model": "pythia-70m"}))
    told = read_trained(folder)
    assert (told.model, told.hook) == (model, hook)


@pytest.mark.parametrize(
    ("told", "layer", "differs"),
    [
        (Trained("gpt2", "blocks.7.hook_resid_post"), 7, ()),
        (Trained("gpt2-small", "blocks.8.hook_resid_pre"), 7, ()),
        (Trained("openai-community/gpt2", "transformer.h.7"), 7, ()),
        (Trained(None, None), 7, ()),
        (Trained("scene-captioner", None), 7, ()),
        (Trained("gpt2", "resid_post_layer_7"), 7, ()),
        (Trained("gpt2-xl", "blocks.7.hook_resid_post"), 7, ("model",)),
        (Trained("gpt2", "blocks.8.hook_resid_pre"), 8, ("layer",)),
        (Trained("gpt2", "blocks.7.hook_mlp_out"), 7, ("site",)),
        (Trained("gpt2", "blocks.7.hook_resid_mid"), 7, ("site",)),
        (Trained("gpt2", "blocks.0.hook_resid_pre"), 7, ("site",)),
        (Trained("gemma-2-2b", "blocks.3.hook_mlp_out"), 7, ("model", "site", "layer")),
        (Trained("gpt2", "model.vision_tower.encoder.layers.7.output"), 7, ("site",)),
    ],
)
def test_another_model_site_or_layer_is_told_apart_from_another_name(
    told: Trained, layer: int, differs: tuple[str, ...]
) -> None:
    names = ["/data/scene-captioner", "openai-community/gpt2", "gpt2"]
    assert told.used_on(names, "resid_post", layer).differs == differs


def test_what_a_sublayer_returns_and_adds_is_one_tensor_but_where_it_is_normed() -> None:
    assert hook_place("layers.3.mlp", "pythia-70m") == (("mlp_out", "mlp_out_normed"), 3)
    assert hook_place("blocks.3.hook_attn_out", "google/gemma-3-4b-it") == (("attn_out_normed",), 3)
    assert hook_place("model.layers.3.self_attn.o_proj.input") == (("attn_z",), 3)
    assert hook_place("vision_model.encoder.layers.2.output") == (("vision_post",), 2)
    assert hook_place("resid_post.4") == (("resid_post",), 4)


def test_names_of_one_model_are_compared_as_one() -> None:
    alike = [
        ("google/gemma-v3-4b-it", "gemma-3-4b-it"),
        ("google/gemma-3-270m-pt", "unsloth/gemma-3-270m"),
        ("meta-llama/Meta-Llama-3.1-8B", "Llama-3.1-8B"),
        ("mistral-7b", "mistralai/Mistral-7B-v0.1"),
        ("tiny-stories-33M", "roneneldan/TinyStories-33M"),
        ("tiny-stories-1L-21M", "roneneldan/TinyStories-1Layer-21M"),
        ("Llama-2-7b", "meta-llama/Llama-2-7b-hf"),
        ("Llama-2-7b-chat", "meta-llama/Llama-2-7b-chat-hf"),
        ("gpt-neo-small", "EleutherAI/gpt-neo-125M"),
        ("gpt-j", "EleutherAI/gpt-j-6B"),
    ]
    for one, other in alike:
        assert plain_name(one) == plain_name(other)
    for one, other in (("gemma-3-4b", "gemma-3-4b-it"), ("pythia-70m", "pythia-70m-deduped"), ("gpt2", "gpt2-medium")):
        assert plain_name(one) != plain_name(other)


def test_what_is_written_keeps_the_origin_and_says_where_it_is_used(tmp_path: Path) -> None:
    metadata = {"model_name": "gpt2-small", "hook_name": "blocks.3.hook_mlp_out", "neuronpedia_id": "x", "mine": 1}
    told = Trained("gpt2-small", "blocks.3.hook_mlp_out", metadata, ("model", "site"))
    save_sae(random_sae(), tmp_path / "theirs", Origin("gemma3", 9, trained=told))
    kept = json.loads((tmp_path / "theirs" / "cfg.json").read_text())["metadata"]
    assert {name: kept[name] for name in metadata} == metadata
    assert kept["used_on"]["model_name"] == "gemma3"
    assert kept["used_on"]["hook_name"] == "blocks.9.hook_resid_post"
    assert kept["used_on"]["differs"] == ["model", "site"]
    assert read_trained(tmp_path / "theirs").used_on(["gpt2"], "mlp_out", 3).differs == ()
    assert read_origin(tmp_path / "theirs") == {name: kept[name] for name in ("model_name", "hook_name", "used_on")}
    save_sae(random_sae(), tmp_path / "ours", Origin("gemma3", 9))
    assert read_origin(tmp_path / "ours") is None
    here = ["gemma-3-4b-it", "model_type:gemma3"]
    assert read_trained(tmp_path / "ours").used_on(here, "resid_post", 9).differs == ()
    assert read_trained(tmp_path / "ours").used_on(["x", "model_type:gpt2"], "resid_post", 9).differs == ("model",)


def test_of_two_layouts_in_one_folder_weights_and_origin_are_of_the_same(tmp_path: Path) -> None:
    sae = random_sae(4, 6)
    save_sae(sae, tmp_path, Trained("gpt2", "blocks.3.hook_resid_post"))
    (tmp_path / "sae.safetensors").write_bytes(b"of sparsify, and damaged")
    assert open_pretrained(tmp_path, 4).num_features == 6
    assert read_trained(tmp_path).hook == "blocks.3.hook_resid_post"
