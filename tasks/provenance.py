"""Where and how an artefact was made: the part of its manifest that may differ between two equal runs."""

import platform
import resource
import socket
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "transformers", "numpy", "polars", "pyarrow", "scikit-learn", "altair", "prefect", "mlflow")


@lru_cache(maxsize=1)
def git_revision() -> dict[str, Any]:
    """The code's revision and whether it was changed since; both null outside a git checkout."""
    folder = Path(__file__).parent.parent

    def git(*words: str) -> str:
        return subprocess.run(["git", *words], cwd=folder, capture_output=True, text=True, check=True).stdout.strip()

    try:
        return {"revision": git("rev-parse", "HEAD"), "dirty": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.CalledProcessError):
        return {"revision": None, "dirty": None}


@lru_cache(maxsize=1)
def package_versions() -> dict[str, str]:
    """Versions of the packages that decide results."""
    found = {"python": platform.python_version()}
    for name in _PACKAGES:
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return found


@dataclass
class Stopwatch:
    """Wall, CPU and GPU seconds since it was made; CPU seconds are the thread's own."""

    gpus: int = 0
    started: float = field(default_factory=time.time)
    _wall: float = field(default_factory=time.monotonic)
    _cpu: float = field(default_factory=lambda: _thread_cpu())

    def read(self) -> dict[str, float]:
        """Seconds spent, and the process's peak memory in MiB."""
        wall = time.monotonic() - self._wall
        return {
            "wall_seconds": wall,
            "cpu_seconds": _thread_cpu() - self._cpu,
            "gpu_seconds": wall * self.gpus,
            "peak_rss_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        }


def _thread_cpu() -> float:
    usage = resource.getrusage(resource.RUSAGE_THREAD)
    return usage.ru_utime + usage.ru_stime


def provenance(watch: Stopwatch, device: str, gpu: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Everything about the making that is no part of the recipe; `gpu` is what was used of one, null without."""
    return {
        **watch.read(),
        "started": watch.started,
        "finished": time.time(),
        "host": socket.gethostname(),
        "device": device,
        "gpu": dict(gpu) if gpu is not None else None,
        "git": git_revision(),
        "packages": package_versions(),
    }
