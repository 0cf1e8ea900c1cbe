"""Turing, compute capability 7.5: no bf16 and no TF32 in hardware."""

from lorafa_prof.devices.gpus.gpu import Gpu, printed_mib

GPUS = (
    Gpu(
        name="t4",
        device_name_pattern=r"(Tesla|NVIDIA) T4",
        memory_bytes=printed_mib(15095, rounded=True),
        datasheet_memory_gb=16,
        compute_capability=(7, 5),
        multiprocessors=40,
        peak_flops={"fp32": 8.1e12, "fp16": 65e12},
        bandwidth_bytes_per_s=320e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/tesla-t4/"
        "t4-tensor-core-datasheet-951643.pdf",
        memory_source="https://github.com/sylvia-ymlin/cuda-kernels-from-scratch/blob/main/README.md",
    ),
    Gpu(
        name="rtx-2080-ti",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 2080 Ti",
        memory_bytes=11_523_260_416,
        datasheet_memory_gb=11,
        compute_capability=(7, 5),
        multiprocessors=68,
        peak_flops={"fp32": 13.4e12, "fp16": 53.8e12},
        bandwidth_bytes_per_s=616e9,
        source="https://images.nvidia.com/aem-dam/en-zz/Solutions/design-visualization/technologies/"
        "turing-architecture/NVIDIA-Turing-Architecture-Whitepaper.pdf",
        note="reference clocks; fp16 with fp32 accumulate, half the rate of fp16 accumulate (107.6)",
        memory_source="https://gist.github.com/jkrauska/d25e9dfcbe2c0a0ec08e06d8d12c8b9f",
        memory_exact=True,
    ),
)
