"""Every step's task, by the step's name."""

import sys
from collections.abc import Iterable, Mapping
from typing import Any

from prefect import Task

from core.planning.steps import ANALYSES
from core.planning.steps import STEPS as SPECS
from tasks.code import load_code
from tasks.context import Work
from tasks.step import step

CODE: dict[str, str] = {
    "prepare": "tasks.prepare:prepare_samples",
    "convert_model": "tasks.convert:convert_model",
    "capture": "tasks.capture:capture",
    "import_activations": "tasks.import_activations:import_activations",
    "extract_layer": "tasks.capture:extract_layer",
    "train_sae": "tasks.train:train_sae",
    "import_sae": "tasks.import_sae:import_sae",
    "choose_sae": "tasks.choose:choose_sae",
    "index_features": "tasks.index:index_features",
    "rank_features": "tasks.rank:rank_features",
    "describe_features": "tasks.describe:describe_features",
    **dict.fromkeys(ANALYSES, "tasks.analyse:analyse"),
    "report": "tasks.report:write_report",
    "read_sentences": "tasks.concepts:read_sentences",
    "split_sentences": "tasks.concepts:split_sentences",
    "capture_fragments": "tasks.concepts:capture_fragments",
    "encode_sae": "tasks.concepts:encode_sae",
    "rank_concept": "tasks.concepts:rank_concept",
    "examine_features": "tasks.concepts:examine_features",
    "report_concept": "tasks.concepts:report_concept",
    "collect_examples": "tasks.catalogue:collect_examples",
    "explain_features": "tasks.catalogue:explain_features",
    "explain_locally": "tasks.catalogue:explain_features",
    "embed_examples": "tasks.catalogue:embed_examples",
    "embed_explanations": "tasks.catalogue:embed_explanations",
    "embed_scored": "tasks.catalogue:embed_scored",
    "score_explanations": "tasks.catalogue:score_explanations",
    "score_locally": "tasks.catalogue:score_explanations",
    "publish_catalogue": "tasks.catalogue:publish_catalogue",
    "report_catalogue": "tasks.catalogue:report_catalogue",
}
"""Where each step's body is: a function of its `Work`."""


def load_steps(names: Iterable[str]) -> None:
    """Import the code of these steps."""
    for place in {CODE[name] for name in names}:
        load_code(place)


def _task(name: str) -> Task[..., dict[str, Any]]:
    """The Prefect task of a step.

    A task crosses to Dask's workers by value. It holds nothing of an analysis's package: a worker that lacks it could
    not even read the task, and would be lost with it.
    """
    place = CODE[name]

    def body(work: Work) -> Mapping[str, float]:
        code = load_code(place)
        _use_threads(work.context.threads)
        metrics: Mapping[str, float] = code(work)
        return metrics

    return step(SPECS[name])(body)


def _use_threads(threads: int) -> None:
    """Set PyTorch's threads: their number decides the order of sums, and so the last bits. What has not loaded it by
    now computes nothing with it."""
    if "torch" in sys.modules:
        import torch

        torch.set_num_threads(threads)


STEPS: dict[str, Task[..., dict[str, Any]]] = {name: _task(name) for name in CODE}
