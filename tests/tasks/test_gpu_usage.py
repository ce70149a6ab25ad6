"""What a unit uses of a GPU. There is none here: CUDA and NVML are fakes, and what they stand in for is only their
answers' form."""

import os
import sys
import threading
import time
from types import SimpleNamespace
from typing import Any

import pytest

from core.planning.steps import STEPS
from tasks import gpu_usage
from tasks.gpu_usage import GpuUsage, device_of_step, watch_gpu

MIB = 2**20


class FakeCuda:
    """`torch.cuda` with one visible GPU, the second of the machine."""

    def __init__(self, **about: Any) -> None:
        self.about = SimpleNamespace(name="Fake GPU", total_memory=80 * 1024 * MIB, **about)
        self.resets = 0

    def get_device_properties(self, number: int) -> Any:
        return self.about

    def reset_peak_memory_stats(self, number: int) -> None:
        self.resets += 1

    def max_memory_allocated(self, number: int) -> int:
        return 1500 * MIB

    def max_memory_reserved(self, number: int) -> int:
        return 2000 * MIB


class FakeNvml:
    """NVML of a machine with two GPUs; the second works."""

    class NVMLError(Exception):
        pass

    def __init__(self, missing: tuple[str, ...] = ()) -> None:
        self.missing, self.energy = missing, 1000

    def nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        return self._handle({"GPU-aaaa": "first", "GPU-bbbb": "second", "MIG-cccc": "slice"}, uuid)

    def nvmlDeviceGetHandleByPciBusId(self, place: str) -> str:
        return self._handle({"00000000:3b:00.0": "first", "00000000:af:00.0": "second"}, place)

    def _handle(self, known: dict[str, str], key: str) -> str:
        if key not in known:
            raise self.NVMLError(key)
        return known[key]

    def _answer(self, name: str, value: Any) -> Any:
        if name in self.missing:
            raise self.NVMLError("not supported")
        return value

    def nvmlDeviceGetUtilizationRates(self, handle: str) -> Any:
        return self._answer("utilisation", SimpleNamespace(gpu=90 if handle == "second" else 0))

    def nvmlDeviceGetMemoryInfo(self, handle: str) -> Any:
        return SimpleNamespace(used=(3000 if handle == "second" else 1) * MIB)

    def nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> Any:
        mine = SimpleNamespace(pid=os.getpid(), usedGpuMemory=2500 * MIB)
        return self._answer("processes", [SimpleNamespace(pid=1, usedGpuMemory=7 * MIB), mine])

    def nvmlDeviceGetPowerUsage(self, handle: str) -> int:
        return 300_000

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        self.energy += 5000
        return self._answer("energy", self.energy)


def measure(cuda: FakeCuda, nvml: FakeNvml | None) -> dict[str, Any]:
    with GpuUsage(0, cuda, nvml) as usage:
        return usage.read()


def test_the_visible_gpu_is_found_by_its_uuid_whatever_its_number_is() -> None:
    used = measure(FakeCuda(uuid="bbbb"), FakeNvml())
    assert used["name"] == "Fake GPU" and used["memory_total_mib"] == 80 * 1024
    assert (used["memory_peak_mib"], used["memory_reserved_peak_mib"]) == (1500, 2000)
    assert (used["process_memory_peak_mib"], used["device_memory_peak_mib"]) == (2500, 3000)
    assert (used["utilisation_mean"], used["utilisation_max"]) == (90, 90)
    assert (used["power_mean_watts"], used["energy_joules"]) == (300, 5)


def test_without_a_uuid_it_is_found_by_its_place_on_the_bus() -> None:
    used = measure(FakeCuda(pci_domain_id=0, pci_bus_id=0xAF, pci_device_id=0), FakeNvml())
    assert used["uuid"] is None and used["utilisation_max"] == 90


def test_a_slice_of_a_gpu_and_an_older_one_have_nulls_where_nvml_has_no_answer() -> None:
    used = measure(FakeCuda(uuid="cccc"), FakeNvml(missing=("utilisation", "energy", "processes")))
    assert used["device_memory_peak_mib"] == 1 and used["memory_peak_mib"] == 1500
    for name in ("utilisation_mean", "utilisation_max", "energy_joules", "process_memory_peak_mib"):
        assert used[name] is None


def test_without_nvml_pytorch_s_figures_remain() -> None:
    for nvml in (None, FakeNvml()):
        used = measure(FakeCuda(uuid="unknown"), nvml)
        assert used["memory_peak_mib"] == 1500 and used["utilisation_mean"] is None


def test_it_is_sampled_while_the_unit_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpu_usage, "EVERY_S", 0.01)
    with GpuUsage(0, FakeCuda(uuid="bbbb"), FakeNvml()) as usage:
        deadline = time.monotonic() + 10
        while len(usage._samples) < 50:
            assert time.monotonic() < deadline
            time.sleep(0.01)
    assert not [thread for thread in threading.enumerate() if thread.name == "gpu-usage"]


def test_a_unit_that_begins_beside_another_leaves_the_other_s_peak() -> None:
    cuda = FakeCuda(uuid="bbbb")
    with GpuUsage(0, cuda, None), GpuUsage(0, cuda, None):
        assert cuda.resets == 1
    with GpuUsage(0, cuda, None):
        assert cuda.resets == 2


def test_a_machine_without_a_driver_measures_nothing_and_fails_at_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with watch_gpu("cpu") as usage:
        assert usage is None
    broken = SimpleNamespace(nvmlInit=lambda: (_ for _ in ()).throw(RuntimeError("no driver")))
    for module in (None, broken):  # None: as if it were not installed
        monkeypatch.setitem(sys.modules, "pynvml", module)
        assert gpu_usage._open_nvml() is None


def test_a_step_of_the_cpu_is_not_held_to_use_a_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: True)
    assert device_of_step(STEPS["prepare"], "auto") == "cpu"
    assert [device_of_step(STEPS[step], "auto") for step in ("capture", "train_sae", "index_features")] == ["cuda"] * 3
    assert device_of_step(STEPS["capture"], "cpu") == "cpu"
