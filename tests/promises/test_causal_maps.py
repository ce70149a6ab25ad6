"""Maps agree with causal maps as far as random images' cells in place of the twin's do not show it."""

from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.analysis.visual_patterns import Config
from core.analysis.visual_patterns.agreement import CAUSAL, agreement_table, compare_maps, rank_correlation
from core.analysis.visual_patterns.findings import correct_together, findings
from core.analysis.visual_patterns.run import run
from core.causal import maps as causal
from core.features.inputs import AnalysisInputs
from core.lm.patched import CAPTION, PROMPT
from tests.promises.image_world import (
    make_inputs,
)


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> AnalysisInputs:
    return make_inputs(tmp_path_factory.mktemp("world"))


CONFIG = Config(layers=(3,), features=2, occluded_images=0, bootstrap=200)


def causal_table(values: dict[str, dict[int, list[float]]], layer: int = 3) -> pl.DataFrame:
    """Rank correlations by image and swap, one feature each."""
    rows = [
        (layer, feature, image, "random-swap" if swap else "twin-swap", swap, rho, [0.0], [0.0])
        for image, swaps in values.items()
        for swap, rhos in swaps.items()
        for feature, rho in enumerate(rhos)
    ]
    return pl.DataFrame(rows, CAUSAL, orient="row")


IMAGES = [f"test-{number:02d}" for number in range(0, 12, 2)]


def test_agreement_is_what_random_swaps_do_not_show(inputs: AnalysisInputs) -> None:
    random, hits = np.random.default_rng(0), 0
    for _ in range(60):
        same = {image: {swap: [0.8 + 0.05 * random.normal()] for swap in range(4)} for image in IMAGES}
        row = agreement_table(causal_table(same), inputs, 20).row(0, named=True)
        assert row["spearman"] > 0.7 and abs(row["above_random"]) < 0.1
        hits += row["p"] <= 0.05
    assert hits <= 7
    better = {
        image: {swap: [(0.8 if swap == 0 else 0.1) + 0.05 * random.normal()] for swap in range(4)} for image in same
    }
    row = agreement_table(causal_table(better), inputs, 200).row(0, named=True)
    assert row["above_random"] == pytest.approx(0.7, abs=0.1)
    assert row["draws"] == 1000 and row["p"] == pytest.approx(1 / 1001)
    assert row["null_high"] < row["above_random_low"]
    worse = {image: {swap: [0.1 if swap == 0 else 0.8] for swap in range(4)} for image in same}
    row = agreement_table(causal_table(worse), inputs, 200).row(0, named=True)
    assert row["above_random"] == pytest.approx(-0.7) and row["p"] < 0.05


def test_two_images_cannot_be_significant(inputs: AnalysisInputs) -> None:
    few = {image: {swap: [0.9 if swap == 0 else 0.0] for swap in range(4)} for image in IMAGES[:2]}
    row = agreement_table(causal_table(few), inputs, 200).row(0, named=True)
    assert row["draws"] == 4**2 - 1 and row["p"] == pytest.approx(1 / 16)


def test_features_are_averaged_within_an_image_first(inputs: AnalysisInputs) -> None:
    values = {IMAGES[0]: {0: [1.0, 1.0, 1.0], 1: [0.5, 0.5, 0.5]}, IMAGES[1]: {0: [0.0], 1: [0.0]}}
    row = agreement_table(causal_table(values), inputs, 200).row(0, named=True)
    assert (row["spearman"], row["random"], row["above_random"]) == (0.5, 0.25, 0.25)


def test_an_image_without_random_swaps_is_not_compared(inputs: AnalysisInputs) -> None:
    row = agreement_table(causal_table({IMAGES[0]: {0: [0.9]}}), inputs, 200).row(0, named=True)
    assert row["spearman"] == 0.9 and row["compared"] == 0 and row["p"] is None
    assert np.isnan(row["above_random"])


def test_twins_are_one_unit_of_the_agreement(inputs: AnalysisInputs) -> None:
    random = np.random.default_rng(4)
    pairs = {image: {0: [random.random()], 1: [0.0]} for image in IMAGES}
    twins = {f"test-{int(image[-2:]) + 1:02d}": swaps for image, swaps in pairs.items()}
    both = agreement_table(causal_table({**pairs, **twins}), inputs, 500).row(0, named=True)
    single = agreement_table(causal_table(pairs), inputs, 500).row(0, named=True)
    ends = ("low", "high", "above_random_low", "above_random_high")
    assert [both[end] for end in ends] == pytest.approx([single[end] for end in ends])


