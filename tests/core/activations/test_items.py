"""Shards of a model of one's own: rows are its items, whatever runs together and wherever padding stands."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch import Tensor

from core.activations.factory import capture_items
from core.activations.health import examine_layer
from core.activations.positions import position_sets
from core.activations.requests import CaptureJob
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.data.gender_concept import GENDER
from core.errors import BadInput
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.lm.factory import Encoded, FactoryModel, open_factory
from core.sae.formats import Origin, load_sae, save_sae
from core.sae.rows import load_rows
from core.sae.training import train
from core.study.model import CaptureConfig, IndexConfig
from core.study.sae import SAEConfig
from tests.core.activations.test_capture import matrices_in
from tests.core.lm.set_models import D, DeepSets, changed, encode, encoding

NAME = "tests.core.lm.set_models:load"
SAMPLES = pl.DataFrame(
    {
        "sample_id": ["a", "b", "c", "d"],
        "image_id": ["i0", "i1", "i1", "i2"],
        "image": [None, None, None, None],
        "caption_en": ["a woman sings in a park", "a man", "", "one two three four five six"],
        "split": ["train", "train", "train", "select"],
    },
    schema_overrides={"image": pl.String},
)


@pytest.fixture
def model() -> FactoryModel:
    return open_factory(NAME)


def job_of(samples: pl.DataFrame = SAMPLES, **config: object) -> CaptureJob:
    return CaptureJob(samples, None, CaptureConfig.model_validate(config), {})


@torch.inference_mode()
def by_hand(model: FactoryModel, caption: str) -> tuple[list[str], list[Tensor]]:
    """The set's words, and after each layer its rows: one set alone, no hook, no padding."""
    module = model.module
    assert isinstance(module, DeepSets)
    encoded = encode([{"caption_en": caption}])
    x = module.embed(encoded.inputs["words"])
    found = []
    for layer in module.layers:
        x, _ = layer(x, encoded.mask)
        found.append(x[0])
    return list(encoded.names[0]), found


