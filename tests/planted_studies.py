"""A workspace with two variants of a study and one of its layers, made of records and small artefacts: no model ran."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from core.stats.estimate import Control, Estimate, Source
from core.store.artifacts import Artifact
from core.store.units import Unit
from core.store.workspace import Workspace

LAYERS = (3, 7)
STUDY = {
    "name": "cats",
    "description": "Where do cats live?",
    "variant": "",
    "data": {"source": "table", "path": "/data/cats.csv"},
    "model": {"path": "/models/gemma"},
    "sae": {"k": 8, "expansion": 2},
    "tracking": {"experiment": "cats"},
}


def estimate(name: str, value: float, **more: Any) -> Estimate:
    """An effect that its interval, control and p agree on, in nats; 0.1 to each side."""
    control = Control("random feature sets", 0.0, -0.05, 0.05, 99)
    fields = {"interval": (value - 0.1, value + 0.1), "control": control, "p": 0.01, "draws": 99, "answers": True}
    source = Source("effects", {"name": name}, "shift")
    return Estimate(name, f"shift of {name}", value, "nats", 12, "test images", source, **{**fields, **more})


def plant(root: Path) -> Workspace:
    """`cats`, `cats · sae.k=32` and the report of layer 7 of `cats`."""
    workspace = Workspace(root)
    own = [estimate("shift.en", 0.5, language="en"), estimate("onset.3.en", 0.2, layer=3, answers=False)]
    _study(workspace, STUDY, {"ablation": own, "overview": [estimate("onset.7.en", 0.4, layer=7)]}, fvu=0.3)
    dense = {**STUDY, "variant": "sae.k=32", "sae": {"k": 32, "expansion": 2}}
    _study(workspace, dense, {"ablation": [estimate("shift.en", 0.9, language="en")]}, fvu=0.1)
    _study(workspace, STUDY, {"ablation": [estimate("shift.en", 0.7, layer=7)]}, fvu=0.3, layer=7)
    return workspace


def plant_concepts(root: Path) -> Workspace:
    """`cats`, about the concept that is built in; `homes`, about place and colour; `paints`, about colour alone."""
    workspace = Workspace(root)
    place, colour = {"name": "place", "column": "place"}, {"name": "colour", "column": "colour"}
    homes = {**STUDY, "name": "homes", "concepts": [place, colour]}
    paints = {**STUDY, "name": "paints", "concepts": [colour]}
    _study(workspace, STUDY, {"ablation": [estimate("shift.en", 0.3, language="en")]}, fvu=0.3)
    of_place, of_colour = (estimate("shift.en", value, language="en") for value in (0.5, 0.9))
    _study(workspace, homes, {"ablation-place": [of_place], "ablation-colour": [of_colour]}, fvu=0.3)
    _study(workspace, paints, {"ablation-colour": [estimate("shift.en", 0.8, language="en")]}, fvu=0.3)
    return workspace


def _study(
    workspace: Workspace,
    study: Mapping[str, Any],
    analyses: Mapping[str, Sequence[Estimate]],
    fvu: float,
    layer: int | None = None,
) -> None:
    what = {"study": dict(study), "of": layer}
    made = [_analysis(workspace, name, found, what) for name, found in analyses.items()]
    made += [unit for number in LAYERS for unit in _layer(workspace, number, fvu, what)]
    report = publish(workspace, Unit("report", 1, "", what), {"report.html": "<!doctype html>"})
    refs = [artifact.ref for artifact in (*made, report)]
    key = f"{study['name']}-{f'layer{layer}-' if layer else ''}{report.fingerprint[:8]}"
    run = report.fingerprint[:6]
    pages = f"http://127.0.0.1:5000/#/experiments/1/runs/{run}"
    record = {"study": dict(study), "artifacts": refs, "report": report.ref, "mlflow": pages, "mlflow_run": run}
    workspace.remember(key, {**record, **({"layer": layer} if layer else {})})


def _layer(workspace: Workspace, layer: int, fvu: float, what: Mapping[str, Any]) -> tuple[Artifact, Artifact]:
    recipe = {**what, "layer": layer}
    metrics = {"held_out_fvu": fvu + layer / 100, "held_out_l0": 8.0, "dead_fraction": 0.0}
    sae = publish(workspace, Unit("train_sae", 1, str(layer), recipe), {"metrics.json": json.dumps(metrics)})
    inputs = {"shards": (), "layer": (sae,), "sae": (sae,)}
    return sae, publish(workspace, Unit("index_features", 1, str(layer), recipe, inputs), {"index": ""})


def _analysis(workspace: Workspace, name: str, found: Sequence[Estimate], what: Mapping[str, Any]) -> Artifact:
    """Of the built-in concept, or of the one whose name follows the analysis's: `ablation-place`."""
    step, _, concept = name.partition("-")
    recipe = {**what, **({"concept": {"name": concept}} if concept else {})}
    question = f"What does {step} find of {concept}?" if concept else f"What happens in {step}?"
    summary = {
        "question": question,
        "metrics": {},
        "shown": {},
        "notes": [],
        "estimates": [one.as_json() for one in found],
    }
    return publish(workspace, Unit(step, 1, "", recipe), {"summary.json": json.dumps(summary)})


def publish(workspace: Workspace, unit: Unit, files: Mapping[str, str]) -> Artifact:
    """The artefact of a unit, with these files of text."""
    staged = workspace.store.staging(unit.artifact)
    for name, text in files.items():
        (staged / name).write_text(text, encoding="utf-8")
    workspace.store.publish(staged, unit.artifact, {"unit": unit.to_json(), "label": unit.label, "study": "cats"})
    return unit.artifact
