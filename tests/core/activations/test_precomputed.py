"""Activations made elsewhere become a shard like any other."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from safetensors.torch import save_file

from core.activations import precomputed
from core.activations.export import COLUMNS, export_layers
from core.activations.health import NonFinite, examine_layer
from core.activations.precomputed import ImportJob, import_shard
from core.activations.table import LayerTable
from core.errors import BadInput
from tests.core.activations.conftest import SAMPLES, Captured

SEGMENTS = ("image", "prompt", "caption")
ROWS = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
IDS = ["a", "b", "b", "d"]


@pytest.fixture(autouse=True)
def small_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(precomputed, "_BLOCK_NUMBERS", 500)


def folder_of(place: Path, tokens: dict[str, Any] | None = None, **index: Any) -> Path:
    """Two layers of four rows by somebody else: the least that is asked for."""
    place.mkdir(exist_ok=True)
    np.save(place / "layer_0.npy", ROWS)
    np.save(place / "layer_2.npy", 2 * ROWS)
    pl.DataFrame({"sample_id": IDS, **(tokens or {})}, strict=False).write_parquet(place / "tokens.parquet")
    known = {"layers": {"0": "layer_0.npy", "2": "layer_2.npy"}, **index}
    (place / "index.json").write_text(json.dumps(known))
    return place


def job_of(folder: Path, layers: tuple[int, ...] = (0, 2), **changes: Any) -> ImportJob:
    fields = {"folder": folder, "samples": SAMPLES, "layers": layers, "site": "resid_post", "segments": SEGMENTS}
    return ImportJob(**{**fields, **changes})


@pytest.mark.parametrize("kind", ["npy", "parquet", "zarr"])
def test_what_was_exported_comes_back_bit_by_bit(captured: Captured, tmp_path: Path, kind: Any) -> None:
    if kind == "zarr":
        pytest.importorskip("zarr")
    export_layers([captured.table(layer) for layer in (1, 3)], tmp_path / "rows", kind)
    told: list[tuple[int, int]] = []
    tell = lambda done, total, metrics=None: told.append((done, total))  # noqa: E731
    summary = import_shard(job_of(tmp_path / "rows", (1, 3)), tmp_path / "shard", tell)
    assert len(told) > 4 and told == sorted(told) and told[-1][0] == told[-1][1], "a stop is heard at every block"
    for layer in (1, 3):
        before, after = captured.table(layer), LayerTable.open([tmp_path / "shard"], layer)
        every = np.arange(len(before))
        assert torch.equal(after.read(every, torch.bfloat16), before.read(every, torch.bfloat16))
        assert after.tokens.select(COLUMNS).equals(before.tokens.select(COLUMNS))
        assert (after.site, after.d_model) == (before.site, before.d_model)
    assert (summary.images, summary.captions, summary.drops, summary.nonfinite) == (3, 6, (), {})


def test_a_sample_id_is_all_that_tokens_need(tmp_path: Path) -> None:
    summary = import_shard(job_of(folder_of(tmp_path / "rows")), tmp_path / "shard")
    table = LayerTable.open([tmp_path / "shard"], 2)
    torch.testing.assert_close(table.block(0, 4), torch.from_numpy(2 * ROWS).bfloat16().float(), rtol=0, atol=0)
    assert table.tokens.select(COLUMNS).to_dict(as_series=False) == {
        "sample_id": IDS,
        "image_id": ["i0", "i1", "i1", "i2"],
        "language": ["en"] * 4,
        "segment": ["caption"] * 4,
        "position": [0, 0, 1, 0],
        "token_id": [None] * 4,
        "token": [""] * 4,
        "char_start": [None] * 4,
        "char_end": [None] * 4,
        "special": [False] * 4,
    }
    assert summary.rows == {"shared": 4, "en": 0, "ar": 0}
    assert examine_layer(table, "fail").rows == 4


def test_a_language_is_the_samples_own_and_only_captions_get_it(tmp_path: Path) -> None:
    arabic = SAMPLES.with_columns(caption_en=pl.lit(None, dtype=pl.String)).filter(pl.col("sample_id") != "c")
    tokens = {"segment": ["image", None, "caption", "prompt"], "position": [None, 7, None, None]}
    import_shard(job_of(folder_of(tmp_path / "rows", tokens), samples=arabic), tmp_path / "shard")
    found = pl.read_parquet(tmp_path / "shard" / "tokens.parquet")
    assert found["language"].to_list() == [None, "ar", "ar", None]
    assert found["position"].to_list() == [0, 7, 1, 0]


def test_rows_of_other_segments_are_left_out_and_order_stays(tmp_path: Path) -> None:
    tokens = {"segment": ["image", "caption", "prompt", "caption"], "token": ["i", "x", "p", "y"]}
    folder = folder_of(tmp_path / "rows", tokens)
    import_shard(job_of(folder, (0,), segments=("caption", "image")), tmp_path / "shard")
    table = LayerTable.open([tmp_path / "shard"], 0)
    assert table.tokens["token"].to_list() == ["i", "x", "y"]
    assert torch.equal(table.block(0, 3), torch.from_numpy(ROWS[[0, 1, 3]]).bfloat16().float())
    with pytest.raises(BadInput, match=r"tokens\.parquet: no row is of capture\.segments \(image\)"):
        import_shard(job_of(folder_of(tmp_path / "others"), segments=("image",)), tmp_path / "none")


def test_images_without_rows_are_told(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "rows", {"sample_id": ["a", "a", "a", "d"]})
    summary = import_shard(job_of(folder), tmp_path / "shard")
    assert [(drop.sample_id, drop.language) for drop in summary.drops] == [("b", "en"), ("b", "ar"), ("c", "en")]
    assert json.loads((tmp_path / "shard" / "shard.json").read_text())["drops"][0]["sample_id"] == "b"


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
def test_every_float_is_rounded_to_bfloat16(tmp_path: Path, dtype: Any) -> None:
    folder = folder_of(tmp_path / "rows")
    np.save(folder / "layer_0.npy", np.asfortranarray(ROWS.astype(dtype)))
    import_shard(job_of(folder, (0,)), tmp_path / "shard")
    expected = torch.from_numpy(ROWS.astype(dtype).astype(np.float32)).bfloat16().float()
    assert torch.equal(LayerTable.open([tmp_path / "shard"], 0).block(0, 4), expected)


def test_safetensors_name_one_tensor_activation_or_have_one(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "rows", layers={"0": "a.safetensors"})
    rows = torch.from_numpy(ROWS).bfloat16()
    for tensors in ({"hidden": rows}, {"activation": rows, "mean": torch.zeros(3)}):
        save_file(tensors, folder / "a.safetensors")
        import_shard(job_of(folder, (0,)), tmp_path / f"shard{len(tensors)}")
        assert torch.equal(LayerTable.open([tmp_path / f"shard{len(tensors)}"], 0).block(0, 4), rows.float())
    for tensors in ({"one": rows, "two": rows + 1}, {}):
        save_file(tensors, folder / "a.safetensors")
        with pytest.raises(BadInput, match=rf"a\.safetensors: holds {len(tensors)} tensors, none called 'activation'"):
            import_shard(job_of(folder, (0,)), tmp_path / "shard")


def test_rows_that_are_no_numbers_are_found_by_the_layers_own_step(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "rows")
    wrong = ROWS.astype(np.float64)
    wrong[2, 1], wrong[3, 0] = np.nan, 1e300
    np.save(folder / "layer_0.npy", wrong)
    assert import_shard(job_of(folder), tmp_path / "shard").nonfinite == {"0": 2}
    table = LayerTable.open([tmp_path / "shard"], 0)
    with pytest.raises(NonFinite, match=r"layer 0: 2 rows hold NaN or Inf, computed in float64.* \(samples b, d\)"):
        examine_layer(table, "fail")
    kept = examine_layer(table, "drop").kept
    assert kept is not None and kept.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("tokens", "words"),
    [
        ({"sample_id": ["a", "x", "y", "a"]}, r"column 'sample_id': 'x', 'y' are not among the study's samples"),
        ({"sample_id": ["a", None, "b", "a"]}, r"column 'sample_id': None is not among the study's samples"),
        ({"image_id": ["i0", "i1", "i2", "i2"]}, r"column 'image_id': sample b has 'i2' here and 'i1' in the study"),
        ({"language": ["en", "fr", "en", "en"]}, r"column 'language': 'fr' is none of en, ar"),
        ({"segment": ["caption", "text", "body", "text"]}, r"column 'segment': 'text', 'body' are none of image"),
        ({"position": [0, 3, 3, 0]}, r"column 'position': sample b \(en\) has two rows at 3"),
        ({"position": [0, -1, 3, 0]}, r"column 'position' is Int64, and not all of it is UInt32"),
        ({"special": ["no", "no", "no", "no"]}, r"column 'special' is String, and not all of it is Boolean"),
    ],
)
def test_a_wrong_column_is_named(tmp_path: Path, tokens: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=r"tokens\.parquet: " + words):
        import_shard(job_of(folder_of(tmp_path / "rows", tokens)), tmp_path / "shard")


def spoil(folder: Path, how: str) -> None:
    """Make one thing of a whole folder wrong."""
    layer = folder / "layer_2.npy"
    if how == "rows":
        np.save(layer, ROWS[:3])
    elif how == "width":
        np.save(layer, ROWS[:, :2])
    elif how == "integers":
        np.save(layer, ROWS.astype(np.int32))
    elif how == "pickle":
        np.save(layer, np.array([[object()]]), allow_pickle=True)
    elif how == "cut":
        layer.write_bytes(layer.read_bytes()[:-5])
    elif how == "three axes":
        np.save(layer, ROWS[None])
    elif how == "missing":
        layer.unlink()
    elif how == "no tokens":
        (folder / "tokens.parquet").unlink()
    elif how == "no table":
        (folder / "tokens.parquet").write_text("sample_id\na")
    elif how == "no sample_id":
        pl.DataFrame({"id": IDS}).write_parquet(folder / "tokens.parquet")
    elif how == "fewer tokens":
        pl.DataFrame({"sample_id": IDS[:3]}).write_parquet(folder / "tokens.parquet")
    elif how == "no index":
        (folder / "index.json").unlink()
    elif how == "no JSON":
        (folder / "index.json").write_text("{layers: 3")


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("rows", r"layer_2\.npy: 3 rows of 3 numbers, layer_0\.npy has 4 of 3; all layers must have the same"),
        ("width", r"layer_2\.npy: 4 rows of 2 numbers, layer_0\.npy has 4 of 3"),
        ("integers", r"layer_2\.npy: holds int32; write float32"),
        ("pickle", r"layer_2\.npy: cannot be read"),
        ("cut", r"layer_2\.npy: cannot be read"),
        ("three axes", r"layer_2\.npy: shape \[1, 4, 3\]; a matrix \[rows, d_model\] is needed"),
        ("missing", r"layer_2\.npy: is missing, but .*index\.json names it"),
        ("no tokens", r"tokens\.parquet: is missing"),
        ("no table", r"tokens\.parquet: cannot be read as Parquet"),
        ("no sample_id", r"tokens\.parquet: no column 'sample_id'; the table's columns: id"),
        ("fewer tokens", r"tokens\.parquet: 3 rows, and 4 in the layers' matrices"),
        ("no index", r"capture\.precomputed: .*index\.json cannot be read"),
        ("no JSON", r"index\.json: Invalid JSON"),
    ],
)
def test_what_is_wrong_with_a_folder_is_named(tmp_path: Path, how: str, words: str) -> None:
    folder = folder_of(tmp_path / "rows")
    spoil(folder, how)
    with pytest.raises(BadInput, match=words):
        import_shard(job_of(folder), tmp_path / "shard")
    assert not (tmp_path / "shard" / "shard.json").exists(), "it would pass for a finished shard"


@pytest.mark.parametrize(
    ("index", "words"),
    [
        ({"rows": 5}, r"layer_0\.npy: 4 rows of 3 numbers, index\.json says 5 of 3"),
        ({"d_model": 64}, r"layer_0\.npy: 4 rows of 3 numbers, index\.json says 4 of 64"),
        ({"layers": {"0": "layer_0.npy"}}, r"capture\.layers: layer 2 is not in .*index\.json, which has 0"),
        ({"layers": {"0": "layer_0.npy", "2": "layer_2.csv"}}, r"layer_2\.csv: its name ends in none of \.npy"),
        ({"layers": {}}, r"index\.json: layers: "),
        ({"layers": {"first": "layer_0.npy"}}, r"index\.json: layers\.first"),
        ({"token": "tokens.parquet"}, r"index\.json: token: "),
        ({"site": "mlp"}, r"index\.json: site: "),
    ],
)
def test_a_wrong_index_is_named(tmp_path: Path, index: dict[str, Any], words: str) -> None:
    with pytest.raises(BadInput, match=words):
        import_shard(job_of(folder_of(tmp_path / "rows", **index)), tmp_path / "shard")


def test_layers_that_are_not_asked_for_are_not_even_opened(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "rows")
    spoil(folder, "missing")
    assert import_shard(job_of(folder, (0,)), tmp_path / "shard").layers == (0,)


def test_parquet_must_hold_whole_rows(tmp_path: Path) -> None:
    folder = folder_of(tmp_path / "rows", layers={"0": "a.parquet"})
    kind = pl.Array(pl.Float32, 3)
    for values, words in [
        ([[1, 2, 3], None, [1, 2, 3], [1, 2, 3]], r"a\.parquet: "),
        ([[1, 2, 3], [1, None, 3], [1, 2, 3], [1, 2, 3]], "column 'activation' has nulls"),
    ]:
        pl.DataFrame({"activation": pl.Series(values, dtype=kind)}).write_parquet(folder / "a.parquet")
        with pytest.raises(BadInput, match=words):
            import_shard(job_of(folder, (0,)), tmp_path / "shard")
    pl.DataFrame({"x": [1.0] * 4}).write_parquet(folder / "a.parquet")
    with pytest.raises(BadInput, match=r"a\.parquet: no column 'activation'; its columns: x"):
        import_shard(job_of(folder, (0,)), tmp_path / "shard")
