"""Run on a worker by `saeflow cluster check`: `python -m tasks.worker_check WORKSPACE TRACKING_URI HOST:PORT PORTS`
prints JSON.

What a study would find missing an hour into its queue: modules, packages' analyses, the workspace, Prefect's and
MLflow's servers, the GPU, and connections with the flow's machine, which calls back as Dask's scheduler does.
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


def check(workspace: Path, tracking_uri: str, scheduler: str, ports: str) -> dict[str, object]:
    """What works here and what does not: a word or `true` by subject, an error's words under `<subject>_error`."""
    found: dict[str, object] = {"host": socket.gethostname(), "python": sys.version.split()[0]}
    tests: dict[str, Callable[[], object]] = {
        "modules": _modules,
        "analyses": _analyses,
        "workspace": lambda: _workspace(workspace),
        "prefect": lambda: _answers(f"{os.environ.get('PREFECT_API_URL', '')}/health"),
        "mlflow": lambda: _answers(f"{tracking_uri}/health") if tracking_uri.startswith("http") else "a file",
        "gpu": _gpu,
        "connection": lambda: _meet(scheduler, ports),
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


def _analyses() -> list[list[str]]:
    """Name, package and version of every analysis that a package registers here; each can be imported."""
    from core.analysis.packages import registered
    from core.analysis.registry import declared

    declared()
    return [list(one) for one in registered()]


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


def _meet(scheduler: str, ports: str) -> str:
    """Call the flow's machine, and be called back on a port that a worker would listen on."""
    host, _, port = scheduler.rpartition(":")
    first, _, last = (ports or "0").partition(":")
    with _listen(range(int(first), int(last or first) + 1)) as listener:
        listener.settimeout(_ANSWER_WITHIN_S)
        with socket.create_connection((host, int(port)), _ANSWER_WITHIN_S) as caller:
            caller.sendall(f"{listener.getsockname()[1]}\n".encode())
            try:
                listener.accept()[0].close()
            except TimeoutError as error:
                raise TimeoutError(f"{host} could not call back on port {listener.getsockname()[1]}") from error
    return "both ways"


def _listen(ports: range) -> socket.socket:
    for port in ports:
        try:
            return socket.create_server(("", port))
        except OSError:
            continue
    raise OSError(f"no free port among {ports.start}:{ports.stop - 1}")


def _gpu() -> str:
    import torch

    return torch.cuda.get_device_name(0) if torch.cuda.is_available() else "none"


if __name__ == "__main__":
    sys.stdout.write(json.dumps(check(Path(sys.argv[1]), *sys.argv[2:])) + "\n")
