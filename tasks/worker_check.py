"""Run on a worker by `saeflow cluster check`: `python -m tasks.worker_check WORKSPACE TRACKING_URI` prints JSON.

What a study would find missing an hour into its queue: modules, the workspace, Prefect's and MLflow's servers, the GPU.
"""

import json
import os
import socket
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

_MODULES = ("torch", "transformers", "prefect", "prefect_dask", "distributed", "mlflow", "polars", "core", "tasks")
_ANSWER_WITHIN_S = 20.0


def check(workspace: Path, tracking_uri: str) -> dict[str, object]:
    """What works here and what does not: a word or `true` by subject, an error's words under `<subject>_error`."""
    found: dict[str, object] = {"host": socket.gethostname(), "python": sys.version.split()[0]}
    tests: dict[str, Callable[[], object]] = {
        "modules": _modules,
        "workspace": lambda: _workspace(workspace),
        "prefect": lambda: _answers(f"{os.environ.get('PREFECT_API_URL', '')}/health"),
        "mlflow": lambda: _answers(f"{tracking_uri}/health") if tracking_uri.startswith("http") else "a file",
        "gpu": _gpu,
    }
    for subject, test in tests.items():
        try:
            found[subject] = test()
        except Exception as error:  # whatever it is, the user is to read it
            found[f"{subject}_error"] = f"{type(error).__name__}: {error}"
    return found


def _modules() -> str:
    for name in _MODULES:
        import_module(name)
    return str(Path(str(import_module("core").__file__)).parent)


def _workspace(workspace: Path) -> bool:
    mark = workspace / f".check-{socket.gethostname()}-{os.getpid()}"
    mark.write_text("seen", encoding="utf-8")
    mark.unlink()
    return True


def _answers(url: str) -> int:
    if not url.startswith("http"):
        raise ValueError("PREFECT_API_URL is not set in the job")
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_WITHIN_S) as answer:  # http(s) only, see above
            return int(answer.status)
    except urllib.error.HTTPError as error:
        if error.code in (401, 403):
            return error.code  # it is there, and asks who we are
        raise


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(check(Path(sys.argv[1]), sys.argv[2])) + "\n")
