"""Where a study finds others' SAEs: patterns, a place per layer, parts of a repository; and what it says of them."""

import json
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants
from safetensors.torch import save_file

from core.errors import BadInput
from core.lm.shape import model_names
from core.planning.loading import load_study
from core.planning.located import SAESource
from core.planning.sae_sources import Use, pin_saes, sae_sources
from core.sae.origins import Trained, origin_warnings
from core.store.hashes import HashMemo

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
NAMES = ["acme/vlm", "gemma3"]


def saelens(folder: Path, layer: int = 9, model: str = "acme/vlm", **config: object) -> Path:
    folder.mkdir(parents=True)
    metadata = {"model_name": model, "hook_name": f"blocks.{layer}.hook_resid_post"}
    told = {"architecture": "standard", "d_in": 4, "d_sae": 6, "metadata": metadata, **config}
    (folder / "cfg.json").write_text(json.dumps(told))
    shapes = {"W_enc": (4, 6), "W_dec": (6, 4), "b_enc": (6,), "b_dec": (4,)}
    tensors = {name: torch.full(shape, float(layer)) for name, shape in shapes.items()}
    save_file(tensors, folder / "sae_weights.safetensors")
    return folder


def found(tmp_path: Path, *overrides: str, layers: tuple[int, ...] = (9, 17)) -> dict[int, SAESource]:
    study = pin_saes(load_study(STUDIES / "mini.yaml", overrides), [tmp_path])
    sources = sae_sources(study, Use(layers, "resid_post", 4, NAMES), HashMemo(tmp_path / "hashes.json"))
    return dict(next(iter(sources.values())))


def test_a_pattern_finds_the_one_folder_of_each_layer(tmp_path: Path) -> None:
    for layer, l0 in ((9, 71), (17, 68)):
        saelens(tmp_path / f"layer_{layer}" / "width_16k" / f"average_l0_{l0}", layer)
    sources = found(tmp_path, "sae.pretrained=layer_{layer}/width_16k/average_l0_*")
    assert [source.folder.name for source in sources.values()] == ["average_l0_71", "average_l0_68"]
    saelens(tmp_path / "odd [x]" / "is_it?_9" / "l0_3"), saelens(tmp_path / "odd [x]" / "is_it!_9")
    for place in ("is_it?_{layer}/l0_*", "is_it?_{layer}/l0_3"):
        assert found(tmp_path, f"sae.pretrained=odd [x]/{place}", layers=(9,))[9].folder.name == "l0_3"
    saelens(tmp_path / "layer_9" / "width_16k" / "average_l0_9")
    with pytest.raises(BadInput, match=r"2 folders match \(average_l0_71, average_l0_9\); narrow it to one"):
        found(tmp_path, "sae.pretrained=layer_{layer}/width_16k/average_l0_*")
    with pytest.raises(BadInput, match=r"sae\.beside: .*width_1m/average_l0_\*: no folder matches"):
        found(tmp_path, "sae.beside=layer_{layer}/width_1m/average_l0_*")


def test_a_place_for_each_layer_by_number_or_in_order(tmp_path: Path) -> None:
    saelens(tmp_path / "one", 9), saelens(tmp_path / "two", 17)
    by_number = found(tmp_path, "sae.pretrained={17: two, 9: one, 33: never}")
    assert {layer: source.folder.name for layer, source in by_number.items()} == {9: "one", 17: "two"}
    assert found(tmp_path, "sae.beside=[one, two]") == by_number
    with pytest.raises(BadInput, match=r"sae\.pretrained: 2 places for 3 captured layers; give one for each"):
        found(tmp_path, "sae.pretrained=[one, two]", layers=(0, 9, 17))
    with pytest.raises(BadInput, match=r"sae\.pretrained: no place for layer 0, which is captured"):
        found(tmp_path, "sae.pretrained={17: two, 9: one}", layers=(0, 9, 17))


def test_what_cannot_be_read_is_refused_before_anything_is_captured(tmp_path: Path) -> None:
    saelens(tmp_path / "layer_9", clamp=True)
    with pytest.raises(BadInput, match=r"sae\.pretrained: .*cfg\.json: key 'clamp' is not known"):
        found(tmp_path, "sae.pretrained=layer_{layer}", layers=(9,))
    (tmp_path / "old_9").mkdir()
    (tmp_path / "old_9" / "sae_final.pt").write_bytes(b"")
    with pytest.raises(BadInput, match=r"holds no SAE; .* `saeflow import-sae .*sae_final\.pt NEW_FOLDER` rewrites"):
        found(tmp_path, "sae.pretrained=old_{layer}", layers=(9,))
    with pytest.raises(BadInput, match=r"sae_final\.pt is a file; `saeflow import-sae .*` rewrites it"):
        found(tmp_path, "sae.pretrained=old_{layer}/sae_final.pt", layers=(9,))
    with pytest.raises(BadInput, match=r"cfg\.json is a file; name its folder"):
        found(tmp_path, "sae.pretrained=layer_{layer}/cfg.json", layers=(9,))


