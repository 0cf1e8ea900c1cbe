"""A stand-in for pynvml: two devices, and any call can be told to fail."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import ModuleType, SimpleNamespace
from typing import Any


class NVMLError(Exception):
    """As pynvml's: every failure of NVML is one."""


@dataclass
class FakeNvml:
    """State behind the fake module. `failing` maps a function's name to the message of its error."""

    failing: dict[str, str] = field(default_factory=dict)
    energy_mj: list[int] = field(default_factory=lambda: [1000])
    processes: list[tuple[int, int | None]] = field(default_factory=list)
    users: int = 0
    clock_reasons: int = 0

    # In PCI order, which is not the order of CUDA_VISIBLE_DEVICES.
    used: dict[str, int] = field(default_factory=lambda: {"GPU-aaa": 111, "GPU-bbb": 222})

    def module(self) -> ModuleType:
        module: Any = ModuleType("pynvml")
        module.NVMLError = NVMLError
        module.nvmlMemory_v2 = 0x02000028
        for name in (
            "nvmlInit",
            "nvmlShutdown",
            "nvmlDeviceGetHandleByUUID",
            "nvmlDeviceGetMemoryInfo",
            "nvmlDeviceGetComputeRunningProcesses",
            "nvmlDeviceGetTotalEnergyConsumption",
            "nvmlSystemGetDriverVersion",
            "nvmlDeviceGetCurrentClocksEventReasons",
        ):
            setattr(module, name, self._guarded(name))
        return module

    def _guarded(self, name: str) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if name in self.failing:
                raise NVMLError(self.failing[name])
            return getattr(self, f"_{name}")(*args, **kwargs)

        return call

    def _nvmlInit(self) -> None:
        self.users += 1

    def _nvmlShutdown(self) -> None:
        self.users -= 1

    def _nvmlDeviceGetHandleByUUID(self, uuid: str) -> str:
        if uuid not in self.used:
            raise NVMLError("Not Found")
        return uuid

    def _nvmlDeviceGetMemoryInfo(self, handle: str, version: int) -> SimpleNamespace:
        assert version == 0x02000028, "version 1 counts the driver's reserve as used"
        return SimpleNamespace(used=self.used[handle])

    def _nvmlDeviceGetComputeRunningProcesses(self, handle: str) -> list[SimpleNamespace]:
        return [SimpleNamespace(pid=pid, usedGpuMemory=used) for pid, used in self.processes]

    def _nvmlDeviceGetTotalEnergyConsumption(self, handle: str) -> int:
        return self.energy_mj.pop(0) if len(self.energy_mj) > 1 else self.energy_mj[0]

    def _nvmlDeviceGetCurrentClocksEventReasons(self, handle: str) -> int:
        return self.clock_reasons

    def _nvmlSystemGetDriverVersion(self) -> str:
        return "580.159.04"
