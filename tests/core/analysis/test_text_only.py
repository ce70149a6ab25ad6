"""The causal analyses on a study without images: emoji names, whose gendered word often stands first."""

from pathlib import Path

import pytest
import torch

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob
from core.activations.table import LayerTable
from core.analysis.ablation import Config as AblationConfig
from core.analysis.ablation.run import run as ablation
from core.analysis.amplification import Config as AmplificationConfig
from core.analysis.amplification.run import run as amplification
from core.analysis.qualitative import Config as QualitativeConfig
from core.analysis.qualitative.run import run as qualitative
from core.data.gender_concept import GENDER
from core.data.samples import prepare, read_samples
from core.features.build import build_index
from core.features.index import FeatureIndex
from core.features.inputs import AnalysisInputs
from core.features.layer_view import LayerView
from core.features.row_groups import RowGrouper
from core.lm.loading import load_model
from core.progress import silent
from core.sae.architectures import SparseAutoencoder
from core.study.data import EmojiSource
from core.study.model import CaptureConfig, IndexConfig

LAYER = 2


@pytest.fixture(scope="module")
def inputs(tiny_text_gemma: Path, tmp_path_factory: pytest.TempPathFactory) -> AnalysisInputs:
    folder = tmp_path_factory.mktemp("emoji")
    (folder / "samples").mkdir()
    prepare(EmojiSource(source="emoji", skin_tones=False, num_samples=120), folder, folder / "samples", silent)
    samples = read_samples(folder / "samples")
    loaded = load_model(tiny_text_gemma, "float32", "cpu")
    none = {"en": "", "ar": ""}
    capture_shard(loaded, CaptureJob(samples, None, CaptureConfig(layers=(LAYER,)), none), folder / "shard")
    table = LayerTable.open([folder / "shard"], LAYER)
    sae = random_sae()
    build_index(sae, table, samples, IndexConfig(), folder / "index")
    index, grouper = FeatureIndex.open(folder / "index"), RowGrouper(samples, GENDER)
    opened = LayerView(LAYER, table, sae, index, samples, ("en", "ar"), GENDER, grouper)
    return AnalysisInputs(
        samples=samples,
        images=None,
        truth=None,
        layers=(LAYER,),
        languages=("en", "ar"),
        open_layer={LAYER: opened}.__getitem__,
        open_model=lambda: loaded,
        instructions=none,
        concept=GENDER,
    )


def random_sae() -> SparseAutoencoder:
    sae = SparseAutoencoder(32, 128, 12).requires_grad_(False)
    directions = torch.nn.functional.normalize(torch.randn(128, 32, generator=torch.Generator().manual_seed(1)), dim=1)
    sae.W_dec.copy_(directions)
    sae.W_enc.copy_(directions.T)
    return sae


def test_ablation_measures_pairs_of_words_and_leaves_images_out(inputs: AnalysisInputs) -> None:
    config = AblationConfig(layers=(LAYER,), features=3, images=6, draws=19, bootstrap=50)
    found = ablation(inputs, config)
    interventions = set(found.tables["effects"]["intervention"])
    assert "zero ablation" in interventions
    assert not any("interchange" in name or "image" in name for name in interventions)
    assert found.tables["effects"]["effect"].is_finite().all()
    assert any("Text only" in note for note in found.notes)
    assert any("different context" in note and "before the word" in note for note in found.notes)
    assert found.estimates
    assert all(one.counted == "test items" for one in found.estimates)


def test_amplification_steers_text(inputs: AnalysisInputs) -> None:
    config = AmplificationConfig(layers=(LAYER,), features=2, images=6, doses=(-1, 0, 1), draws=19, bootstrap=50)
    found = amplification(inputs, config)
    assert found.tables["slopes"]["slope"].is_finite().all()
    assert found.estimates


def test_the_gallery_continues_texts_and_has_no_maps(inputs: AnalysisInputs) -> None:
    config = QualitativeConfig(layer=LAYER, features=2, images=3, max_new_tokens=2)
    found = qualitative(inputs, config)
    gallery = found.tables["gallery"]
    assert gallery.height > 0
    assert gallery["map"].list.len().to_list() == [0] * gallery.height
    assert gallery["image"].is_null().all()
    assert any("Text only" in note for note in found.notes)
