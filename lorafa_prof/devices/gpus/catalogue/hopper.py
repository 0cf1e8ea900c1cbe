"""Hopper, compute capability 9.0."""

from lorafa_prof.devices.gpus.gpu import Gpu

_H100_SHEET = "https://www.nvidia.com/en-us/data-center/h100/"
_H200_SHEET = "https://www.nvidia.com/en-us/data-center/h200/"
_HALVED = "the datasheet prints the sparse rates of the tensor cores, twice these"
_SXM_PEAKS = {"fp64": 67e12, "fp32": 67e12, "tf32": 494.5e12, "bf16": 989.5e12, "fp16": 989.5e12}

GPUS = (
    Gpu(
        name="h100-80gb",
        device_name_pattern=r"NVIDIA H100 80GB HBM3",
        memory_bytes=None,
        datasheet_memory_gb=80,
        compute_capability=(9, 0),
        peak_flops=_SXM_PEAKS,
        bandwidth_bytes_per_s=3.35e12,
        source=_H100_SHEET,
        note=f"the SXM5 module; {_HALVED}",
    ),
    Gpu(
        name="h100-pcie-80gb",
        device_name_pattern=r"NVIDIA H100 PCIe",
        memory_bytes=None,
        datasheet_memory_gb=80,
        compute_capability=(9, 0),
        peak_flops={"fp64": 51e12, "fp32": 51e12, "tf32": 378e12, "bf16": 756.5e12, "fp16": 756.5e12},
        bandwidth_bytes_per_s=2.0e12,
        source=_H100_SHEET,
        note=_HALVED,
    ),
    Gpu(
        name="h100-nvl-94gb",
        device_name_pattern=r"NVIDIA H100 NVL",
        memory_bytes=None,
        datasheet_memory_gb=94,
        compute_capability=(9, 0),
        peak_flops={"fp64": 60e12, "fp32": 60e12, "tf32": 417.5e12, "bf16": 835.5e12, "fp16": 835.5e12},
        bandwidth_bytes_per_s=3.9e12,
        source=_H100_SHEET,
        note=_HALVED,
    ),
    Gpu(
        name="h200",
        # Not "NVIDIA H200 NVL", which runs at lower clocks.
        device_name_pattern=r"NVIDIA H200",
        memory_bytes=None,
        datasheet_memory_gb=141,
        compute_capability=(9, 0),
        peak_flops=_SXM_PEAKS,
        bandwidth_bytes_per_s=4.8e12,
        source=_H200_SHEET,
        note=f"the SXM5 module; {_HALVED}",
    ),
)
