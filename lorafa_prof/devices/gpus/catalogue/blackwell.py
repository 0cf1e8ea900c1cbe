"""Blackwell: GB202 (compute capability 12.0) and B200 (10.0)."""

from lorafa_prof.devices.gpus.gpu import Gpu

GPUS = (
    Gpu(
        name="rtx-5090",
        # Neither "RTX 5090 D" nor "RTX 5090 Laptop GPU".
        device_name_pattern=r"NVIDIA GeForce RTX 5090",
        memory_bytes=None,
        datasheet_memory_gb=32,
        compute_capability=(12, 0),
        peak_flops={"fp32": 104.8e12, "tf32": 104.8e12, "bf16": 209.5e12, "fp16": 209.5e12},
        bandwidth_bytes_per_s=1792e9,
        source="https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/"
        "nvidia-rtx-blackwell-gpu-architecture.pdf",
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (419)",
    ),
    Gpu(
        name="b200",
        device_name_pattern=r"NVIDIA B200",
        memory_bytes=None,
        datasheet_memory_gb=180,
        compute_capability=(10, 0),
        # fp64, fp32 and TF32 differ between NVIDIA's own B200 documents, so they stay unknown.
        peak_flops={"bf16": 2.25e15, "fp16": 2.25e15},
        bandwidth_bytes_per_s=8.0e12,
        source="https://www.nvidia.com/en-us/data-center/dgx-b200/",
        note="at 1000 W; an eighth of a DGX B200, whose datasheet prints the sparse rate, twice this",
    ),
)
