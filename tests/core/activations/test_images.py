"""Shards of images alone: the vision tower's patches and the projector's soft tokens."""

from pathlib import Path

import polars as pl
import pytest
import torch

from core.activations.capture import capture_shard
from core.activations.health import examine_layer
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.errors import BadInput
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.sae.formats import Origin, load_sae, save_sae
from core.sae.rows import load_rows
from core.sae.training import train
from core.study.model import IndexConfig
from core.study.sae import SAEConfig
from tests.core.activations.test_capture import SAMPLES, job_of, matrices_in
from tests.core.activations.test_capture import folder as folder
from tests.core.lm.families import save_tiny_llava
from tests.core.lm.test_vision import transformers_own
from tests.core.lm.tiny import save_tiny_gemma


@pytest.fixture(scope="module")
def gemma(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_tiny_gemma(tmp_path_factory.mktemp("gemma"), vision_layers=3, image_tokens=4)


@pytest.fixture(scope="module")
def llava(tmp_path_factory: pytest.TempPathFactory) -> LoadedModel:
    return load_model(save_tiny_llava(tmp_path_factory.mktemp("llava")), "float32", "cpu")


@pytest.fixture(scope="module")
def vlm(gemma: Path) -> LoadedModel:
    return load_model(gemma, "float32", "cpu")


@pytest.mark.parametrize("token_budget", [1, 20, 40, None])
def test_every_row_is_transformers_own_state_rounded_to_bfloat16(
    token_budget: int | None, llava: LoadedModel, folder: Path, tmp_path: Path
) -> None:
    summary = capture_shard(llava, job_of(folder, site="vision_post", token_budget=token_budget), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert dict(tokens.schema) == TOKENS
    assert (summary.images, summary.captions, summary.rows) == (3, 0, {"shared": 51, "en": 0, "ar": 0})
    assert (summary.layers, summary.d_model, summary.attention) == ((0, 1), 16, "sdpa")
    for (image_id,), rows in tokens.group_by("image_id"):
        name = SAMPLES.filter(image_id=image_id)["image"][0]
        blocks, _ = transformers_own(llava, folder / name)
        for layer, expected in enumerate(blocks):
            got = matrices_in(tmp_path)[f"layer_{layer}.shared.safetensors"][rows["row"].to_list()].float()
            assert torch.allclose(got, expected[rows["position"].to_list()], rtol=2**-8, atol=1e-4)


def test_rows_say_what_they_are_and_every_image_comes_once(llava: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(llava, job_of(folder, site="vision_post"), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert tokens["language"].is_null().all() and tokens["token_id"].is_null().all()
    assert tokens["segment"].unique().to_list() == ["image"]
    assert tokens.group_by("image_id", maintain_order=True).agg(pl.col("sample_id").first()).rows() == [
        ("i0", "a"),
        ("i1", "b"),
        ("i2", "d"),
    ]
    own = tokens.filter(image_id="i1")
    assert own["position"].to_list() == list(range(17))
    assert own.filter(special=True)["token"].to_list() == ["[CLS]"]
    assert own.filter(position=7)["token"].item() == "[patch 1,2]"


def test_soft_tokens_are_one_layer_as_wide_as_the_decoder(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    summary = capture_shard(vlm, job_of(folder, site="projector", token_budget=20), tmp_path)
    assert (summary.layers, summary.d_model, summary.rows["shared"]) == ((0,), 32, 12)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    for number in range(3):
        _, expected = transformers_own(vlm, folder / f"noise{number}.png")
        rows = tokens.filter(image_id=f"i{number}")["row"].to_list()
        got = matrices_in(tmp_path)["layer_0.shared.safetensors"][rows].float()
        assert torch.allclose(got, expected, rtol=2**-8, atol=1e-4)


def test_the_projectors_rows_are_what_the_decoder_is_given(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(vlm, job_of(folder, site="projector"), tmp_path / "soft")
    given: list[torch.Tensor] = []

    def listen(_module: object, args: tuple[torch.Tensor, ...]) -> None:
        given.append(args[0])

    handle = vlm.blocks[0].register_forward_pre_hook(listen)
    capture_shard(vlm, job_of(folder, SAMPLES.head(1), layers=[0]), tmp_path / "captions")
    handle.remove()
    tokens = pl.read_parquet(tmp_path / "captions" / "tokens.parquet").filter(segment="image")
    soft = matrices_in(tmp_path / "soft")["layer_0.shared.safetensors"][:4].float()
    assert torch.allclose(given[0][0, tokens["position"].to_list()], soft, rtol=2**-8, atol=1e-4)


@pytest.mark.parametrize("how", ["last", "mean", "max"])
def test_patches_are_pooled_to_one_row_an_image(how: str, llava: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(llava, job_of(folder, site="vision_post", pool=how, token_budget=40), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert tokens.select("image_id", "token", "special").rows() == [(f"i{n}", "[image]", False) for n in range(3)]
    for number in range(3):
        patches = transformers_own(llava, folder / f"noise{number}.png")[0][1][1:]  # without the class token
        expected = {"last": patches[-1], "mean": patches.mean(0), "max": patches.amax(0)}[how]
        got = matrices_in(tmp_path)["layer_1.shared.safetensors"][number].float()
        assert torch.allclose(got, expected, rtol=2**-8, atol=1e-4)


def test_images_with_overflow_are_captured_again_in_float32(gemma: Path, folder: Path, tmp_path: Path) -> None:
    loaded = load_model(gemma, "bfloat16", "cpu")

    def overflow(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        broken = output.clone()
        broken[-1, -1, 0] = float("inf")
        return broken

    handle = loaded.points("vision_post")[1].module.register_forward_hook(overflow)
    summary = capture_shard(loaded, job_of(folder, site="vision_post", nonfinite="recompute"), tmp_path)
    handle.remove()
    assert summary.recomputed == ("i2",)
    assert all(matrix.isfinite().all() for matrix in matrices_in(tmp_path).values())


def test_what_has_no_image_is_left_out_and_counted(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    samples = SAMPLES.with_columns(image=pl.Series(["noise0.png", None, "noise1.png", None]))
    summary = capture_shard(vlm, job_of(folder, samples, site="vision_post"), tmp_path / "some")
    assert [(drop.sample_id, drop.reason) for drop in summary.drops] == [("b", "has no image"), ("d", "has no image")]
    assert pl.read_parquet(tmp_path / "some" / "tokens.parquet")["sample_id"].unique().sort().to_list() == ["a", "c"]
    none = capture_shard(
        vlm, job_of(folder, samples.filter(pl.col("image").is_null()), site="projector"), tmp_path / "none"
    )
    assert (none.images, none.rows["shared"]) == (0, 0)


def test_a_layer_beyond_the_tower_and_a_model_of_text_are_told(
    vlm: LoadedModel, tiny_text_gemma: Path, folder: Path, tmp_path: Path
) -> None:
    with pytest.raises(ValueError, match=r"capture\.layers: layer 3 is out of range; the vision tower has layers 0-2"):
        capture_shard(vlm, job_of(folder, site="vision_post", layers=[3]), tmp_path)
    with pytest.raises(ValueError, match=r"capture\.layers: layer 1 .* the projector has layer 0 alone"):
        capture_shard(vlm, job_of(folder, site="projector", layers=[0, 1]), tmp_path)
    with pytest.raises(BadInput, match=r"capture\.site: vision_post is read of images, and the model or the samples"):
        capture_shard(load_model(tiny_text_gemma, "float32", "cpu"), job_of(folder, site="vision_post"), tmp_path)
    with pytest.raises(BadInput, match=r"capture\.site: projector is read of images, and the study has none"):
        capture_shard(vlm, job_of(None, site="projector"), tmp_path)
    (tmp_path / "noise0.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"noise0\.png: cannot be read"):
        capture_shard(vlm, job_of(tmp_path, SAMPLES.head(1), site="vision_post"), tmp_path / "out")


def test_a_gpu_without_memory_for_a_pass_takes_fewer_images(
    vlm: LoadedModel, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A fake of the GPU: a block that fails on more than 20 patches, as CUDA does."""
    monkeypatch.setattr("core.activations.budget._KNOWN", {})
    capture_shard(vlm, job_of(folder, site="vision_post"), tmp_path / "roomy")

    def small_gpu(_module: object, inputs: tuple[torch.Tensor, ...]) -> None:
        if inputs[0].shape[0] * inputs[0].shape[1] > 20:
            raise torch.OutOfMemoryError("CUDA out of memory")

    handle = vlm.points("vision_post")[2].module.register_forward_pre_hook(small_gpu)
    capture_shard(vlm, job_of(folder, site="vision_post"), tmp_path / "tight")
    handle.remove()
    for name, matrix in matrices_in(tmp_path / "tight").items():
        assert torch.allclose(matrix.float(), matrices_in(tmp_path / "roomy")[name].float(), rtol=2**-7, atol=1e-4)


def test_a_tower_layer_is_measured_trained_on_and_indexed(llava: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(llava, job_of(folder, site="vision_post"), tmp_path / "shard")
    table = LayerTable.open([tmp_path / "shard"], 1)
    health = examine_layer(table, "fail")
    assert (health.rows, list(health.mean_norm)) == (51, ["image"])
    samples = SAMPLES.with_columns(split=pl.Series(["train", "train", "train", "select"]))
    config = SAEConfig(expansion=2, k=4, epochs=2, checkpoint_every=100)
    rows = load_rows(table, samples, config)
    assert (rows.counts, len(rows.held_out)) == ({"image": 32}, 16)
    trained = train(rows, config, tmp_path / "checkpoint", lambda *_: None)
    save_sae(trained.sae, tmp_path / "sae", Origin("llava", 1, table.site), trained.quality.firing_rate)
    figures = build_index(load_sae(tmp_path / "sae"), table, samples, IndexConfig(top_rows=2), tmp_path / "index")
    assert figures["rows"] == 51
    index = FeatureIndex.open(tmp_path / "index")
    assert index.features["rate_image"].max() > 0  # type: ignore[operator]
    assert index.positions["position_set"].unique().to_list() == ["image"]
    name = "vision_tower.encoder.layers.1.output"
    assert f'"hf_hook_name": "model.{name}"' in (tmp_path / "sae" / "cfg.json").read_text()
