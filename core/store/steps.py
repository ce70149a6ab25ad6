"""The steps whose code is saeflow's own but for the analyses': name, version, kind of worker, code that decides.

This module imports nothing heavy: whether a study is done is read from fingerprints and manifests before torch,
Prefect or anything else is loaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from core.store.artifacts import Artifact
from core.store.units import Unit


@dataclass(frozen=True)
class StepSpec:
    """One kind of unit of work.

    `version` is bumped by hand when the step's result changes; `roots` are the modules whose import closure decides
    that result, and a test compares its digest with the one recorded for this version. `stage` is the part of a run
    in which its units are made, null where the stage has the step's own name.
    """

    name: str
    version: int
    needs: Literal["cpu", "gpu"]
    roots: tuple[str, ...]
    retries: int = 2
    stage: str = ""

    def unit(
        self,
        name: str,
        recipe: Mapping[str, Any],
        inputs: Mapping[str, tuple[Artifact, ...]] | None = None,
        knobs: Mapping[str, Any] | None = None,
    ) -> Unit:
        """A unit of this step."""
        return Unit(self.name, self.version, name, recipe, inputs or {}, knobs or {})


PREPARE = StepSpec("prepare", 2, "cpu", ("core.data.samples",))
CONVERT_MODEL = StepSpec("convert_model", 1, "cpu", ("core.lm.gguf",), stage="prepare")
CAPTURE = StepSpec("capture", 3, "gpu", ("core.activations.capture",))
IMPORT_ACTIVATIONS = StepSpec("import_activations", 1, "cpu", ("core.activations.precomputed",), stage="capture")
EXTRACT_LAYER = StepSpec("extract_layer", 2, "cpu", ("core.activations.health", "core.activations.table"))
TRAIN_SAE = StepSpec("train_sae", 8, "gpu", ("core.sae.training", "core.sae.rows", "core.sae.formats"))
IMPORT_SAE = StepSpec("import_sae", 4, "gpu", ("core.sae.pretrained", "core.sae.metrics", "core.sae.rows"))
CHOOSE_SAE = StepSpec("choose_sae", 3, "cpu", ("core.sae.choice",))
INDEX_FEATURES = StepSpec("index_features", 2, "cpu", ("core.features.build", "core.features.neighbours"))
RANK_FEATURES = StepSpec("rank_features", 2, "cpu", ("core.features.layer_view",))
DESCRIBE_FEATURES = StepSpec("describe_features", 2, "gpu", ("core.features.describe",))
REPORT = StepSpec("report", 15, "cpu", ("core.report", "core.report.study_figures"))

READ_SENTENCES = StepSpec("read_sentences", 2, "cpu", ("core.concepts.sentences",), stage="sentences")
SPLIT_SENTENCES = StepSpec("split_sentences", 1, "cpu", ("core.concepts.sentences",), stage="sentences")
CAPTURE_FRAGMENTS = StepSpec(
    "capture_fragments", 1, "gpu", ("core.activations.capture", "core.concepts.capturing"), stage="fragments"
)
ENCODE_SAE = StepSpec(
    "encode_sae",
    1,
    "gpu",
    ("core.concepts.assembled", "core.concepts.encoding", "core.concepts.taken_over", "core.sae.pretrained"),
    stage="encode",
)
RANK_CONCEPT = StepSpec(
    "rank_concept",
    4,
    "cpu",
    ("core.concepts.ranking", "core.concepts.assembled", "core.concepts.matched_maxima"),
    stage="rank",
)
EXAMINE_FEATURES = StepSpec(
    "examine_features",
    2,
    "gpu",
    ("core.concepts.output_score", "core.concepts.promoted", "core.concepts.matched"),
    stage="examine",
)
REPORT_CONCEPT = StepSpec("report_concept", 10, "cpu", ("core.report.concept",), stage="report")

COLLECT_EXAMPLES = StepSpec("collect_examples", 1, "cpu", ("core.explain.collected",), stage="examples")
EXPLAIN_FEATURES = StepSpec(
    "explain_features", 1, "cpu", ("core.explain.explainers", "core.explain.collected"), stage="explain"
)
EXPLAIN_LOCALLY = StepSpec(
    "explain_locally",
    1,
    "gpu",
    ("core.explain.explainers", "core.explain.collected", "core.chat.local"),
    stage="explain",
)
EMBED_EXAMPLES = StepSpec("embed_examples", 1, "gpu", ("core.explain.vectors",), stage="embed")
EMBED_EXPLANATIONS = StepSpec("embed_explanations", 1, "gpu", ("core.explain.vectors",), stage="embed")
EMBED_SCORED = StepSpec(
    "embed_scored", 1, "gpu", ("core.explain.known_vectors", "core.explain.collected"), stage="embed"
)
SCORE_EXPLANATIONS = StepSpec(
    "score_explanations", 1, "cpu", ("core.explain.scorers", "core.explain.collected"), stage="score"
)
SCORE_LOCALLY = StepSpec(
    "score_locally", 1, "gpu", ("core.explain.scorers", "core.explain.collected", "core.chat.local"), stage="score"
)
PUBLISH_CATALOGUE = StepSpec(
    "publish_catalogue",
    1,
    "cpu",
    ("core.explain.publishing",),
    stage="publish",
)
REPORT_CATALOGUE = StepSpec("report_catalogue", 5, "cpu", ("core.report.catalogue",), stage="report")

SCAN_STEPS = (
    READ_SENTENCES,
    SPLIT_SENTENCES,
    CAPTURE_FRAGMENTS,
    ENCODE_SAE,
    RANK_CONCEPT,
    EXAMINE_FEATURES,
    REPORT_CONCEPT,
)
"""The steps of a concept scan, which converts a package's model as a study does."""
CATALOGUE_STEPS = (
    COLLECT_EXAMPLES,
    EXPLAIN_FEATURES,
    EXPLAIN_LOCALLY,
    EMBED_EXAMPLES,
    EMBED_SCORED,
    EMBED_EXPLANATIONS,
    SCORE_EXPLANATIONS,
    SCORE_LOCALLY,
    PUBLISH_CATALOGUE,
    REPORT_CATALOGUE,
)
"""The steps of a feature catalogue. What a model on this machine answers, and what is embedded, takes a GPU."""
FIXED_STEPS = (
    PREPARE,
    CONVERT_MODEL,
    CAPTURE,
    IMPORT_ACTIVATIONS,
    EXTRACT_LAYER,
    TRAIN_SAE,
    IMPORT_SAE,
    CHOOSE_SAE,
    INDEX_FEATURES,
    RANK_FEATURES,
    DESCRIBE_FEATURES,
    REPORT,
)
"""Every step but the analyses'."""
ANALYSE = "analyse"
"""The stage of every analysis."""
_STAGES = {spec.name: spec.stage or spec.name for spec in (*FIXED_STEPS, *SCAN_STEPS, *CATALOGUE_STEPS)}


def stage_of(step: str) -> str:
    """The part of a run in which the step's units are made."""
    return _STAGES.get(step, ANALYSE)
