"""What a study knows of activations made elsewhere before anything runs, and what it plans with them."""

import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from core.errors import BadInput
from core.planning.graph import plan_study
from core.planning.loading import load_study
from core.planning.located import Precomputed, Reader, Shape, Sources
from core.planning.precomputed_source import pin_precomputed, read_precomputed
from core.planning.study import Study
from core.store.hashes import HashMemo

STUDIES = Path(__file__).parents[3] / "deployments" / "studies"
SHAPE = Shape(images=120, num_layers=34, d_model=64, has_images=True)
MADE = Precomputed(Path("rows"), "content", (0, 9), 1000, 64)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "rows"
    place.mkdir()
    for layer in (0, 9, 17):
        np.save(place / f"{layer}.npy", np.full((5, 64), layer, dtype=np.float32))
    pl.DataFrame({"sample_id": ["a"] * 5}).write_parquet(place / "tokens.parquet")
    files = {str(layer): f"{layer}.npy" for layer in (0, 9, 17)}
    (place / "index.json").write_text(json.dumps({"layers": files, "site": "resid_post"}))
    return place


def study(folder: Path | str, *overrides: str) -> Study:
    return load_study(STUDIES / "demo.yaml", [f"capture.precomputed={folder}", *overrides])


def source(folder: Path, *overrides: str) -> Precomputed:
    reader = Reader(HashMemo(folder.parent / "hashes.json"), lambda package, content: None)
    found = read_precomputed(study(folder, *overrides), Sources("", ""), reader).precomputed
    assert found is not None
    return found


def test_all_layers_are_those_of_the_folder_and_others_are_ignored(folder: Path) -> None:
    assert source(folder).layers == (0, 9, 17)
    some = source(folder, "capture.layers=[0, 9]")
    assert (some.layers, some.rows, some.d_model) == ((0, 9), 5, 64)
    with pytest.raises(BadInput, match=r"capture\.layers: layer 3 is not in .*index\.json, which has 0, 9, 17"):
        source(folder, "capture.layers=3")


def test_the_content_is_that_of_the_layers_asked_for_wherever_they_lie(folder: Path) -> None:
    before = source(folder, "capture.layers=[0, 9]")
    np.save(folder / "17.npy", np.zeros((5, 64), dtype=np.float32))
    assert source(folder, "capture.layers=[0, 9]") == before
    moved = folder.rename(folder.with_name("moved"))
    assert source(moved, "capture.layers=[0, 9]").content == before.content
    np.save(moved / "9.npy", np.zeros((5, 64), dtype=np.float32))
    assert source(moved, "capture.layers=[0, 9]").content != before.content


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("capture.pool=mean", r"capture\.pool: mean, but rows of capture\.precomputed stay as they are"),
        ("capture.nonfinite=recompute", r"capture\.nonfinite: rows of capture\.precomputed cannot be computed again"),
        ("capture.site=mlp_out", r"capture\.site: mlp_out, but .*index\.json says resid_post"),
    ],
)
def test_what_would_need_the_model_is_refused(folder: Path, override: str, words: str) -> None:
    with pytest.raises(BadInput, match=words):
        source(folder, override)


def test_a_relative_folder_starts_at_the_first_base_that_has_it(folder: Path) -> None:
    found = pin_precomputed(study("rows"), [folder.parent / "elsewhere", folder.parent])
    assert found.capture.precomputed == str(folder)
    with pytest.raises(BadInput, match=r"capture\.precomputed: 'rows' does not exist"):
        pin_precomputed(study("rows"), [folder])


def test_one_unit_copies_the_rows_and_layers_are_built_on_it() -> None:
    plan = plan_study(study("rows"), Sources("data", "model", precomputed=MADE), SHAPE)
    (unit,) = plan.stage("capture")
    assert (unit.step, unit.recipe["layers"], unit.knobs) == ("import_activations", [0, 9], {"folder": "rows"})
    assert plan.layers == (0, 9)
    assert [extract.inputs["shards"] for extract in plan.stage("extract_layer")] == [(unit.artifact,)] * 2
    assert plan.stages["capture"] == (unit,)


def test_the_content_decides_and_neither_the_place_nor_the_model_does() -> None:
    def unit(made: Precomputed, model: str = "model", *overrides: str) -> str:
        plan = plan_study(study(made.folder, *overrides), Sources("data", model, precomputed=made), SHAPE)
        return plan.stage("capture")[0].artifact.ref

    elsewhere = Precomputed(Path("moved"), "content", (0, 9), 1000, 64)
    assert unit(MADE) == unit(elsewhere) == unit(MADE, "other") == unit(MADE, "model", "capture.checkpoint_every=7")
    assert unit(MADE) != unit(Precomputed(Path("rows"), "other", (0, 9), 1000, 64))
    assert unit(MADE) != unit(MADE, "model", "capture.segments=[caption]")


def test_a_place_is_no_part_of_any_result() -> None:
    first, second = (
        plan_study(study(made.folder), Sources("data", "model", precomputed=made), SHAPE)
        for made in (MADE, Precomputed(Path("moved"), "content", (0, 9), 1000, 64))
    )
    assert first.report.artifact == second.report.artifact


def test_analyses_that_run_the_model_over_the_rows_are_left_out_and_told() -> None:
    plan = plan_study(study("rows"), Sources("data", "model", precomputed=MADE), SHAPE)
    assert {"interpretation", "evolution"} <= {unit.step for unit in plan.stage("analyse")}
    assert plan.skipped.keys() == {"overview", "ablation", "amplification", "visual_patterns", "qualitative"}
    assert (
        plan.skipped["ablation"] == "it runs the model over its rows' tokens, and capture.precomputed has only the rows"
    )
    narrow = Precomputed(Path("rows"), "content", (0, 9), 1000, 32)
    plan = plan_study(study("rows"), Sources("data", "model", precomputed=narrow), SHAPE)
    assert "evolution" in {unit.step for unit in plan.stage("analyse")}
    assert "reads 64 numbers, and rows of capture.precomputed have 32" in plan.skipped["interpretation"]
    with pytest.raises(BadInput, match=r"sae\.k: 200 exceeds the 64 features of sae\.expansion 2"):
        plan_study(study("rows", "sae.k=200", "sae.expansion=2"), Sources("d", "m", precomputed=narrow), SHAPE)


def test_a_study_without_such_a_folder_keeps_its_fingerprints() -> None:
    plan = plan_study(load_study(STUDIES / "demo.yaml"), Sources("data", "model"), SHAPE)
    assert all("precomputed" not in unit.recipe["capture"] for unit in plan.stage("capture"))
