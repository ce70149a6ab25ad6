"""Loss with an SAE spliced in, against transformers' own loss and SAEs whose answer is known."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from core.causal.splice import Splicer
from core.features.inputs import AnalysisInputs
from core.lm.loaded import LoadedModel
from core.lm.loading import load_model
from core.lm.prompts import CaptionRequest
from tests.core.features.planted_world import World, make_inputs
from tests.core.lm.reference import INSTRUCTIONS, noise_images, processor_inputs

CAPTIONS = {"en": ["a woman sings", "a man in the park sings"], "ar": ["امرأة تغني", "رجل في حديقة"]}


@pytest.fixture
def loaded(tiny_gemma: Path) -> LoadedModel:
    return load_model(tiny_gemma, "float32", "cpu")


def make_study(loaded: LoadedModel, folder: Path) -> AnalysisInputs:
    images = noise_images(folder, 2)
    samples = pl.DataFrame(
        {
            "sample_id": ["s0", "s1"],
            "image_id": ["i0", "i1"],
            "image": [image.name for image in images],
            "split": "test",
            **{f"caption_{language}": texts for language, texts in CAPTIONS.items()},
        }
    )
    base = make_inputs(World(images=8), lambda: loaded)
    return replace(base, samples=samples, images=folder, instructions=INSTRUCTIONS)


def reference_loss(loaded: LoadedModel, study: AnalysisInputs, language: str) -> float:
    """Mean over images of transformers' logits' cross-entropy on the caption's tokens, one forward a caption."""
    losses = []
    for row in study.samples.iter_rows(named=True):
        image = study.images / row["image"] if study.images else None
        request = CaptionRequest("s", "i", language, row[f"caption_{language}"], INSTRUCTIONS[language], image)
        inputs = processor_inputs(loaded, request)
        prompt = processor_inputs(loaded, replace(request, caption=""))["input_ids"].shape[1]
        with torch.inference_mode():
            logits = loaded.model(**inputs).logits[0, prompt - 1 : -1].float()
        targets = inputs["input_ids"][0, prompt:]
        losses.append(float(torch.nn.functional.cross_entropy(logits, targets)))
    return float(np.mean(losses))


def test_the_clean_loss_is_transformers_own_and_an_exact_sae_costs_nothing(loaded: LoadedModel, tmp_path: Path):
    study = make_study(loaded, tmp_path)
    splicer = Splicer(study, images=5, bootstrap=20)
    means = dict.fromkeys(("image", "prompt", "caption"), np.zeros(loaded.unembedding.shape[1]))
    exact: Any = lambda x: x  # noqa: E731
    for layer in (0, 2):
        table = splicer.measure(layer, exact, means)
        assert table["language"].to_list() == ["ar", "en"] and table["images"].to_list() == [2, 2]
        for row in table.iter_rows(named=True):
            assert row["ce_clean"] == pytest.approx(reference_loss(loaded, study, row["language"]), abs=1e-4)
            assert row["delta_ce"] == pytest.approx(0, abs=1e-5)
            # Mean ablation may help a random model, and then there is nothing to recover.
            assert np.isnan(row["loss_recovered"]) or row["loss_recovered"] == pytest.approx(1, abs=1e-2)
            assert abs(row["ce_mean"] - row["ce_clean"]) > 1e-4


def test_an_sae_that_knows_only_the_mean_recovers_nothing(loaded: LoadedModel, tmp_path: Path):
    splicer = Splicer(make_study(loaded, tmp_path), images=1, bootstrap=20)
    mean = np.linspace(-1, 1, loaded.unembedding.shape[1])
    means = dict.fromkeys(("image", "prompt", "caption"), mean)
    constant: Any = lambda x: torch.from_numpy(mean).float().expand_as(x)  # noqa: E731
    table = splicer.measure(1, constant, means)
    assert table["images"].to_list() == [1, 1]
    assert table["ce_spliced"].to_list() == pytest.approx(table["ce_mean"].to_list())


def test_outliers_pass_unchanged(loaded: LoadedModel, tmp_path: Path):
    means = dict.fromkeys(("image", "prompt", "caption"), np.zeros(loaded.unembedding.shape[1]))
    wrong: Any = lambda x: 0 * x  # noqa: E731
    table = Splicer(make_study(loaded, tmp_path), images=5, bootstrap=20).measure(0, wrong, means, limit=1e-6)
    assert table["ce_spliced"].to_list() == table["ce_clean"].to_list() == table["ce_mean"].to_list()


def test_without_test_images_nothing_is_measured(loaded: LoadedModel, tmp_path: Path):
    study = make_study(loaded, tmp_path)
    study = replace(study, samples=study.samples.with_columns(split=pl.lit("train")))
    stub: Any = SimpleNamespace()
    assert Splicer(study, images=5, bootstrap=20).measure(0, stub, {}).height == 0


def test_a_caption_that_capture_left_out_is_passed_over(loaded: LoadedModel, tmp_path: Path):
    study = make_study(loaded, tmp_path)
    unusable = study.samples.with_columns(caption_en=pl.Series(["A woman <end_of_turn> sings", "a man"]))
    means = dict.fromkeys(("image", "prompt", "caption"), np.zeros(loaded.unembedding.shape[1]))
    exact: Any = lambda x: x  # noqa: E731
    table = Splicer(replace(study, samples=unusable), images=5, bootstrap=20).measure(0, exact, means)
    assert dict(table.select("language", "images").iter_rows()) == {"ar": 2, "en": 1}
