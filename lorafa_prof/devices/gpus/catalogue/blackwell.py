"""Blackwell: GB202 (compute capability 12.0) and B200 (10.0)."""

from lorafa_prof.devices.gpus.gpu import Gpu, printed_gib, printed_mib

_PAPER = (
    "https://images.nvidia.com/aem-dam/Solutions/geforce/blackwell/nvidia-rtx-blackwell-gpu-architecture.pdf"
)

GPUS = (
    Gpu(
        name="rtx-5090",
        # Neither "RTX 5090 D" nor "RTX 5090 Laptop GPU".
        device_name_pattern=r"NVIDIA GeForce RTX 5090",
        memory_bytes=printed_mib(32109),
        datasheet_memory_gb=32,
        compute_capability=(12, 0),
        multiprocessors=170,
        peak_flops={"fp32": 104.8e12, "tf32": 104.8e12, "bf16": 209.5e12, "fp16": 209.5e12, "fp8": 419e12},
        bandwidth_bytes_per_s=1792e9,
        source=_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (419)",
        memory_source="https://gist.github.com/fyxme/8a63bb1a6ff901766f6345acaf135f7e",
    ),
    Gpu(
        name="b200",
        device_name_pattern=r"NVIDIA B200",
        memory_bytes=printed_gib(178.35),
        datasheet_memory_gb=180,
        compute_capability=(10, 0),
        multiprocessors=148,
        # fp64, fp32 and TF32 differ between NVIDIA's own B200 documents, so they stay unknown.
        peak_flops={"bf16": 2.25e15, "fp16": 2.25e15, "fp8": 4.5e15},
        bandwidth_bytes_per_s=8.0e12,
        source="https://www.nvidia.com/en-us/data-center/dgx-b200/",
        note="at 1000 W; an eighth of a DGX B200, whose datasheet prints the sparse rate, twice this",
        memory_source="https://github.com/pytorch/ao/pull/4002",
    ),
    Gpu(
        name="rtx-5080",
        device_name_pattern=r"NVIDIA GeForce RTX 5080",
        memory_bytes=printed_gib(15.48),
        datasheet_memory_gb=16,
        compute_capability=(12, 0),
        multiprocessors=84,
        peak_flops={"fp32": 56.3e12, "tf32": 56.3e12, "bf16": 112.6e12, "fp16": 112.6e12, "fp8": 225.1e12},
        bandwidth_bytes_per_s=960e9,
        source=_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (225.1)",
        memory_source="https://github.com/Tencent-Hunyuan/Hunyuan3D-2/issues/238",
    ),
    Gpu(
        name="rtx-5070-ti",
        device_name_pattern=r"NVIDIA GeForce RTX 5070 Ti",
        memory_bytes=None,
        datasheet_memory_gb=16,
        compute_capability=(12, 0),
        multiprocessors=70,
        peak_flops={"fp32": 43.9e12, "tf32": 43.9e12, "bf16": 87.9e12, "fp16": 87.9e12, "fp8": 175.8e12},
        bandwidth_bytes_per_s=896e9,
        source=_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (175.8)",
    ),
    Gpu(
        name="rtx-pro-6000",
        # Neither the Max-Q nor the Server Edition, which run at lower clocks.
        device_name_pattern=r"NVIDIA RTX PRO 6000 Blackwell Workstation Edition",
        memory_bytes=printed_gib(94.97),
        datasheet_memory_gb=96,
        compute_capability=(12, 0),
        multiprocessors=188,
        peak_flops={"fp32": 125e12, "tf32": 251.9e12, "bf16": 503.8e12, "fp16": 503.8e12, "fp8": 1007.6e12},
        bandwidth_bytes_per_s=1792e9,
        source="https://www.nvidia.com/en-us/products/workstations/professional-desktop-gpus/rtx-pro-6000/",
        note="the page prints the sparse FP4 rate, eight times the 16-bit one; "
        "TF32, 16-bit and FP8 worked out from 188 SMs at 2617 MHz",
        memory_source="https://github.com/antirez/ds4/issues/431",
    ),
)
