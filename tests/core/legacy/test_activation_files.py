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
from core.legacy.activation_files import ActivationOptions, import_activations

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
    index = import_activations([source], tmp_path / "out", ActivationOptions(site="resid_post"))
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
    import_activations([tmp_path / "chunks"], tmp_path / "out", ActivationOptions())
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
    import_activations([tmp_path / "acts"], tmp_path / "out", ActivationOptions())
    matrices, tokens = read_back(tmp_path / "out")
    np.testing.assert_array_equal(matrices[4], np.concatenate([rows(4, "english", T, D).numpy()] * 2))
    assert tokens.select("sample_id", "language").unique().height == 2

    arrays = {f"layer_{layer}": rows(layer, "english").numpy() for layer in (3, 5)}
    np.savez(tmp_path / "all.npz", **arrays, sample_ids=np.array(IDS))
    assert sorted(import_activations([tmp_path / "all.npz"], tmp_path / "two", ActivationOptions("en")).layers) == [
        3,
        5,
    ]


@pytest.mark.parametrize(
    ("content", "options", "message"),
    [
        (
            {"activations": torch.ones(N, D), "image_ids": IDS},
            ActivationOptions(),
            "says its language; pass --language en",
        ),
        ({"activations": torch.ones(N, D)}, ActivationOptions("en"), "names the samples of its rows; pass --ids FILE"),
        (
            {"activations": torch.ones(N, D)},
            ActivationOptions("en", ("a",)),
            r"layer 7 has 4 samples \(en\), and --ids names 1",
        ),
        (
            {"activations": torch.ones(N, D), "image_ids": ["x"] * N},
            ActivationOptions("en"),
            r"'x' \(en\) comes 4 times",
        ),
        ({"activations": torch.ones(N, T, D), "image_ids": IDS}, ActivationOptions("en"), "padding looks like tokens"),
        (
            {"activations": torch.ones(N, D), "image_ids": IDS[:2]},
            ActivationOptions("en"),
            "rows of 4 samples, and 2 ids",
        ),
        ({"encoder.weight": torch.ones(N, D)}, ActivationOptions("en"), "holds no activations: none of activations, "),
        (
            {"layers.7.a.weight": torch.ones(2, 2), "layers.7.b.weight": torch.ones(2, 2)},
            ActivationOptions("en"),
            "no activations",
        ),
    ],
)
def test_what_the_files_do_not_say_is_asked_for(
    tmp_path: Path, content: Any, options: ActivationOptions, message: str
) -> None:
    path = save(tmp_path / "layer_7.pt", content)
    with pytest.raises(BadInput, match=message):
        import_activations([path], tmp_path / "out", options)
    assert not (tmp_path / "out").exists()


def test_layers_of_other_rows_and_names_without_a_layer_are_refused(tmp_path: Path) -> None:
    for layer, count in ((1, N), (2, N - 1)):
        save(tmp_path / "in" / f"layer_{layer}_english.pt", {"activations": torch.ones(count, D), "ids": IDS[:count]})
    with pytest.raises(BadInput, match=r"layer 2 has en \[3, 8\], layer 1 en \[4, 8\]; all layers need the same rows"):
        import_activations([tmp_path / "in"], tmp_path / "out", ActivationOptions())
    with pytest.raises(BadInput, match=r"rows\.pt: neither the file nor its name says which layer"):
        import_activations([save(tmp_path / "rows.pt", torch.ones(N, D))], tmp_path / "out", ActivationOptions("en"))
    with pytest.raises(BadInput, match=r"nowhere: does not exist"):
        import_activations([tmp_path / "nowhere"], tmp_path / "out", ActivationOptions("en"))


@pytest.mark.parametrize(
    ("name", "beside", "layer"),
    [
        ("layer_9_l2.pt", {}, 9),
        ("gemma_layer_9_h100.pt", {}, 9),
        ("acts.pt", {"layer": torch.tensor(9)}, 9),
        ("acts.pt", {"layer_idx": 9}, 9),
        ("acts.pt", {"layer": np.array([9])}, 9),
        ("acts.pt", {"layer": "layer_9"}, 9),
        ("layer_3.pt", {"layer": 9}, "layer 3 by its name, 9 by its content"),
        ("layer_3.pt", {"layer": -1}, "layer is -1, not the number of a layer"),
        ("layer_3_layer_9.pt", {}, "names layers 3, 9"),
    ],
)
def test_the_layer_is_what_name_and_content_say(tmp_path: Path, name: str, beside: Any, layer: int | str) -> None:
    path = save(tmp_path / name, {"activations": rows(9, "english"), "ids": IDS, **beside})
    if isinstance(layer, int):
        assert list(import_activations([path], tmp_path / "out", ActivationOptions("en")).layers) == [layer]
    else:
        with pytest.raises(BadInput, match=layer):
            import_activations([path], tmp_path / "out", ActivationOptions("en"))


def test_samples_by_id_are_no_layers(tmp_path: Path) -> None:
    path = save(tmp_path / "layer_9.pt", {"101": torch.ones(T, D), "102": torch.ones(T, D)})
    with pytest.raises(BadInput, match=r"layer 9 by its name or content, and its rows are called 101, 102"):
        import_activations([path], tmp_path / "out", ActivationOptions("en", ("a", "b", "c")))


