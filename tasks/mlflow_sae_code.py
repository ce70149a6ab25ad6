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

    # MLflow reads this hint: a bare array means that the signature decides.
    def predict(self, context: Any, model_input: np.ndarray, params: Any = None) -> Any:
        """Encode and decode the rows."""
        with torch.no_grad():
            return self.sae(torch.from_numpy(np.asarray(model_input, dtype=np.float32))).numpy()


mlflow.models.set_model(LoggedSAE())