@pytest.mark.parametrize("token_budget", [1, 7, 4096])
def test_every_row_is_the_modules_own_rounded_to_bfloat16(
    token_budget: int, model: FactoryModel, tmp_path: Path
) -> None:
    summary = capture_items(model, job_of(token_budget=token_budget), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert dict(tokens.schema) == TOKENS
    assert (summary.layers, summary.d_model, summary.rows["shared"], summary.images) == ((0, 1, 2), D, 5 + 2 + 6, 3)
    assert [(drop.sample_id, drop.reason) for drop in summary.drops] == [("c", "has no items")]
    for sample_id, caption in SAMPLES.filter(pl.col("sample_id") != "c").select("sample_id", "caption_en").iter_rows():
        own = tokens.filter(sample_id=sample_id)
        words, layers = by_hand(model, caption)
        assert own["token"].to_list() == words
        assert own["position"].to_list() == list(range(len(words)))
        for layer, expected in enumerate(layers):
            got = matrices_in(tmp_path)[f"layer_{layer}.shared.safetensors"][own["row"].to_list()].float()
            assert torch.allclose(got, expected, rtol=2**-8, atol=1e-5)


def test_rows_are_items_of_no_language_and_in_no_caption(model: FactoryModel, tmp_path: Path) -> None:
    capture_items(model, job_of(), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert tokens["language"].is_null().all() and tokens["token_id"].is_null().all()
    assert tokens["segment"].unique().to_list() == ["item"]
    samples = SAMPLES.with_columns(caption_ar=pl.lit(None, pl.String))
    assert position_sets(tokens, samples, GENDER).unique().to_list() == ["item"]


def test_the_pass_ends_after_the_last_layer_asked_for(model: FactoryModel, tmp_path: Path) -> None:
    assert isinstance(model.module, DeepSets)
    summary = capture_items(model, job_of(layers=[1]), tmp_path)
    assert summary.layers == (1,)
    assert set(model.module.ran) == {"layer 0"}


@pytest.mark.parametrize("how", ["last", "mean", "max"])
def test_a_set_is_pooled_to_one_row(how: str, model: FactoryModel, tmp_path: Path) -> None:
    capture_items(model, job_of(pool=how), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert tokens.select("sample_id", "token").rows() == [("a", "[item]"), ("b", "[item]"), ("d", "[item]")]
    rows = by_hand(model, SAMPLES["caption_en"][3])[1][2]
    expected = {"last": rows[-1], "mean": rows.mean(0), "max": rows.amax(0)}[how]
    got = matrices_in(tmp_path)["layer_2.shared.safetensors"][2].float()
    assert torch.allclose(got, expected, rtol=2**-8, atol=1e-5)


def test_images_are_handed_over_by_their_place(tmp_path: Path) -> None:
    seen: list[object] = []

    def listening(samples: list[dict[str, object]]) -> Encoded:
        seen.extend(sample["image"] for sample in samples)
        return encode(samples)

    samples = SAMPLES.with_columns(image=pl.Series(["x.png", None, None, None]))
    job = replace(job_of(samples), images=tmp_path)
    capture_items(changed(encode=listening), job, tmp_path / "out")
    assert seen[:2] == [str(tmp_path / "x.png"), None]


def short_mask(encoded: Encoded) -> Encoded:
    mask = encoded.mask.clone()
    mask[0] = False
    return replace(encoded, mask=mask)


def test_an_encode_that_breaks_its_promise_is_told(tmp_path: Path) -> None:
    wrong = {
        "`encode` returned a dict, not a core.lm.factory.Encoded": encoding(lambda encoded: {}),
        "the mask of `encode` is int64 [4, 6] for 4 samples; it must be bool [B, T]": encoding(
            lambda encoded: replace(encoded, mask=encoded.mask.long())
        ),
        "`encode` names [5, 2, 0, 6] items, and its mask keeps [0, 2, 0, 6]": encoding(short_mask),
        "`encode` failed on 4 samples (KeyError('caption_xx'))": changed(
            encode=lambda samples: encode([{"caption_en": sample["caption_xx"]} for sample in samples])
        ),
    }
    for words, model in wrong.items():
        with pytest.raises(BadInput) as raised:
            capture_items(model, job_of(), tmp_path)
        assert str(raised.value) == f"model.factory: {words}"


def test_an_encode_that_looks_at_other_samples_is_told(model: FactoryModel, tmp_path: Path) -> None:
    def fewer(samples: list[dict[str, object]]) -> Encoded:
        return encode([{"caption_en": str(sample["caption_en"])[: 30 * len(samples) - 29]} for sample in samples])

    with pytest.raises(BadInput, match=r"model\.factory: `encode` gives sample b 1 items in this batch and 2 before"):
        capture_items(replace(model, encode=fewer), job_of(batch_size=1), tmp_path)


def test_layers_of_another_width_or_order_are_told(model: FactoryModel, tmp_path: Path) -> None:
    layers = list(model.module.layers)  # type: ignore[arg-type]
    with pytest.raises(BadInput, match=r"model\.factory: layer 0 of resid_post gives \[\d, \d, 12\], not .* 13\]"):
        capture_items(replace(model, d_model=13), job_of(), tmp_path)
    head = replace(model, sites={"resid_post": [*layers, model.module.head]})  # type: ignore[list-item]
    with pytest.raises(BadInput, match=r"model\.factory: layer 3 of resid_post gives \[\d, 1\], not \[B, T, D\]"):
        capture_items(head, job_of(), tmp_path)
    with pytest.raises(BadInput, match=r"model\.factory: the module's pass does not run resid_post layer by layer"):
        capture_items(replace(model, sites={"resid_post": layers[::-1]}), job_of(), tmp_path)
    with pytest.raises(ValueError, match=r"capture\.layers: layer 3 is out of range; the model has layers 0-2"):
        capture_items(model, job_of(layers=[3]), tmp_path)
    with pytest.raises(BadInput, match=r"capture\.nonfinite: recompute opens a checkpoint again; with model\.factory"):
        capture_items(model, job_of(nonfinite="recompute"), tmp_path)


def test_a_layer_of_items_is_measured_trained_on_and_indexed(model: FactoryModel, tmp_path: Path) -> None:
    capture_items(model, job_of(), tmp_path / "shard")
    table = LayerTable.open([tmp_path / "shard"], 2)
    assert list(examine_layer(table, "fail").mean_norm) == ["item"]
    rows = load_rows(table, SAMPLES, SAEConfig(expansion=2, k=4, epochs=2, checkpoint_every=100))
    assert (rows.counts, len(rows.held_out)) == ({"item": 7}, 6)
    config = SAEConfig(expansion=2, k=4, epochs=2, checkpoint_every=100)
    trained = train(rows, config, tmp_path / "checkpoint", lambda *_: None)
    save_sae(trained.sae, tmp_path / "sae", Origin(NAME, 2, table.site), trained.quality.firing_rate)
    written = (tmp_path / "sae" / "cfg.json").read_text()
    assert '"hook_name": "resid_post.2"' in written and '"prepend_bos": false' in written
    samples = SAMPLES.with_columns(caption_ar=pl.lit(None, pl.String))
    build_index(load_sae(tmp_path / "sae"), table, samples, IndexConfig(top_rows=2), tmp_path / "index")
    features = FeatureIndex.open(tmp_path / "index").features
    assert features["count"].sum() == features["count_shared"].sum() == 13 * 4
    assert features["rate_image"].max() == 0


def test_a_module_that_fails_is_told_without_a_traceback(model: FactoryModel, tmp_path: Path) -> None:
    def wrong(samples: Any) -> Encoded:
        encoded = model.encode(samples)
        return replace(encoded, inputs={**encoded.inputs, "wrong": torch.zeros(1)})

    with pytest.raises(BadInput, match=r"model\.factory: the module failed on what `encode` gave .*wrong"):
        capture_items(replace(model, encode=wrong), job_of(), tmp_path)
