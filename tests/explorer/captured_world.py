"""A workspace whose one study was captured by a tiny model, so that texts can be searched in it."""

from pathlib import Path

import polars as pl
import torch

from core.activations.capture import capture_shard
from core.activations.requests import CaptureJob
from core.activations.table import LayerTable
from core.data.sample_frame import SCHEMA
from core.features.build import build_index
from core.lm.loading import load_model
from core.planning.located import Sources
from core.planning.model_source import read_model
from core.planning.study import Study
from core.planning.survey import reader_of
from core.sae.formats import Origin, save_sae
from core.store.steps import CAPTURE, EXTRACT_LAYER, INDEX_FEATURES, PREPARE, TRAIN_SAE
from core.store.workspace import Workspace
from tests.core.activations.conftest import SAMPLES
from tests.core.lm.reference import INSTRUCTIONS, noise_images
from tests.core.sae.dictionary import random_sae
from tests.explorer.world import CONFIG, publish, write_json

LAYER = 3


def make_captured_world(root: Path, scratch: Path, model: Path) -> Workspace:
    workspace = Workspace(root)
    study = Study.model_validate(
        {
            "name": "noise",
            "data": {"source": "table", "path": "/nowhere/noise.csv", "columns": {"caption_en": "caption"}},
            "model": {"path": str(model), **{f"instruction_{name}": text for name, text in INSTRUCTIONS.items()}},
            "capture": {"layers": [LAYER]},
        }
    )
    weights = read_model(study, Sources("", ""), reader_of(workspace)).model
    missing = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in SAMPLES.columns]
    samples = SAMPLES.with_columns(missing).with_columns(split=pl.lit("train"))
    prepare = PREPARE.unit("", {})
    shard = CAPTURE.unit("000", {"model": {"weights": weights}}, {"samples": (prepare.artifact,)})
    table = EXTRACT_LAYER.unit("3", {"layer": LAYER}, {"shards": (shard.artifact,)})
    sae = TRAIN_SAE.unit("3", {"layer": LAYER}, {"layer": (table.artifact,)})
    inputs = {"shards": (shard.artifact,), "layer": (table.artifact,), "sae": (sae.artifact,)}
    index = INDEX_FEATURES.unit("3", {"layer": LAYER}, inputs)
    loaded = load_model(model, "float32", "cpu")
    autoencoder = random_sae(loaded.shape.d_model, 96, 6)

    def prepared(folder: Path) -> None:
        samples.write_parquet(folder / "samples.parquet")
        noise_images(folder, 3)
        write_json(folder / "summary.json", {"languages": ["en", "ar"]})

    publish(workspace, prepare, prepared)
    job = CaptureJob(samples, workspace.store.path(prepare.artifact), study.capture, INSTRUCTIONS)
    publish(workspace, shard, lambda folder: capture_shard(loaded, job, folder))
    publish(workspace, table, lambda folder: None)
    publish(workspace, sae, lambda folder: save_sae(autoencoder, folder, Origin("tiny", LAYER)))
    rows = LayerTable.open([workspace.store.path(shard.artifact)], LAYER)
    with torch.no_grad():
        publish(workspace, index, lambda folder: build_index(autoencoder, rows, samples, CONFIG, folder))
    refs = [unit.artifact.ref for unit in (prepare, shard, table, sae, index)]
    config = study.model_dump(mode="json")
    workspace.remember("noise-1", {"study": config, "artifacts": refs, "report": "report/0"})
    return workspace
