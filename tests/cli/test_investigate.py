"""Features planted by hand in the mini study's stream: the dossier names their attribute, and of others none."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import saeflow as public
from core.features.build import build_index
from core.features.hypotheses import hypotheses
from core.features.index import FeatureIndex
from core.sae.architectures import SparseAutoencoder
from core.study.model import IndexConfig
from explorer.asking.dossier import Asked, parts_of, proposal
from explorer.asking.looked import Looked
from tests.core.sae.dictionary import random_sae
from tests.flows.commands import saeflow_here

PLANTED = (("mood", "tired"), ("object", "umbrella"), ("place", "beach"))
LAYER = 9


@pytest.fixture(scope="module")
def looked(mini_workspace: Path, tmp_path_factory: pytest.TempPathFactory) -> Looked:
    """Layer 9, with a dictionary whose features are the means of image rows with a value, less those of all others."""
    study = public.open("mini", workspace=mini_workspace)
    view = study.layer(LAYER)
    sae = planted(view, study.samples)
    folder = tmp_path_factory.mktemp("planted") / "index"
    build_index(sae, view.table, study.samples, IndexConfig(), folder)
    return Looked(study, replace(view, sae=sae, index=FeatureIndex.open(folder)))


def planted(view: Any, samples: pl.DataFrame) -> SparseAutoencoder:
    """A dictionary that fires on image rows of one value; all its other features never fire."""
    tokens = view.table.tokens
    rows = tokens.with_row_index("at").filter(pl.col("segment") == "image")["at"].to_numpy()
    stream = view.table.read(rows).float()
    known = tokens[rows].join(samples, on="image_id", how="left", maintain_order="left")
    sae = random_sae(stream.shape[1], 16, len(PLANTED))
    with torch.no_grad():
        sae.b_dec.zero_()
        sae.b_enc.fill_(-1e6)
        for feature, (attribute, value) in enumerate(PLANTED):
            has = torch.from_numpy((known[attribute] == value).to_numpy())
            within = torch.cov(stream[~has].T) + torch.cov(stream[has].T)
            direction = torch.linalg.solve(
                within + 0.01 * within.trace() / len(within) * torch.eye(len(within)),
                stream[has].mean(0) - stream[~has].mean(0),
            )
            scores = stream @ direction
            sae.W_enc[:, feature] = direction
            sae.b_enc[feature] = -(scores[has].mean() + scores[~has].mean()) / 2
    return sae


@pytest.mark.parametrize(("feature", "attribute", "value"), [(n, *one) for n, one in enumerate(PLANTED)])
def test_a_planted_feature_s_dossier_names_its_attribute_and_varying_it_changes_it(
    looked: Looked, feature: int, attribute: str, value: str
) -> None:
    parts = parts_of(looked, feature, Asked("en", 6))
    text = "\n".join(part.markdown() for part in parts)
    assert text.startswith(f"## Proposed label: {attribute}: {value}"), text[:1500]
    assert f"For: when {attribute} alone is varied, its values explain" in text


def test_of_a_feature_that_fires_at_random_none_is_named(looked: Looked) -> None:
    rng, images = np.random.default_rng(0), looked.study.samples["image_id"].unique(maintain_order=True)
    means = pl.DataFrame({"image_id": images, "value": rng.random(len(images))})
    part = proposal(hypotheses(means, looked.study.samples), {}, looked.view.concept)
    assert part.heading == "Proposed label: none"


def test_the_command_writes_a_dossier_with_what_taking_the_feature_out_does(
    mini_workspace: Path, tmp_path: Path
) -> None:
    features = public.open("mini", workspace=mini_workspace).layer(17).index.features
    feature = str(features.sort("count", "feature", descending=[True, False])["feature"][0])
    page = tmp_path / "dossier.md"
    words = ("feature", "investigate", feature, "--study", "mini", "--layer", "17", "--images", "2", "--out", str(page))
    told = saeflow_here(mini_workspace, *words)
    assert told.returncode == 0 and str(page) in told.stdout, told.stderr
    text = page.read_text("utf-8")
    for heading in ("# feature", "## Proposed label", "## What it is", "## Observed", "## Intervened", "## Taken out"):
        assert heading in text
    assert "en: the first word of gender shifts by" in text and "Tokens promoted (direct path)" in text


def test_a_dossier_that_could_not_be_written_is_refused_before_the_model_runs(mini_workspace: Path) -> None:
    words = ("feature", "investigate", "1", "--study", "mini", "--layer", "17", "--out", "/nowhere/dossier.md")
    told = saeflow_here(mini_workspace, *words)
    assert told.returncode == 1 and "--out /nowhere/dossier.md: its folder does not exist" in told.stderr
