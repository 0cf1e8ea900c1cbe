"""Ada Lovelace, compute capability 8.9."""

from lorafa_prof.devices.gpus.gpu import Gpu

GPUS = (
    Gpu(
        name="l4",
        device_name_pattern=r"NVIDIA L4",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 9),
        peak_flops={"fp32": 30.3e12, "tf32": 60e12, "bf16": 121e12, "fp16": 121e12},
        bandwidth_bytes_per_s=300e9,
        source="https://www.nvidia.com/en-us/data-center/l4/",
        note="the datasheet prints the sparse rates, twice these",
    ),
    Gpu(
        name="l40s",
        device_name_pattern=r"NVIDIA L40S",
        memory_bytes=None,
        datasheet_memory_gb=48,
        compute_capability=(8, 9),
        peak_flops={"fp32": 91.6e12, "tf32": 183e12, "bf16": 362.05e12, "fp16": 362.05e12},
        bandwidth_bytes_per_s=864e9,
        source="https://www.nvidia.com/en-us/data-center/l40s/",
    ),
    Gpu(
        name="rtx-4090",
        # Neither "RTX 4090 D" nor "RTX 4090 Laptop GPU": other chips under the same number.
        device_name_pattern=r"NVIDIA GeForce RTX 4090",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 9),
        peak_flops={"fp32": 82.6e12, "tf32": 82.6e12, "bf16": 165.2e12, "fp16": 165.2e12},
        bandwidth_bytes_per_s=1008e9,
        source="https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf",
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (330.3)",
    ),
)
