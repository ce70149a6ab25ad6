import json
import subprocess
import sys
from pathlib import Path

import pytest

from core.errors import BadInput
from core.lm.shape import read_shape, weight_files


def _config(folder: Path, **content: object) -> Path:
    (folder / "config.json").write_text(json.dumps(content))
    return folder


def test_the_layout_of_gemma_3_4b_it_gives_its_layers_width_and_image_tokens(tmp_path: Path) -> None:
    text = {"hidden_size": 2560, "num_hidden_layers": 34, "model_type": "gemma3_text"}
    folder = _config(
        tmp_path, model_type="gemma3", text_config=text, vision_config={"hidden_size": 1152}, mm_tokens_per_image=256
    )
    shape = read_shape(folder)
    assert (shape.num_layers, shape.d_model, shape.has_images, shape.image_tokens) == (34, 2560, True, 256)
    assert shape.vocab_size == 262208


def test_a_text_model_has_no_images_and_older_names_are_understood(tmp_path: Path) -> None:
    shape = read_shape(_config(tmp_path, model_type="gpt2", n_layer=12, n_embd=768, vocab_size=50257))
    assert (shape.num_layers, shape.d_model, shape.vocab_size) == (12, 768, 50257)
    assert (shape.has_images, shape.image_tokens) == (False, 0)


@pytest.mark.parametrize("names", [("n_layer", "n_embed"), ("n_layers", "d_model"), ("num_layers", "hidden_size")])
def test_names_of_older_configurations(tmp_path: Path, names: tuple[str, str]) -> None:
    shape = read_shape(_config(tmp_path, model_type="bloom", **dict(zip(names, (24, 1024), strict=True))))
    assert (shape.num_layers, shape.d_model) == (24, 1024)


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "x"}'])
def test_a_broken_config_is_told_in_one_line(tmp_path: Path, content: str) -> None:
    (tmp_path / "config.json").write_text(content)
    with pytest.raises(BadInput, match=r"config\.json") as caught:
        read_shape(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_folder_without_config_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match=r"no config\.json there"):
        read_shape(tmp_path)


def test_weights_must_be_there(tmp_path: Path) -> None:
    with pytest.raises(BadInput, match="no weights"):
        weight_files(tmp_path)
    (tmp_path / "model.safetensors").touch()
    assert weight_files(tmp_path) == [tmp_path / "model.safetensors"]


def test_every_file_of_the_index_must_be_there(tmp_path: Path) -> None:
    names = [f"model-0000{number}-of-00002.safetensors" for number in (1, 2)]
    index = {"weight_map": {"a": names[0], "b": names[1], "c": names[0]}}
    (tmp_path / "model.safetensors.index.json").write_text(json.dumps(index))
    (tmp_path / names[0]).touch()
    with pytest.raises(BadInput, match=names[1]):
        weight_files(tmp_path)
    (tmp_path / names[1]).touch()
    assert weight_files(tmp_path) == [tmp_path / name for name in names]


def test_shards_without_their_index_are_told(tmp_path: Path) -> None:
    (tmp_path / "model-00001-of-00002.safetensors").touch()
    with pytest.raises(BadInput, match=r"no model\.safetensors\.index\.json beside model-00001-of-00002"):
        weight_files(tmp_path)


def test_reading_a_shape_loads_no_torch() -> None:
    code = "import sys, core.lm.shape; sys.exit('torch' in sys.modules or 'transformers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("num_hidden_layers", "two"),
        ("num_hidden_layers", [1]),
        ("num_hidden_layers", 0),
        ("num_hidden_layers", float("inf")),
        ("hidden_size", "x"),
        ("hidden_size", 1.5),
        ("mm_tokens_per_image", "many"),
        ("text_config", "x"),
        ("text_config", [1]),
        ("vision_config", "siglip"),
        ("model_type", ["a"]),
        ("vision_config", {"image_size": 32, "patch_size": 0}),
        ("vision_config", {"num_hidden_layers": "three"}),
    ],
)
def test_values_of_another_kind_are_named(tmp_path: Path, field: str, value: object) -> None:
    whole = {"model_type": "gemma3", "num_hidden_layers": 2, "hidden_size": 8, "vision_config": {}}
    with pytest.raises(BadInput, match=r"config\.json: ") as caught:
        read_shape(_config(tmp_path, **{**whole, field: value}))
    assert next(reversed(value), field) in str(caught.value) if isinstance(value, dict) else field in str(caught.value)


def test_an_image_size_of_height_and_width_states_no_patches(tmp_path: Path) -> None:
    vision = {"image_size": [32, 32], "patch_size": 16}
    assert read_shape(_config(tmp_path, num_hidden_layers=2, hidden_size=8, vision_config=vision)).patches == 0
