"""Activations as older scripts stored them, read back through `capture.precomputed`'s own reader."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from torch import Tensor

from core.activations.exchange import open_layers, read_index
from core.activations.precomputed_tokens import read_tokens
from core.errors import BadInput
from core.legacy.activation_files import Told, import_activations

N, T, D = 4, 3, 8
IDS = [f"s{number}" for number in range(N)]
SAMPLES = pl.DataFrame(
    {"sample_id": IDS, "image_id": IDS, "caption_en": ["a"] * N, "caption_ar": ["ب"] * N},
)


def rows(layer: int, language: str, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    generator = torch.Generator().manual_seed(100 * layer + (language == "arabic"))
    return torch.randn(*(shape or (N, D)), generator=generator).to(dtype)


def read_back(out: Path) -> tuple[dict[int, np.ndarray], pl.DataFrame]:
    index = read_index(out)
    opened = open_layers(out, index, sorted(index.layers))
    matrices = {layer: np.concatenate(list(matrix.blocks(5))) for layer, matrix in opened.items()}
    return matrices, read_tokens(out / index.tokens, len(next(iter(matrices.values()))), SAMPLES)


def save(path: Path, content: Any) -> Path:
    path.parent.mkdir(exist_ok=True)
    torch.save(content, path)
    return path


def test_layer_checkpoints_of_two_languages_become_one_matrix_per_layer(tmp_path: Path) -> None:
    source = tmp_path / "layer_checkpoints"
    for layer in (2, 10):
        for language in ("arabic", "english"):
            content = {"layer": layer, "activations": rows(layer, language), "image_ids": IDS, "genders": ["male"] * N}
            save(source / f"layer_{layer}_{language}.pt", {**content, "model": "google/gemma-3-4b-it"})
    index = import_activations([source], tmp_path / "out", Told(site="resid_post"))
    assert (index.rows, index.d_model, index.site) == (2 * N, D, "resid_post")
    matrices, tokens = read_back(tmp_path / "out")
    assert sorted(matrices) == [2, 10]
    for layer, matrix in matrices.items():
        both = torch.cat([rows(layer, "english"), rows(layer, "arabic")])
        np.testing.assert_array_equal(matrix, both.numpy())
    assert tokens["language"].to_list() == ["en"] * N + ["ar"] * N
    assert tokens["sample_id"].to_list() == IDS * 2


def test_chunks_are_joined_in_the_order_of_their_numbers_and_padding_goes(tmp_path: Path) -> None:
    whole = {layer: rows(layer, "english", N, T, D, dtype=torch.float16) for layer in (0, 9)}
    mask = torch.tensor([[1, 1, 1], [1, 0, 0], [1, 1, 0], [1, 1, 1]])
    for number, chunk in ((2, slice(0, 1)), (10, slice(1, N))):
        part = {"activations": {layer: tensor[chunk] for layer, tensor in whole.items()}, "image_ids": IDS[chunk]}
        save(tmp_path / "chunks" / f"activations_english_chunk_{number}.pt", {**part, "attention_mask": mask[chunk]})
    import_activations([tmp_path / "chunks"], tmp_path / "out", Told())
    matrices, tokens = read_back(tmp_path / "out")
    np.testing.assert_array_equal(matrices[9], whole[9][mask.bool()].float().numpy())
    assert tokens["position"].to_list() == [0, 1, 2, 0, 0, 1, 0, 1, 2]
    assert tokens["sample_id"].to_list() == ["s0"] * 3 + ["s1"] + ["s2"] * 2 + ["s3"] * 3


def test_an_npz_of_one_image_each_and_one_of_all_layers(tmp_path: Path) -> None:
    (tmp_path / "acts").mkdir()
    for name in IDS[:2]:
        spans = np.array({"male": []}, dtype=object)  # a pickle within: left out, never read
        arrays = {"decoder_L4_out": rows(4, "english", T, D).numpy(), "image": name, "lang": "ar", "spans": spans}
        np.savez(tmp_path / "acts" / f"{name}.npz", **arrays)
    import_activations([tmp_path / "acts"], tmp_path / "out", Told())
    matrices, tokens = read_back(tmp_path / "out")
    np.testing.assert_array_equal(matrices[4], np.concatenate([rows(4, "english", T, D).numpy()] * 2))
    assert tokens.select("sample_id", "language").unique().height == 2

    arrays = {f"layer_{layer}": rows(layer, "english").numpy() for layer in (3, 5)}
    np.savez(tmp_path / "all.npz", **arrays, sample_ids=np.array(IDS))
    assert sorted(import_activations([tmp_path / "all.npz"], tmp_path / "two", Told("en")).layers) == [3, 5]


@pytest.mark.parametrize(
    ("content", "told", "message"),
    [
        ({"activations": torch.ones(N, D), "image_ids": IDS}, Told(), "nothing tells its language; say --language en"),
        ({"activations": torch.ones(N, D)}, Told("en"), "which samples its rows are of; name them with --ids FILE"),
        ({"activations": torch.ones(N, D)}, Told("en", ("a",)), r"layer 7 has 4 samples \(en\), and --ids names 1"),
        ({"activations": torch.ones(N, D), "image_ids": ["x"] * N}, Told("en"), r"'x' \(en\) comes 4 times"),
        ({"activations": torch.ones(N, T, D), "image_ids": IDS}, Told("en"), "padding cannot be told from tokens"),
        ({"activations": torch.ones(N, D), "image_ids": IDS[:2]}, Told("en"), "rows of 4 samples, and 2 ids"),
        ({"encoder.weight": torch.ones(N, D)}, Told("en"), "holds no activations: none of activations, "),
        ({"layers.7.a.weight": torch.ones(2, 2), "layers.7.b.weight": torch.ones(2, 2)}, Told("en"), "no activations"),
    ],
)
def test_what_the_files_do_not_tell_is_asked_for(tmp_path: Path, content: Any, told: Told, message: str) -> None:
    path = save(tmp_path / "layer_7.pt", content)
    with pytest.raises(BadInput, match=message):
        import_activations([path], tmp_path / "out", told)
    assert not (tmp_path / "out").exists()


def test_layers_of_other_rows_and_names_without_a_layer_are_told(tmp_path: Path) -> None:
    for layer, count in ((1, N), (2, N - 1)):
        save(tmp_path / "in" / f"layer_{layer}_english.pt", {"activations": torch.ones(count, D), "ids": IDS[:count]})
    with pytest.raises(BadInput, match=r"layer 2 has en \[3, 8\], layer 1 en \[4, 8\]; all layers need the same rows"):
        import_activations([tmp_path / "in"], tmp_path / "out", Told())
    with pytest.raises(BadInput, match=r"rows\.pt: neither the file nor its name tells the layer"):
        import_activations([save(tmp_path / "rows.pt", torch.ones(N, D))], tmp_path / "out", Told("en"))
    with pytest.raises(BadInput, match=r"nowhere: does not exist"):
        import_activations([tmp_path / "nowhere"], tmp_path / "out", Told("en"))
