"""Hopper, compute capability 9.0."""

from lorafa_prof.devices.gpus.gpu import Gpu, printed_gib, printed_mib

_H100_SHEET = "https://www.nvidia.com/en-us/data-center/h100/"
_H200_SHEET = "https://www.nvidia.com/en-us/data-center/h200/"
_HALVED = "the datasheet prints the sparse rates of the tensor cores, twice these"
_SXM_PEAKS = {
    "fp64": 67e12,
    "fp32": 67e12,
    "tf32": 494.5e12,
    "bf16": 989.5e12,
    "fp16": 989.5e12,
    "fp8": 1979e12,
}

GPUS = (
    Gpu(
        name="h100-80gb",
        device_name_pattern=r"NVIDIA H100 80GB HBM3",
        memory_bytes=85_017_493_504,
        datasheet_memory_gb=80,
        compute_capability=(9, 0),
        multiprocessors=132,
        peak_flops=_SXM_PEAKS,
        bandwidth_bytes_per_s=3.35e12,
        source=_H100_SHEET,
        note=f"the SXM5 module; {_HALVED}",
        memory_source="measured: driver 580.159.04",
        memory_exact=True,
        context_bytes=804_061_184,
    ),
    Gpu(
        name="h100-pcie-80gb",
        device_name_pattern=r"NVIDIA H100 PCIe",
        memory_bytes=printed_mib(81230),
        datasheet_memory_gb=80,
        compute_capability=(9, 0),
        multiprocessors=114,
        peak_flops={
            "fp64": 51e12,
            "fp32": 51e12,
            "tf32": 378e12,
            "bf16": 756.5e12,
            "fp16": 756.5e12,
            "fp8": 1513e12,
        },
        bandwidth_bytes_per_s=2.0e12,
        source=_H100_SHEET,
        note=f"memory under a driver of 2023, newer ones report 0.3 % less; {_HALVED}",
        memory_source="https://gist.github.com/Chick3nman/e1417339accfbb0b040bcd0a0a9c6d54",
    ),
    Gpu(
        name="h100-nvl-94gb",
        device_name_pattern=r"NVIDIA H100 NVL",
        memory_bytes=printed_gib(93.00),
        datasheet_memory_gb=94,
        compute_capability=(9, 0),
        multiprocessors=132,
        peak_flops={
            "fp64": 60e12,
            "fp32": 60e12,
            "tf32": 417.5e12,
            "bf16": 835.5e12,
            "fp16": 835.5e12,
            "fp8": 1670.5e12,
        },
        bandwidth_bytes_per_s=3.9e12,
        source=_H100_SHEET,
        note=_HALVED,
        memory_source="https://github.com/ali-vilab/VACE/issues/56",
    ),
    Gpu(
        name="h200",
        # Not "NVIDIA H200 NVL", which runs at lower clocks.
        device_name_pattern=r"NVIDIA H200",
        memory_bytes=150_109_880_320,
        datasheet_memory_gb=141,
        compute_capability=(9, 0),
        multiprocessors=132,
        peak_flops=_SXM_PEAKS,
        bandwidth_bytes_per_s=4.8e12,
        source=_H200_SHEET,
        note=f"the SXM5 module; {_HALVED}",
        memory_source="measured: driver 580.159.04",
        memory_exact=True,
        context_bytes=804_061_184,
    ),
    Gpu(
        name="gh200-96gb",
        device_name_pattern=r"NVIDIA GH200 (120|480)GB",
        memory_bytes=101_468_602_368,
        datasheet_memory_gb=96,
        compute_capability=(9, 0),
        multiprocessors=132,
        peak_flops=_SXM_PEAKS,
        bandwidth_bytes_per_s=4.0e12,
        source="https://resources.nvidia.com/en-us-grace-cpu/grace-hopper-superchip",
        note=f"the device name gives the memory of the CPU; {_HALVED}",
        memory_source="https://github.com/rahulsteiger/rahulsteiger.github.io/blob/main/_posts/2025-10-12-cuda-programming.md",
        memory_exact=True,
    ),
)
