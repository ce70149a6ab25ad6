"""The code of a logged SAE (MLflow's models-from-code): rows in, reconstructions out."""

from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import torch
from mlflow.pyfunc import PythonModel

from core.sae.formats import load_sae


class LoggedSAE(PythonModel):  # type: ignore[misc]  # mlflow ships no types
    """Reconstructs rows of the residual stream, [T, D] float32."""

    def load_context(self, context: Any) -> None:
        """Read the SAE's folder among the model's artifacts."""
        self.sae = load_sae(Path(context.artifacts["sae"]))

    # MLflow reads type hints as a schema of its own; the signature says more, so there are none.
    def predict(self, context, model_input, params=None):  # type: ignore[no-untyped-def]
        """Encode and decode the rows."""
        with torch.no_grad():
            return self.sae(torch.from_numpy(np.asarray(model_input, dtype=np.float32))).numpy()


mlflow.models.set_model(LoggedSAE())
