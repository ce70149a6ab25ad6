"""Every step's task, by the step's name."""

from typing import Any

from prefect import Task

from tasks.analyse import ANALYSIS_STEPS
from tasks.capture import capture, extract_layer
from tasks.choose import choose_sae
from tasks.import_activations import import_activations
from tasks.import_sae import import_sae
from tasks.index import index_features
from tasks.prepare import convert_model, prepare_samples
from tasks.rank import rank_features
from tasks.report import write_report
from tasks.train import train_sae

STEPS: dict[str, Task[..., dict[str, Any]]] = {
    "prepare": prepare_samples,
    "convert_model": convert_model,
    "capture": capture,
    "import_activations": import_activations,
    "extract_layer": extract_layer,
    "train_sae": train_sae,
    "import_sae": import_sae,
    "choose_sae": choose_sae,
    "index_features": index_features,
    "rank_features": rank_features,
    **ANALYSIS_STEPS,
    "report": write_report,
}
