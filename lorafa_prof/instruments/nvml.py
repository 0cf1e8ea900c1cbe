"""Read-only access to NVML: what the driver knows of a device and PyTorch does not.

NVML orders devices by PCI bus and ignores `CUDA_VISIBLE_DEVICES`, so a device is found by UUID, never by
index. Whatever cannot be read is an `Unavailable` with its reason; nothing reads as 0 or as None.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar

T = TypeVar("T")

INSTALL_HINT = "pip install 'lorafa-prof[gpu]'"


@dataclass(frozen=True)
class Unavailable:
    """A value that could not be read, and why, in one line."""

    reason: str


@dataclass(frozen=True)
class NvmlDevice:
    """One GPU seen through NVML. Made by `open_device`; `close` it when done.

    Attributes:
        uuid: the device's UUID, ``GPU-…``.
    """

    uuid: str
    _nvml: Any
    _handle: Any

    def _read(self, what: str, read: Callable[[], T]) -> T | Unavailable:
        try:
            return read()
        except self._nvml.NVMLError as error:
            return Unavailable(f"NVML cannot read {what} of {self.uuid}: {error}")

    def device_used_bytes(self) -> int | Unavailable:
        """Return the bytes in use on the whole device: every process and its CUDA context, as in nvidia-smi.

        The driver's own reserved share is not in it (NVML's memory info, version 2).
        """
        nvml = self._nvml

        def read() -> int:
            return int(nvml.nvmlDeviceGetMemoryInfo(self._handle, version=nvml.nvmlMemory_v2).used)

        return self._read("the memory in use", read)

    def process_used_bytes(self, pid: int) -> int | Unavailable:
        """Return the bytes that process `pid` uses on the device.

        They are those of the allocator, the CUDA context and the kernels' code.
        """
        processes = self._read(
            "the processes", lambda: self._nvml.nvmlDeviceGetComputeRunningProcesses(self._handle)
        )
        if isinstance(processes, Unavailable):
            return processes
        for process in processes:
            if process.pid == pid:
                if process.usedGpuMemory is None:
                    return Unavailable(f"the driver does not tell the memory of process {pid}")
                return int(process.usedGpuMemory)
        return Unavailable(
            f"NVML lists no process {pid} on {self.uuid} (in a container it uses the host's process ids)"
        )

    def energy_mj(self) -> int | Unavailable:
        """Return the board's energy since the driver was loaded, in mJ; it changes about every 100 ms."""
        return self._read(
            "the energy counter",
            lambda: int(self._nvml.nvmlDeviceGetTotalEnergyConsumption(self._handle)),
        )

    def driver_version(self) -> str | Unavailable:
        """Return the version of the NVIDIA driver, such as ``580.159.04``."""
        return self._read("the driver version", lambda: str(self._nvml.nvmlSystemGetDriverVersion()))

    def close(self) -> Unavailable | None:
        """Close NVML; returns why if that failed. NVML counts its users, so close once for each open."""
        try:
            self._nvml.nvmlShutdown()
        except self._nvml.NVMLError as error:
            return Unavailable(f"NVML does not shut down: {error}")
        return None


def open_device(uuid: str) -> NvmlDevice | Unavailable:
    """Return the device with this UUID, open for reading, or why it cannot be opened.

    The UUID has the form ``GPU-…``; see `torch_device_uuid`.
    """
    try:
        import pynvml
    except ImportError as error:
        return Unavailable(f"nvidia-ml-py is missing ({error}): {INSTALL_HINT}")
    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError as error:
        return Unavailable(f"NVML does not start: {error}")
    try:
        handle = pynvml.nvmlDeviceGetHandleByUUID(uuid)
    except pynvml.NVMLError as error:
        pynvml.nvmlShutdown()
        return Unavailable(f"NVML has no device {uuid}: {error}")
    return NvmlDevice(uuid=uuid, _nvml=pynvml, _handle=handle)


def torch_device_uuid(index: int | None = None) -> str:
    """Return the UUID of a CUDA device of PyTorch as NVML writes it; `index` None is the current device.

    Initialises CUDA. PyTorch gives the bare UUID, NVML puts ``GPU-`` before it.

    Raises:
        RuntimeError: PyTorch has no CUDA device (also AssertionError, on a build without CUDA).
    """
    import torch

    chosen = torch.cuda.current_device() if index is None else index
    uuid = str(torch.cuda.get_device_properties(chosen).uuid)
    return uuid if uuid.startswith(("GPU-", "MIG-")) else f"GPU-{uuid}"
