"""Volta GV100, compute capability 7.0: fp16 tensor cores, no bf16 and no TF32."""

from lorafa_prof.devices.gpus.gpu import Gpu, printed_gib, printed_mib

_SHEET = (
    "https://images.nvidia.com/content/technologies/volta/pdf/volta-v100-datasheet-update-us-1165301-r5.pdf"
)
_SXM2_PEAKS = {"fp64": 7.8e12, "fp32": 15.7e12, "fp16": 125e12}
_PCIE_PEAKS = {"fp64": 7.0e12, "fp32": 14e12, "fp16": 112e12}

GPUS = (
    Gpu(
        name="v100-16gb",
        device_name_pattern=r"(Tesla|NVIDIA) V100-SXM2-16GB",
        memory_bytes=printed_mib(16152),
        datasheet_memory_gb=16,
        compute_capability=(7, 0),
        multiprocessors=80,
        peak_flops=_SXM2_PEAKS,
        bandwidth_bytes_per_s=900e9,
        source=_SHEET,
        note="the SXM2 module",
        memory_source="https://gist.github.com/iam1980/808f696a14b0c42b26621a01f91a8b18",
    ),
    Gpu(
        name="v100-32gb",
        device_name_pattern=r"(Tesla|NVIDIA) V100-SXM2-32GB",
        memory_bytes=printed_gib(31.74),
        datasheet_memory_gb=32,
        compute_capability=(7, 0),
        multiprocessors=80,
        peak_flops=_SXM2_PEAKS,
        bandwidth_bytes_per_s=900e9,
        source=_SHEET,
        note="the SXM2 module; the memory was read on eight V100s whose form factor is not stated",
        memory_source="https://github.com/haotian-liu/LLaVA/issues/812",
    ),
    Gpu(
        name="v100-pcie-16gb",
        device_name_pattern=r"(Tesla|NVIDIA) V100-PCI[Ee]-16GB",
        memory_bytes=None,
        datasheet_memory_gb=16,
        compute_capability=(7, 0),
        multiprocessors=80,
        peak_flops=_PCIE_PEAKS,
        bandwidth_bytes_per_s=900e9,
        source=_SHEET,
    ),
    Gpu(
        name="v100-pcie-32gb",
        device_name_pattern=r"(Tesla|NVIDIA) V100-PCI[Ee]-32GB",
        memory_bytes=None,
        datasheet_memory_gb=32,
        compute_capability=(7, 0),
        multiprocessors=80,
        peak_flops=_PCIE_PEAKS,
        bandwidth_bytes_per_s=900e9,
        source=_SHEET,
    ),
)