def test_a_part_of_a_repository_is_found_in_whichever_snapshot_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    repository = tmp_path / "hub" / "models--acme--scope"
    for revision, layer in (("a" * 40, 9), ("b" * 40, 17)):
        saelens(repository / "snapshots" / revision / "resid" / f"layer_{layer}" / "l0_8", layer)
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("b" * 40)
    for place in ("resid/layer_{layer}/l0_8", "resid/layer_{layer}/l0_*"):
        sources = found(tmp_path, f"sae.pretrained=hub:acme/scope/{place}")
        assert [source.folder.parents[2].name[0] for source in sources.values()] == ["a", "b"]
    fetch = r"`hf download acme/scope --revision bbb --include 'resid/layer_9/l0_8/\*'` fetches it"
    with pytest.raises(BadInput, match=fetch):
        found(tmp_path, "sae.pretrained=hub:acme/scope@bbb/resid/layer_{layer}/l0_8")
    (repository / "snapshots" / ("b" * 40) / "resid" / "layer_33").mkdir()  # its configuration alone was fetched
    with pytest.raises(BadInput, match=r"acme/scope/resid/layer_33 is not in the hub's local cache"):
        found(tmp_path, "sae.pretrained=hub:acme/scope/resid/layer_{layer}", layers=(33,))


def test_saes_of_another_place_are_warned_of_once_for_all_layers(tmp_path: Path) -> None:
    for layer in (9, 17):
        saelens(tmp_path / f"theirs_{layer}", layer, "google/gemma-3-4b-it")
        saelens(tmp_path / f"ours_{layer}", layer)
        saelens(tmp_path / f"shifted_{layer}", layer + 1, "gemma3")

    def warned(pattern: str) -> list[str]:
        sources = found(tmp_path, f"sae.pretrained={pattern}")
        trained = {layer: source.trained for layer, source in sources.items()}
        return origin_warnings("sae.pretrained", trained, "resid_post of acme/vlm")

    assert warned("ours_{layer}") == []
    assert warned("theirs_{layer}") == [
        "sae.pretrained: layers 9, 17: the autoencoder was trained on another model (blocks.{layer}.hook_resid_post of "
        "google/gemma-3-4b-it) than it is used on (resid_post of acme/vlm)"
    ]
    first, second = warned("shifted_{layer}")
    assert "layer 9: the autoencoder was trained on another layer (blocks.10.hook_resid_post of gemma3) than" in first
    assert "layer 17: the autoencoder was trained on another layer (blocks.18.hook_resid_post" in second


def test_models_of_one_kind_are_told_apart_by_their_names(tmp_path: Path) -> None:
    def names(place: str, **config: str) -> list[str]:
        (tmp_path / place).mkdir(parents=True)
        (tmp_path / place / "config.json").write_text(json.dumps({"model_type": "gpt2", **config}))
        return model_names(tmp_path / place)

    def differs(models: list[str]) -> tuple[str, ...]:
        return Trained("gpt2-small", "blocks.1.hook_resid_post").used_on(models, "resid_post", 1).differs

    assert differs(names("models--distilbert--distilgpt2/snapshots/a", _name_or_path="gpt2")) == ("model",)
    assert differs(names("captioner")) == ("model",)
    assert differs(names("models--openai-community--gpt2/snapshots/a")) == ()
    assert differs(names("a/model", _name_or_path="openai-community/gpt2")) == ()
    assert differs(names("b/checkpoint-500")) == ()


def test_a_snapshot_without_weights_gives_way_and_an_odd_pattern_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    repository = tmp_path / "models--acme--b"
    saelens(repository / "snapshots" / ("b" * 40) / "layer_9")
    part = repository / "snapshots" / ("a" * 40) / "layer_9"
    part.mkdir(parents=True)
    save_file({"sparsity": torch.zeros(6)}, part / "sparsity.safetensors")
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text("a" * 40)
    place = "sae.pretrained=hub:acme/b/layer_{layer}"
    assert found(tmp_path, place, layers=(9,))[9].folder.parent.name == "b" * 40
    (repository / "refs" / "main").write_bytes(b"\xff\xfe")
    assert found(tmp_path, place, layers=(9,))[9].folder.parent.name == "b" * 40
    for pattern in ("layer_{layer}/**x*", "/etc_{layer}*"):
        with pytest.raises(BadInput, match="is no pattern of folders"):
            found(tmp_path, f"sae.pretrained=hub:acme/b/{pattern}", layers=(9,))
    with pytest.raises(BadInput, match=r"hf download acme/a --include '\*'"):
        found(tmp_path, "sae.pretrained={9: hub:acme/a}", layers=(9,))
