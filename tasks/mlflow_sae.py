"""An SAE as an MLflow model: code and safetensors, no pickle."""

import logging
import threading
import warnings
from pathlib import Path

import numpy as np

from tasks.context import Work

_CODE = Path(__file__).with_name("mlflow_sae_code.py")
_REQUIREMENTS = ["torch", "safetensors", "numpy", "saeflow"]
# `log_model` takes no run id: it works on the thread's active run and on a process-wide tracking URI.
_one_at_a_time = threading.Lock()


def log_sae(work: Work, d_model: int) -> None:
    """Log the SAE below `work.out` with the unit's run; it loads back through `mlflow.pyfunc.load_model`."""
    if work.run_id is None or work.context.tracking_uri is None:
        return
    import mlflow  # seconds, which other steps' workers need not pay
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    rows = TensorSpec(np.dtype(np.float32), (-1, d_model))
    logging.getLogger("mlflow").setLevel(logging.ERROR)
    with _one_at_a_time, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it asks for an example input beside the signature it is given
        mlflow.set_tracking_uri(work.context.tracking_uri)
        with mlflow.start_run(run_id=work.run_id, log_system_metrics=False):
            mlflow.pyfunc.log_model(
                name="sae",
                python_model=str(_CODE),
                artifacts={"sae": work.out.as_uri()},  # MLflow reads a path as a URI, up to its `?` or `#`
                signature=ModelSignature(Schema([rows]), Schema([rows])),
                pip_requirements=_REQUIREMENTS,
            )
