import json
import tempfile
from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest
import torch
from safetensors.torch import load_file

from core.activations.capture import CaptureJob, capture_shard
from core.activations.requests import cut_caption, images_between
from core.activations.rows import TOKENS
from core.activations.table import LayerTable
from core.errors import BadInput
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest, encode_sample
from core.study.model import CaptureConfig
from tests.core.activations.conftest import SAMPLES
from tests.core.lm.families import save_tiny_paligemma, save_tiny_qwen_vl
from tests.core.lm.reference import INSTRUCTIONS, full_forward, noise_images


@pytest.fixture(scope="module")
def vlm(tiny_gemma: Path) -> LoadedModel:
    return load_model(tiny_gemma, "float32", "cpu")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("images")
    noise_images(folder, 3)
    return folder


def job_of(folder: Path | None, samples: pl.DataFrame = SAMPLES, **config: object) -> CaptureJob:
    return CaptureJob(samples, folder, CaptureConfig.model_validate(config), INSTRUCTIONS)


def matrices_in(out: Path) -> dict[str, torch.Tensor]:
    return {path.name: load_file(path)["activation"] for path in sorted(out.glob("*.safetensors"))}


def test_every_row_is_the_full_forwards_state_rounded_to_bfloat16(
    vlm: LoadedModel, folder: Path, tmp_path: Path
) -> None:
    summary = capture_shard(vlm, job_of(folder), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert dict(tokens.schema) == TOKENS
    assert summary.rows == {group: tokens["group"].eq(group).sum() for group in ("shared", "en", "ar")}
    assert len(matrices_in(tmp_path)) == 4 * 3
    assert compared_rows(vlm, folder, tmp_path) > 4 * len(tokens) - 1


@pytest.mark.parametrize("family", ["paligemma", "qwen2_vl"])
def test_rows_of_other_families_are_those_of_full_forwards(family: str, tmp_path: Path) -> None:
    """Images of three shapes: in Qwen2-VL each has its own number of tokens, in PaliGemma each caption its own rows."""
    makers = {"paligemma": save_tiny_paligemma, "qwen2_vl": save_tiny_qwen_vl}
    loaded = load_model(makers[family](tmp_path / "model"), "float32", "cpu")
    for number, size in enumerate([(56, 60), (112, 56), (100, 112)]):
        noise_images(tmp_path / str(number), 1, size)[0].rename(tmp_path / f"noise{number}.png")
    summary = capture_shard(loaded, job_of(tmp_path), tmp_path / "out")
    assert compared_rows(loaded, tmp_path, tmp_path / "out") > 3 * sum(summary.rows.values()) - 1
    tokens = pl.read_parquet(tmp_path / "out" / "tokens.parquet").filter(segment="image")
    counts = tokens.group_by("image_id", "language").len().sort("image_id", "language")["len"].to_list()
    assert counts == ([16, 16, 16, 32, 16] if family == "paligemma" else [4, 8, 16])


def compared_rows(loaded: LoadedModel, folder: Path, out: Path) -> int:
    """How many rows of a shard were compared with full forwards."""
    tokens, matrices = pl.read_parquet(out / "tokens.parquet"), matrices_in(out)
    checked = 0
    for row in SAMPLES.iter_rows(named=True):
        for language in ("en", "ar"):
            if row[f"caption_{language}"] is None:
                continue
            request = CaptionRequest(
                row["sample_id"],
                row["image_id"],
                language,
                row[f"caption_{language}"],
                INSTRUCTIONS[language],
                folder / row["image"],
            )
            ids, reference = full_forward(loaded, request)
            is_own = (pl.col("group") == language) & (pl.col("sample_id") == row["sample_id"])
            is_shared = (pl.col("group") == "shared") & (pl.col("image_id") == row["image_id"])
            for token in tokens.filter(is_own | is_shared).iter_rows(named=True):
                assert token["token_id"] == ids[token["position"]]
                for layer in range(loaded.shape.num_layers):
                    got = matrices[f"layer_{layer}.{token['group']}.safetensors"][token["row"]].float()
                    expected = reference[layer][token["position"]]
                    assert torch.allclose(got, expected, rtol=2**-8, atol=1e-4)
                    checked += 1
    return checked


def test_rows_say_what_they_are(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(vlm, job_of(folder), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    shared = tokens.filter(group="shared")
    assert shared["language"].is_null().all()
    assert shared.filter(segment="image").group_by("image_id").len()["len"].to_list() == [16, 16, 16]
    assert shared.filter(image_id="i1")["sample_id"].unique().to_list() == ["b"]
    assert tokens.filter(special=True).group_by("sample_id", "language").len()["len"].to_list() == [1] * 6
    caption = tokens.filter(segment="caption", sample_id="a", language="en")
    words = [SAMPLES["caption_en"][0][start:end] for start, end in caption.select("char_start", "char_end").rows()]
    assert "".join(words) == "AwomansingsinaparkX".replace("X", ".")
    assert tokens.filter(pl.col("segment") != "caption")["char_start"].is_null().all()
    assert tokens.select("group", "row").is_unique().all()


@pytest.mark.parametrize("token_budget", [1, 64])
def test_how_passes_are_composed_does_not_show(
    vlm: LoadedModel, folder: Path, tmp_path: Path, token_budget: int
) -> None:
    capture_shard(vlm, job_of(folder), tmp_path / "a")
    capture_shard(vlm, job_of(folder, token_budget=token_budget, batch_size=2), tmp_path / "b")
    for name, matrix in matrices_in(tmp_path / "a").items():
        other = matrices_in(tmp_path / "b")[name]
        assert torch.allclose(matrix.float(), other.float(), rtol=2**-7, atol=1e-4)
    assert (tmp_path / "a" / "tokens.parquet").read_bytes() == (tmp_path / "b" / "tokens.parquet").read_bytes()


def test_a_shard_is_the_same_bytes_every_time(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    for out in ("a", "b"):
        capture_shard(vlm, job_of(folder), tmp_path / out)
    names = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert len(names) == 14
    assert all((tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes() for name in names)


def test_only_what_the_study_asks_for_is_kept(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    summary = capture_shard(vlm, job_of(folder, layers=[2], segments=["caption"]), tmp_path)
    assert summary.layers == (2,)
    assert summary.rows["shared"] == 0
    assert sorted(matrices_in(tmp_path)) == ["layer_2.ar.safetensors", "layer_2.en.safetensors"]
    assert set(pl.read_parquet(tmp_path / "tokens.parquet")["segment"]) == {"caption"}


def test_a_long_caption_drops_its_sample_in_all_languages(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    summary = capture_shard(vlm, job_of(folder, max_caption_tokens=3), tmp_path)
    assert {drop.sample_id for drop in summary.drops} == {"a", "c"}
    assert "more than max_caption_tokens = 3" in summary.drops[0].reason
    assert set(pl.read_parquet(tmp_path / "tokens.parquet")["sample_id"]) == {"b", "d"}
    written = json.loads((tmp_path / "shard.json").read_text())
    assert len(written["drops"]) == len(summary.drops)
    assert written["images"] == 2


def test_a_long_caption_is_cut_where_the_study_says_so(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    summary = capture_shard(vlm, job_of(folder, max_caption_tokens=3, long_captions="cut"), tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet").filter(segment="caption")
    assert summary.cut == 3
    assert not summary.drops
    assert tokens.group_by("sample_id", "language").len()["len"].max() == 3


def test_a_cut_caption_keeps_the_text_of_its_tokens(vlm: LoadedModel) -> None:
    sample = encode_sample(vlm, CaptionRequest("s", "i", "en", "A woman sings in a park."))
    cut = cut_caption(sample, 2)
    assert cut.caption == "A woman"
    assert cut.text.endswith("A woman")
    assert encode_sample(vlm, CaptionRequest("s", "i", "en", "A woman")).ids == cut.ids


def test_unusable_and_empty_captions_are_counted(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    samples = SAMPLES.with_columns(caption_ar=pl.Series(["", "a <end_of_turn>", None, "امرأة"]))
    summary = capture_shard(vlm, job_of(folder, samples), tmp_path)
    assert [(drop.sample_id, drop.language) for drop in summary.drops] == [("a", "ar"), ("b", "ar")]
    assert summary.captions == 2


def test_a_shard_that_lost_all_samples_is_empty(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    summary = capture_shard(vlm, job_of(folder, max_caption_tokens=1, samples=SAMPLES.head(1)), tmp_path)
    assert summary.images == 0
    assert not matrices_in(tmp_path)
    assert len(pl.read_parquet(tmp_path / "tokens.parquet")) == 0


def test_a_text_model_captures_text_alone(tiny_text_gemma: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    samples = SAMPLES.with_columns(image=pl.lit(None, pl.String))
    job = CaptureJob(samples, None, CaptureConfig(), {"en": "", "ar": ""})
    summary = capture_shard(loaded, job, tmp_path)
    tokens = pl.read_parquet(tmp_path / "tokens.parquet")
    assert summary.rows["shared"] == 0
    assert tokens.filter(special=True)["token"].unique().to_list() == ["<bos>"]


def test_a_bad_image_or_layer_is_told_in_one_line(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    (tmp_path / "noise0.png").write_bytes(b"no image")
    with pytest.raises(BadInput, match=r"noise0\.png: cannot be read"):
        capture_shard(vlm, job_of(tmp_path, SAMPLES.head(1)), tmp_path / "out")
    with pytest.raises(BadInput, match=r"noise1\.png: no such file"):
        capture_shard(vlm, job_of(tmp_path, SAMPLES[1:2]), tmp_path / "out")
    with pytest.raises(ValueError, match=r"capture\.layers: layer 9 is out of range"):
        capture_shard(vlm, job_of(folder, layers=[9]), tmp_path / "out")
    assert not (tmp_path / "out" / "shard.json").exists(), "nothing that looks like a shard is left"


def test_progress_is_told_and_may_stop_the_work(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    from core.progress import Stopped

    seen: list[tuple[int, int]] = []

    def stop(done: int, total: int, metrics: dict[str, float] | None = None) -> None:
        seen.append((done, total))
        if done:
            raise Stopped

    with pytest.raises(Stopped):
        capture_shard(vlm, job_of(folder, token_budget=64), tmp_path / "out", stop)
    assert seen[0] == (0, 6)
    with pytest.raises(BadInput, match="out: is no finished shard"):
        LayerTable.open([tmp_path / "out"], 0)


def test_images_with_overflow_are_captured_again_in_float32(tiny_gemma: Path, folder: Path, tmp_path: Path) -> None:
    loaded = load_model(tiny_gemma, "bfloat16", "cpu")

    def overflow(_module: object, _inputs: object, output: torch.Tensor) -> torch.Tensor:
        broken = output.clone()
        broken[-1, -1, 0] = float("inf")
        return broken

    handle = loaded.blocks[1].register_forward_hook(overflow)
    kept = capture_shard(loaded, job_of(folder, nonfinite="drop"), tmp_path / "kept")
    again = capture_shard(loaded, job_of(folder, nonfinite="recompute"), tmp_path / "again")
    handle.remove()
    exact = load_model(tiny_gemma, "float32", "cpu")
    capture_shard(exact, job_of(folder), tmp_path / "exact")
    assert set(kept.nonfinite) == {"1", "2", "3"}
    table = LayerTable.open([tmp_path / "exact", tmp_path / "kept"], 3)
    assert (table.compute_dtype, table.nonfinite_from) == ("bfloat16", 1)
    assert again.nonfinite == kept.nonfinite
    assert again.recomputed
    tokens = pl.read_parquet(tmp_path / "again" / "tokens.parquet")
    truth = matrices_in(tmp_path / "exact")
    for name, matrix in matrices_in(tmp_path / "again").items():
        assert matrix.isfinite().all()
        rows = tokens.filter(pl.col("group") == name.split(".")[1])["image_id"].is_in(list(again.recomputed)).to_numpy()
        assert torch.allclose(matrix[rows].float(), truth[name][rows].float(), rtol=2**-7, atol=1e-4)


def test_a_full_disk_is_an_os_error(vlm: LoadedModel, folder: Path) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("needs /dev/full")
    with tempfile.TemporaryDirectory() as out:
        (Path(out) / "layer_0.en.safetensors").symlink_to("/dev/full")
        with pytest.raises(OSError, match="No space left"):
            capture_shard(vlm, job_of(folder), Path(out))


def test_files_can_be_read_by_the_team(vlm: LoadedModel, folder: Path, tmp_path: Path) -> None:
    capture_shard(vlm, job_of(folder), tmp_path)
    (tmp_path / "plain").touch()
    assert {path.stat().st_mode for path in tmp_path.iterdir()} == {(tmp_path / "plain").stat().st_mode}


def test_a_shard_is_the_images_between_two_numbers() -> None:
    shuffled = SAMPLES.sample(fraction=1, shuffle=True, seed=0)
    assert images_between(shuffled, 0, 2)["sample_id"].to_list() == ["a", "b", "c"]
    assert images_between(shuffled, 2, 4)["sample_id"].to_list() == ["d"]


def test_a_model_given_no_images_folder_uses_text(vlm: LoadedModel, tmp_path: Path) -> None:
    job = replace(job_of(None), images=None)
    summary = capture_shard(vlm, job, tmp_path)
    assert "image" not in set(pl.read_parquet(tmp_path / "tokens.parquet")["segment"])
    assert summary.images == 3