@pytest.mark.parametrize(
    "ids", [[b"1", b"2", b"3", b"4"], [torch.tensor(n) for n in range(1, 5)], np.array([1.0, 2.0, 3.0, 4.0])]
)
def test_ids_are_texts_whatever_held_them(tmp_path: Path, ids: Any) -> None:
    path = save(tmp_path / "layer_9.pt", {"activations": rows(9, "english"), "ids": ids})
    import_activations([path], tmp_path / "out", ActivationOptions("en"))
    tokens = pl.read_parquet(tmp_path / "out" / "tokens.parquet")
    assert tokens["sample_id"].to_list() == ["1", "2", "3", "4"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"ids": [1.5] * N}, "a sample's id is 1.5"),
        ({"ids": {"a": 1}}, "a sample's id is {'a': 1}"),
        ({"mask": torch.tensor([[0.0, 0.0, -1e9]] * N)}, "its mask holds other values than 0 and 1"),
        ({"mask": torch.zeros(N, T)}, "its mask is 0 everywhere"),
        ({"mask": {3: torch.ones(N, T)}}, "its masks name 3, and not layer 9"),
        ({"activations": torch.ones(0, D), "ids": []}, "none; leave the file out"),
        ({"activations": torch.ones(N, D).to_sparse()}, "its rows are sparse"),
    ],
)
def test_labels_that_say_something_else_are_refused(tmp_path: Path, change: Any, message: str) -> None:
    path = save(tmp_path / "layer_9.pt", {"activations": rows(9, "english", N, T, D), "ids": IDS, **change})
    with pytest.raises(BadInput, match=message):
        import_activations([path], tmp_path / "out", ActivationOptions("en"))


def test_masks_come_as_lists_or_one_for_each_layer(tmp_path: Path) -> None:
    for number, mask in enumerate(([[1, 0, 1]] * N, {9: torch.tensor([[True, False, True]] * N)})):
        content = {"activations": {9: rows(9, "english", N, T, D)}, "ids": IDS, "mask": mask}
        index = import_activations(
            [save(tmp_path / f"{number}.pt", content)], tmp_path / f"o{number}", ActivationOptions("en")
        )
        assert index.rows == 2 * N


def test_a_damaged_npz_is_one_line(tmp_path: Path) -> None:
    np.savez(tmp_path / "layer_9.npz", activations=np.ones((N, D), "f4").astype(np.longdouble), ids=np.array(IDS))
    whole = (tmp_path / "layer_9.npz").read_bytes()
    for number, content in enumerate((whole, whole[:300], b"", b"version https://git-lfs")):
        path = tmp_path / f"layer_{number}.npz"
        path.write_bytes(content)
        with pytest.raises(BadInput, match=rf"layer_{number}\.npz: "):
            import_activations([path], tmp_path / "out", ActivationOptions("en"))


def test_masks_of_layers_are_compared_row_by_row(tmp_path: Path) -> None:
    for layer, third in ((1, 1), (2, 0)):
        mask = torch.tensor([[1, 1, third], [1, 0, 1 - third], [1, 1, 0], [1, 1, 1]])  # as many rows in both
        content = {"activations": rows(layer, "english", N, T, D), "ids": IDS, "mask": mask}
        save(tmp_path / "in" / f"layer_{layer}.pt", content)
    message = r"layer 2 and layer 1 have other masks, first at token 2 of sample 's0' \(en\)"
    with pytest.raises(BadInput, match=message):
        import_activations([tmp_path / "in"], tmp_path / "out", ActivationOptions("en"))
    save(tmp_path / "in" / "layer_2.pt", {"activations": rows(2, "english", N, T, D), "ids": IDS})
    with pytest.raises(BadInput, match=r"layer 2 and layer 1 have other masks"):
        import_activations([tmp_path / "in"], tmp_path / "out", ActivationOptions("en", unpadded=True))


@pytest.mark.parametrize(
    ("name", "stated", "option", "message"),
    [
        ("layer_9.pt", "french", None, "language is 'french'; what can be read is english or arabic"),
        ("layer_9.pt", ["en", "ar", "en", "ar"], None, "english or arabic, one per file"),
        ("layer_9.pt", "fr", "en", "language is 'fr'"),
        ("layer_9.pt", "en", "ar", "its language is en, and --language is ar; leave the option out"),
        ("layer_9_arabic.pt", None, "en", "its language is ar, and --language is en"),
        ("layer_9_arabic.pt", "english", None, "ar by its name, en by its content; rename it"),
    ],
)
def test_a_language_that_is_unknown_or_contradicted_is_refused(
    tmp_path: Path, name: str, stated: Any, option: str | None, message: str
) -> None:
    path = save(tmp_path / name, {"activations": rows(9, "english"), "ids": IDS, "language": stated})
    with pytest.raises(BadInput, match=message):
        import_activations([path], tmp_path / "out", ActivationOptions(option))


@pytest.mark.parametrize("stated", ["English", b"en", ["en"] * N, np.array(["en"])])
def test_a_language_is_read_whatever_holds_it(tmp_path: Path, stated: Any) -> None:
    path = save(tmp_path / "layer_9.pt", {"activations": rows(9, "english"), "ids": IDS, "lang": stated})
    import_activations([path], tmp_path / "out", ActivationOptions())
    assert pl.read_parquet(tmp_path / "out" / "tokens.parquet")["language"].unique().to_list() == ["en"]


@pytest.mark.parametrize("layer", [torch.tensor(9), "layer_9", np.array([9]), 9])
def test_samples_by_id_in_a_file_of_one_layer_are_no_layers(tmp_path: Path, layer: Any) -> None:
    path = save(tmp_path / "rows.pt", {"101": torch.ones(T, D), "102": torch.ones(T, D), "layer": layer})
    with pytest.raises(BadInput, match=r"layer 9 by its name or content, and its rows are called 101, 102"):
        import_activations([path], tmp_path / "out", ActivationOptions("en", ("a", "b", "c")))