def test_a_map_without_an_effect_agrees_with_nothing() -> None:
    cells = np.array([0.0, 1.0, 2.0, 3.0])
    assert rank_correlation(cells, np.zeros(4)) == 0
    assert np.isnan(rank_correlation(np.zeros(4), cells))
    assert rank_correlation(cells, cells**3) == pytest.approx(1)
    found = compare_maps(causal.CausalMap(3, 1, "a", "twin-swap", 0, cells), cells)
    assert found["map"] == found["causal"] == cells.tolist() and found["spearman"] == pytest.approx(1)


def test_the_agreement_estimate_names_its_null(inputs: AnalysisInputs) -> None:
    result = run(inputs, CONFIG)
    values = {image: {swap: [0.8 if swap == 0 else 0.1] for swap in range(4)} for image in IMAGES}
    table = causal_table(values)
    agreement = agreement_table(table, inputs, 200)
    tables = {**result.tables, **correct_together(result.tables["localisation"], agreement), "causal": table}
    one = {found.name: found for found in findings(tables, "gender")}["agreement"]
    assert one.answers and one.verdict == "found" and one.value == pytest.approx(0.7)
    assert "0.80" in one.caveats[0] and "0.10" in one.caveats[0] and "the twin's" in one.condition


def test_random_images_are_other_test_images_of_the_same_side(inputs: AnalysisInputs) -> None:
    names = {f"{name}.png": name for name in inputs.samples["image_id"]}
    samples = inputs.samples.with_columns(image=pl.col("image_id") + ".png")
    own = SimpleNamespace(**{**vars(inputs), "samples": samples, "units": inputs.units})
    rows = samples.filter(pl.col("image_id").is_in(IMAGES))
    found = causal.random_images(own, rows, 3)  # type: ignore[arg-type]
    for image, donors in found.items():
        others = [names[donor] for donor in donors]
        assert len(set(others)) == 3 and all(other.startswith("test-") for other in others)
        assert all(int(other[-2:]) % 2 == int(image[-2:]) % 2 for other in others), "even numbers are women"
        assert {image, f"test-{int(image[-2:]) ^ 1:02d}"}.isdisjoint(others)
    assert len({tuple(donors) for donors in found.values()}) > 1
    unlabelled = samples.with_columns(gender_en=pl.lit("none"))
    other = SimpleNamespace(**{**vars(inputs), "samples": unlabelled, "units": inputs.units})
    drawn = causal.random_images(other, rows, 20)  # type: ignore[arg-type]
    assert {int(donor[5:7]) % 2 for donor in drawn[IMAGES[0]]} == {0, 1}


@dataclass(frozen=True)
class Sample:
    image_id: str
    image: Path


class Batch:
    """One sequence of two text rows, nine cells, and a text row; values by picture."""

    def __init__(self, image: Path, count: int = 1) -> None:
        self.image, self.count = image, count
        self.segments = torch.tensor([[PROMPT, PROMPT, *[causal.IMAGE] * 9, CAPTION]] * count)

    def __len__(self) -> int:
        return self.count

    def repeated(self, count: int) -> "Batch":
        return Batch(self.image, count)

    def rows(self, some: slice) -> "Batch":
        return Batch(self.image, len(range(self.count)[some]))


PICTURES = {"own": np.r_[np.arange(9.0)], "twin": np.r_[0.0, np.arange(1, 8), 0], "other": np.full(9, 2.0)}


@pytest.fixture
def identity_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model whose stream is what enters it; its one feature is the sum of nothing but the cell itself."""

    def embed(_loaded: Any, batch: Batch) -> torch.Tensor:
        return torch.tensor(np.r_[50, 50, PICTURES[batch.image.name], 50], dtype=torch.float32)[None, :, None]

    monkeypatch.setattr(causal, "build_batch", lambda _loaded, samples: Batch(samples[0].image))
    monkeypatch.setattr(causal, "embed", embed)
    monkeypatch.setattr(causal, "run_embedded", lambda _loaded, _batch, entering, layers: {layers[0]: entering})


def test_every_cell_is_replaced_alone_and_random_images_are_mapped_beside(identity_model: None) -> None:
    def activations(rows: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
        return rows.expand(-1, len(features))

    sae = SimpleNamespace(activations=activations)
    sae.to = lambda _device: sae
    layer: Any = SimpleNamespace(sae=sae)
    sample: Any = Sample("a", Path("own"))
    chosen = [causal.Replacement(sample, Path("twin"), (Path("other"),)), causal.Replacement(sample, None)]
    found = causal.causal_maps(None, chosen, {3: (layer, [7])})  # type: ignore[arg-type]
    assert [(one.kind, one.swap) for one in found] == [("twin-swap", 0), ("random-swap", 1), ("occlusion", 0)]
    own = PICTURES["own"]
    np.testing.assert_allclose(found[0].blocks, own - PICTURES["twin"])
    # Without any effect beyond the cell itself, the map that random cells leave is not 0.
    np.testing.assert_allclose(found[1].blocks, own - 2)
    np.testing.assert_allclose(found[2].blocks, own - own.mean())
