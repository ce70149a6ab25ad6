"""What a unit uses of its GPU: memory by PyTorch and NVML, utilisation and energy by NVML, sampled while it runs.

Without a GPU nothing is measured; without NVML (no driver library, or another maker's GPU) its figures are null.
"""

import os
import threading
from collections import Counter
from contextlib import AbstractContextManager, nullcontext, suppress
from statistics import fmean
from typing import Any

from core.store.steps import INDEX_FEATURES, StepSpec

EVERY_S = 0.5
_MIB = 2**20
_watching = threading.Lock()
_watched: Counter[int] = Counter()


def _real_device(device: str) -> str:
    """What `auto` means on this machine; any other device is itself."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


def device_of_step(step: StepSpec, device: str) -> str:
    """The device that a step's units compute on; the index takes a GPU where its CPU worker happens to have one."""
    return _real_device(device) if step.needs == "gpu" or step == INDEX_FEATURES else "cpu"


def watch_gpu(device: str) -> "AbstractContextManager[GpuUsage | None]":
    """Watch the CUDA device that a unit computes on while the block runs; null where it computes on no such device."""
    if not device.startswith("cuda"):
        return nullcontext()
    import torch

    if not torch.cuda.is_available():
        return nullcontext()
    place = torch.device(device)
    number = torch.cuda.current_device() if place.index is None else place.index
    return GpuUsage(number, torch.cuda, _open_nvml())


def _open_nvml() -> Any:
    """NVML's functions, null where there is no such library."""
    try:
        import pynvml

        pynvml.nvmlInit()  # counts its calls; the process keeps it open
    except Exception:  # not installed, no driver, or one that does not answer: the work goes on without figures
        return None
    return pynvml


class GpuUsage(AbstractContextManager["GpuUsage"]):
    """A GPU under watch: `number` is PyTorch's, which counts only what CUDA_VISIBLE_DEVICES shows.

    PyTorch's peaks are the process's: of units that share it, each shows what they held together.
    """

    def __init__(self, number: int, cuda: Any, nvml: Any) -> None:
        self._number, self._cuda, self._nvml = number, cuda, nvml
        self._about = cuda.get_device_properties(number)
        self._handle = self._find()
        self._samples: list[dict[str, float | None]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gpu-usage", daemon=True)
        self._energy: float | None = None

    def __enter__(self) -> "GpuUsage":
        with _watching:
            if not _watched[self._number]:  # a reset would take another unit's peak away
                with suppress(RuntimeError):
                    self._cuda.reset_peak_memory_stats(self._number)
            _watched[self._number] += 1
        self._energy = self._ask("nvmlDeviceGetTotalEnergyConsumption")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()
        with _watching:
            _watched[self._number] -= 1

    def read(self) -> dict[str, Any]:
        """Peaks in MiB, utilisation in percent, power in watts and energy in joules since the block began; power,
        energy and `device_memory_peak_mib` are the whole GPU's, whoever uses it."""
        self._samples.append(self._sample())
        before, now = self._energy, self._ask("nvmlDeviceGetTotalEnergyConsumption")
        return {
            "name": str(self._about.name),
            "uuid": self._uuid(),
            "memory_total_mib": self._about.total_memory / _MIB,
            "memory_peak_mib": self._peak("max_memory_allocated"),
            "memory_reserved_peak_mib": self._peak("max_memory_reserved"),
            "process_memory_peak_mib": max(self._seen("process_memory"), default=None),
            "device_memory_peak_mib": max(self._seen("device_memory"), default=None),
            "utilisation_mean": fmean(found) if (found := self._seen("utilisation")) else None,
            "utilisation_max": max(self._seen("utilisation"), default=None),
            "power_mean_watts": fmean(found) if (found := self._seen("power")) else None,
            "energy_joules": (now - before) / 1000 if before is not None and now is not None else None,
            "samples": len(self._samples),
        }

    def _watch(self) -> None:
        while not self._ended.wait(EVERY_S):
            self._samples.append(self._sample())

    def _sample(self) -> dict[str, float | None]:
        rates = self._ask("nvmlDeviceGetUtilizationRates")
        memory = self._ask("nvmlDeviceGetMemoryInfo")
        power = self._ask("nvmlDeviceGetPowerUsage")
        return {
            "utilisation": float(rates.gpu) if rates is not None else None,
            "device_memory": memory.used / _MIB if memory is not None else None,
            "process_memory": self._own_memory(),
            "power": power / 1000 if power is not None else None,
        }

    def _own_memory(self) -> float | None:
        """What the driver gives this process; null in a container, where it knows the process by another number."""
        processes = self._ask("nvmlDeviceGetComputeRunningProcesses") or []
        mine = [process.usedGpuMemory for process in processes if process.pid == os.getpid()]
        return mine[0] / _MIB if mine and mine[0] is not None else None

    def _seen(self, what: str) -> list[float]:
        return [value for sample in list(self._samples) if (value := sample[what]) is not None]

    def _peak(self, name: str) -> float | None:
        try:
            return float(getattr(self._cuda, name)(self._number)) / _MIB
        except RuntimeError:
            return None

    def _ask(self, name: str) -> Any:
        """What NVML answers, null where it cannot: a MIG slice has no utilisation, an older GPU no energy counter."""
        if self._handle is None:
            return None
        try:
            return getattr(self._nvml, name)(self._handle)
        except (self._nvml.NVMLError, AttributeError):
            return None

    def _find(self) -> Any:
        """NVML's handle of PyTorch's device, by its UUID, else by its place on the bus: the two count differently."""
        if self._nvml is None:
            return None
        about = self._about
        bus: list[Any] = [getattr(about, f"pci_{part}_id", None) for part in ("domain", "bus", "device")]
        ways = [("nvmlDeviceGetHandleByUUID", f"{kind}-{self._uuid()}") for kind in ("GPU", "MIG") if self._uuid()]
        if None not in bus:
            ways.append(("nvmlDeviceGetHandleByPciBusId", "{:08x}:{:02x}:{:02x}.0".format(*bus)))
        for function, key in ways:
            with suppress(self._nvml.NVMLError):
                return getattr(self._nvml, function)(key)
        return None

    def _uuid(self) -> str | None:
        found = getattr(self._about, "uuid", None)
        return str(found).removeprefix("GPU-").removeprefix("MIG-") if found is not None else None
