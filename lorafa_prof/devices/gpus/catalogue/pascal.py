"""Pascal GP100, compute capability 6.0: no tensor cores, no bf16 and no TF32."""

from lorafa_prof.devices.gpus.gpu import Gpu

GPUS = (
    Gpu(
        name="p100-pcie-16gb",
        device_name_pattern=r"(Tesla|NVIDIA) P100-PCI[Ee]-16GB",
        memory_bytes=17_071_734_784,
        datasheet_memory_gb=16,
        compute_capability=(6, 0),
        multiprocessors=56,
        # fp16 runs at 18.7e12 only where it accumulates in fp16, which PyTorch does not ask for.
        peak_flops={"fp64": 4.7e12, "fp32": 9.3e12},
        bandwidth_bytes_per_s=732e9,
        source="https://images.nvidia.com/content/tesla/pdf/nvidia-tesla-p100-PCIe-datasheet.pdf",
        memory_source="https://github.com/leela-zero/leela-zero/issues/1554",
        memory_exact=True,
    ),
)
