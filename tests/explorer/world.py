"""A workspace with one study of one layer, made of real files: nothing ran but an autoencoder of random weights."""

import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from PIL import Image

from core.data.sample_frame import SCHEMA
from core.features.build import build_index
from core.sae.formats import Origin, save_sae
from core.store.artifacts import Artifact
from core.store.steps import CAPTURE, EXTRACT_LAYER, INDEX_FEATURES, PREPARE, RANK_FEATURES, TRAIN_SAE
from core.store.units import Unit
from core.store.workspace import Workspace
from core.study.model import IndexConfig
from tests.core.features.planted_layer import Layer, make_layer

CONFIG = IndexConfig(top_rows=6, neighbours=4)
STUDY = {
    "name": "cats",
    "description": "Where do cats live?",
    "variant": "",
    "data": {"source": "table"},
    "model": {"path": "/models/gemma", "factory": None},
    "capture": {"site": "resid_post"},
    "sae": {"k": 5},
}


@dataclass(frozen=True)
class World:
    """The workspace, the layer's truth, and the artefacts by step."""

    workspace: Workspace
    layer: Layer
    units: Mapping[str, Unit]

    def artifact(self, step: str) -> Artifact:
        return self.units[step].artifact

    def folder(self, step: str) -> Path:
        return self.workspace.store.path(self.artifact(step))

    def copied(self, root: Path) -> "World":
        """The same at another place, to be changed."""
        shutil.copytree(self.workspace.root, root)
        return replace(self, workspace=Workspace(root))

    def rebuilt(self, bias: float) -> None:
        """Make the index again in its place, out of an SAE whose biases are others."""
        before = self.layer.sae.b_enc.clone()
        self.layer.sae.b_enc += bias
        try:
            artifact = self.artifact("index_features")
            self.workspace.store.set_aside(artifact)
            publish(self.workspace, self.units["index_features"], _index_of(self.layer))
        finally:
            self.layer.sae.b_enc.copy_(before)


def make_world(root: Path, scratch: Path) -> World:
    layer = make_layer(scratch)
    workspace = Workspace(root)
    prepare = PREPARE.unit("", {})
    shards = [CAPTURE.unit(f"{n:03d}", {"shard": n}, {"samples": (prepare.artifact,)}) for n in range(2)]
    captured = tuple(shard.artifact for shard in shards)
    table = EXTRACT_LAYER.unit("0", {"layer": 0}, {"shards": captured})
    sae = TRAIN_SAE.unit("0", {"layer": 0}, {"layer": (table.artifact,)})
    inputs = {"shards": captured, "layer": (table.artifact,), "sae": (sae.artifact,)}
    index = INDEX_FEATURES.unit("0", {"layer": 0}, inputs)
    ranked = RANK_FEATURES.unit("0", {"layer": 0}, {**inputs, "index": (index.artifact,)})
    publish(workspace, prepare, lambda folder: _samples(layer, folder))
    for number, shard in enumerate(shards):
        publish(workspace, shard, lambda folder, n=number: _copied(scratch / f"shard{n}", folder))
    publish(workspace, table, lambda folder: None)
    publish(workspace, sae, lambda folder: _autoencoder(layer, folder))
    publish(workspace, index, _index_of(layer))
    publish(workspace, ranked, _associations)
    units = {unit.step: unit for unit in (prepare, *shards, table, sae, index, ranked)}
    refs = [unit.artifact.ref for unit in (prepare, *shards, table, sae, index, ranked)]
    workspace.remember("cats-00000001", {"study": STUDY, "artifacts": refs, "report": "report/0"})
    return World(workspace, layer, units)


def publish(workspace: Workspace, unit: Unit, write: Callable[[Path], Any]) -> None:
    staged = workspace.store.staging(unit.artifact)
    write(staged)
    workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": "cats"})


def _autoencoder(layer: Layer, folder: Path) -> None:
    save_sae(layer.sae, folder, Origin("tiny", 0))
    write_json(folder / "metrics.json", {"held_out_fvu": 0.3})


def _copied(source: Path, folder: Path) -> None:
    shutil.copytree(source, folder, dirs_exist_ok=True)


def write_json(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content), encoding="utf-8")


def _samples(layer: Layer, folder: Path) -> None:
    activity = ["sings" if number % 2 else "cooks" for number in range(layer.samples.height)]
    known = layer.samples.with_columns(
        image="images/" + pl.col("image_id") + ".png", activity=pl.Series(activity), sure=pl.lit(float("nan"))
    )
    missing = [pl.lit(None, kind).alias(name) for name, kind in SCHEMA.items() if name not in known.columns]
    known.with_columns(missing).write_parquet(folder / "samples.parquet")
    (folder / "images").mkdir()
    for number, image in enumerate(known["image"]):
        Image.new("RGB", (8, 8), (number * 20, 0, 0)).save(folder / image)
    write_json(folder / "summary.json", {"languages": ["en", "ar"]})


def _index_of(layer: Layer) -> Callable[[Path], object]:
    return lambda folder: build_index(layer.sae, layer.table, layer.samples, CONFIG, folder)


def _associations(folder: Path) -> None:
    rows = [
        {"language": language, "position_set": place, "feature": feature, "auroc": auroc, "p": 0.01, "q": 0.02}
        for language, place, feature, auroc in [
            ("en", "image", 7, 0.9),
            ("ar", "image", 7, 0.6),
            ("en", "image", 2, 0.2),
        ]
    ]
    table = pl.DataFrame(rows).cast({"feature": pl.UInt32, "auroc": pl.Float32})
    table.write_parquet(folder / "associations.parquet")


def planted(layer: Layer, feature: int) -> dict[int, float]:
    """Where the feature is active by the dense computation, and how strongly."""
    return {int(row): float(layer.dense[row, feature]) for row in np.flatnonzero(layer.dense[:, feature])}
