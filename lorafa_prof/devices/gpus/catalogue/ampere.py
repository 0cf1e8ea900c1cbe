"""Ampere: GA100 (compute capability 8.0) and GA102 (8.6)."""

from lorafa_prof.devices.gpus.gpu import Gpu

_A100_SHEET = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
    "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
)
_A100_40GB_SHEET = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet.pdf"
)
_GA102_PAPER = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf"
# One chip at one boost clock in all four: only memory, power limit and links differ.
_A100_PEAKS = {"fp64": 19.5e12, "fp32": 19.5e12, "tf32": 156e12, "bf16": 312e12, "fp16": 312e12}


def _a100(name: str, pattern: str, gigabytes: float, bandwidth: float, source: str) -> Gpu:
    return Gpu(
        name=name,
        device_name_pattern=pattern,
        memory_bytes=None,
        datasheet_memory_gb=gigabytes,
        compute_capability=(8, 0),
        peak_flops=_A100_PEAKS,
        bandwidth_bytes_per_s=bandwidth,
        source=source,
    )


GPUS = (
    _a100("a100-40gb", r"(NVIDIA )?A100-SXM4-40GB", 40, 1555e9, _A100_40GB_SHEET),
    _a100("a100-80gb", r"(NVIDIA )?A100-SXM4-80GB", 80, 2039e9, _A100_SHEET),
    _a100("a100-pcie-40gb", r"(NVIDIA )?A100-PCI[Ee]-40GB", 40, 1555e9, _A100_40GB_SHEET),
    _a100("a100-pcie-80gb", r"(NVIDIA )?A100( 80GB PCIe|-PCI[Ee]-80GB)", 80, 1935e9, _A100_SHEET),
    Gpu(
        name="a10",
        device_name_pattern=r"NVIDIA A10",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        peak_flops={"fp32": 31.2e12, "tf32": 62.5e12, "bf16": 125e12, "fp16": 125e12},
        bandwidth_bytes_per_s=600e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/"
        "datasheet-new/nvidia-a10-datasheet.pdf",
    ),
    Gpu(
        name="a10g",
        device_name_pattern=r"NVIDIA A10G",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        peak_flops={"fp32": 31.52e12, "tf32": 35e12, "bf16": 70e12, "fp16": 70e12},
        bandwidth_bytes_per_s=600e9,
        source="https://d1.awsstatic.com/product-marketing/ec2/"
        "NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
        note="the card of AWS G5 instances; its tensor cores run at about half the A10's rate",
    ),
    Gpu(
        name="rtx-a6000",
        device_name_pattern=r"(NVIDIA )?RTX A6000",
        memory_bytes=None,
        datasheet_memory_gb=48,
        compute_capability=(8, 6),
        peak_flops={"fp32": 38.7e12, "tf32": 77.4e12, "bf16": 154.8e12, "fp16": 154.8e12},
        bandwidth_bytes_per_s=768e9,
        source=_GA102_PAPER,
    ),
    Gpu(
        name="rtx-3090",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 3090",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        peak_flops={"fp32": 35.6e12, "tf32": 35.6e12, "bf16": 71e12, "fp16": 71e12},
        bandwidth_bytes_per_s=936e9,
        source=_GA102_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (142)",
    ),
)
