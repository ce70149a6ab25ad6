"""The steps there are: name, version, the kind of worker they need, and the code that decides their result.

This module imports nothing heavy: whether a study is done is read from fingerprints and manifests before torch,
Prefect or anything else is loaded.
"""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class StepSpec:
    """One kind of unit of work.

    `version` is bumped by hand when the step's result changes; `roots` are the modules whose import closure decides
    that result, and a test compares its digest with the one recorded for this version.
    """

    name: str
    version: int
    needs: Literal["cpu", "gpu"]
    roots: tuple[str, ...]
    retries: int = 2


PREPARE = StepSpec("prepare", 2, "cpu", ("core.data.samples",))
CONVERT_MODEL = StepSpec("convert_model", 1, "cpu", ("core.lm.gguf",))
CAPTURE = StepSpec("capture", 3, "gpu", ("core.activations.capture",))
IMPORT_ACTIVATIONS = StepSpec("import_activations", 1, "cpu", ("core.activations.precomputed",))
EXTRACT_LAYER = StepSpec("extract_layer", 2, "cpu", ("core.activations.health", "core.activations.table"))
TRAIN_SAE = StepSpec("train_sae", 8, "gpu", ("core.sae.training", "core.sae.rows", "core.sae.formats"))
IMPORT_SAE = StepSpec("import_sae", 4, "gpu", ("core.sae.pretrained", "core.sae.metrics", "core.sae.rows"))
CHOOSE_SAE = StepSpec("choose_sae", 3, "cpu", ("core.sae.choice",))
INDEX_FEATURES = StepSpec("index_features", 2, "cpu", ("core.features.index", "core.features.neighbours"))
OVERVIEW = StepSpec("overview", 3, "gpu", ("core.analysis.overview", "core.figures.overview"))
INTERPRETATION = StepSpec("interpretation", 2, "cpu", ("core.analysis.interpretation", "core.figures.interpretation"))
ABLATION = StepSpec("ablation", 6, "gpu", ("core.analysis.ablation", "core.figures.ablation"))
VISUAL_PATTERNS = StepSpec(
    "visual_patterns", 3, "gpu", ("core.analysis.visual_patterns", "core.figures.visual_patterns")
)
AMPLIFICATION = StepSpec("amplification", 6, "gpu", ("core.analysis.amplification", "core.figures.amplification"))
EVOLUTION = StepSpec("evolution", 3, "cpu", ("core.analysis.evolution", "core.figures.evolution"))
QUALITATIVE = StepSpec("qualitative", 4, "gpu", ("core.analysis.qualitative", "core.figures.qualitative"))
REPORT = StepSpec("report", 7, "cpu", ("core.report", "core.figures.study"))

ANALYSES = (OVERVIEW, INTERPRETATION, ABLATION, VISUAL_PATTERNS, AMPLIFICATION, EVOLUTION, QUALITATIVE)
LAYER_STEPS = (EXTRACT_LAYER, TRAIN_SAE, IMPORT_SAE, CHOOSE_SAE, INDEX_FEATURES)
FIRST_STEPS = (PREPARE, CONVERT_MODEL, CAPTURE, IMPORT_ACTIVATIONS)
STEPS = {spec.name: spec for spec in (*FIRST_STEPS, *LAYER_STEPS, *ANALYSES, REPORT)}
