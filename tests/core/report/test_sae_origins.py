"""The report's words on autoencoders that were trained elsewhere."""

from dataclasses import replace
from pathlib import Path

import polars as pl
import pytest

from core.report import ReportInputs, collect
from core.report.facts import origin_words
from core.report.markdown import render_markdown
from tests.core.report.sample_study import STUDY, SampleStudy


@pytest.fixture
def inputs(tmp_path: Path) -> ReportInputs:
    study = SampleStudy(tmp_path / "artifacts")
    return collect(study.store, STUDY, study.inputs, study.skipped)


def test_layers_of_one_other_place_are_named_together_and_every_origin_is_listed(inputs: ReportInputs) -> None:
    assert inputs.origins.height == 0 and origin_words(inputs) == []
    assert "were trained" not in render_markdown(inputs, {}).text
    origins = pl.DataFrame(
        {
            "layer": [0, 1, 2],
            "trained_on_model": ["google/gemma-2-2b", "google/gemma-2-2b", "unknown"],
            "trained_on_hook": ["blocks.0.hook_mlp_out", "blocks.1.hook_mlp_out", "unknown"],
            "used_on_model": ["gemma3"] * 3,
            "used_on_hook": [f"blocks.{layer}.hook_resid_post" for layer in range(3)],
            "differs": ["model, site", "model, site", ""],
        }
    )
    theirs = replace(inputs, origins=origins)
    assert origin_words(theirs) == [
        "Layers 0, 1: the autoencoder was trained on another model and site (blocks.{layer}.hook_mlp_out of "
        "google/gemma-2-2b) than it is used on (blocks.{layer}.hook_resid_post of gemma3)."
    ]
    text = render_markdown(theirs, {}).text.replace("\\", "")
    assert "> Layers 0, 1: the autoencoder was trained on another model and site" in text
    assert "| 2 | unknown | unknown | gemma3 | blocks.2.hook_resid_post |" in text
