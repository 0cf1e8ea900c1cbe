"""Ampere: GA100 (compute capability 8.0) and GA102 (8.6)."""

from lorafa_prof.devices.gpus.gpu import Gpu, printed_gib, printed_mib

_A100_SHEET = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/"
    "nvidia-a100-datasheet-us-nvidia-1758950-r4-web.pdf"
)
_A100_40GB_SHEET = (
    "https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a100/pdf/nvidia-a100-datasheet.pdf"
)
_GA102_PAPER = "https://www.nvidia.com/content/PDF/nvidia-ampere-ga-102-gpu-architecture-whitepaper-v2.pdf"
_ADA_PAPER = "https://images.nvidia.com/aem-dam/Solutions/geforce/ada/nvidia-ada-gpu-architecture.pdf"
_HALVED = "the datasheet prints the sparse rate of the tensor cores, twice the 16-bit one"
# One chip at one boost clock in all four: only memory, power limit and links differ.
_A100_PEAKS = {"fp64": 19.5e12, "fp32": 19.5e12, "tf32": 156e12, "bf16": 312e12, "fp16": 312e12}


def _a100(
    name: str,
    pattern: str,
    gigabytes: float,
    bandwidth: float,
    source: str,
    *,
    memory_bytes: int | None = None,
    memory_source: str = "",
    memory_exact: bool = False,
) -> Gpu:
    return Gpu(
        name=name,
        device_name_pattern=pattern,
        memory_bytes=memory_bytes,
        datasheet_memory_gb=gigabytes,
        compute_capability=(8, 0),
        multiprocessors=108,
        peak_flops=_A100_PEAKS,
        bandwidth_bytes_per_s=bandwidth,
        source=source,
        memory_source=memory_source,
        memory_exact=memory_exact,
    )


GPUS = (
    _a100(
        "a100-40gb",
        r"(NVIDIA )?A100-SXM4-40GB",
        40,
        1555e9,
        _A100_40GB_SHEET,
        memory_bytes=printed_mib(40326),
        memory_source="https://gist.github.com/PenguinKeeper7",
    ),
    _a100(
        "a100-80gb",
        r"(NVIDIA )?A100-SXM4-80GB",
        80,
        2039e9,
        _A100_SHEET,
        memory_bytes=printed_mib(81051, rounded=True),
        memory_source="https://github.com/ultralytics/ultralytics/issues/22877",
    ),
    _a100(
        "a100-pcie-40gb",
        r"(NVIDIA )?A100-PCI[Ee]-40GB",
        40,
        1555e9,
        _A100_40GB_SHEET,
        memory_bytes=42_298_834_944,
        memory_source="https://huggingface.co/PrunaAI/mattshumer-Llama-3-8B-16K-HQQ-4bit-smashed/blob/"
        "521a1ba996efcc53055694ac9f876f5f24a236e3/results.json",
        memory_exact=True,
    ),
    _a100("a100-pcie-80gb", r"(NVIDIA )?A100( 80GB PCIe|-PCI[Ee]-80GB)", 80, 1935e9, _A100_SHEET),
    Gpu(
        name="a10",
        device_name_pattern=r"NVIDIA A10",
        memory_bytes=23_609_475_072,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        multiprocessors=72,
        peak_flops={"fp32": 31.2e12, "tf32": 62.5e12, "bf16": 125e12, "fp16": 125e12},
        bandwidth_bytes_per_s=600e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/Data-Center/a10/pdf/"
        "datasheet-new/nvidia-a10-datasheet.pdf",
        memory_source="https://github.com/aalanwyr/face2cuda/blob/main/step2cuda/README.md",
        memory_exact=True,
    ),
    Gpu(
        name="a10g",
        device_name_pattern=r"NVIDIA A10G",
        memory_bytes=printed_mib(22513, rounded=True),
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        multiprocessors=80,
        peak_flops={"fp32": 31.52e12, "tf32": 35e12, "bf16": 70e12, "fp16": 70e12},
        bandwidth_bytes_per_s=600e9,
        source="https://d1.awsstatic.com/product-marketing/ec2/"
        "NVIDIA_AWS_A10G_DataSheet_FINAL_02_17_2022.pdf",
        note="the card of AWS G5 instances; its tensor cores run at about half the A10's rate",
        memory_source="https://github.com/ultralytics/ultralytics/issues/7673",
    ),
    Gpu(
        name="rtx-a6000",
        device_name_pattern=r"(NVIDIA )?RTX A6000",
        memory_bytes=printed_mib(48670, rounded=True),
        datasheet_memory_gb=48,
        compute_capability=(8, 6),
        multiprocessors=84,
        peak_flops={"fp32": 38.7e12, "tf32": 77.4e12, "bf16": 154.8e12, "fp16": 154.8e12},
        bandwidth_bytes_per_s=768e9,
        source=_GA102_PAPER,
        memory_source="https://github.com/ultralytics/ultralytics/issues/19084",
    ),
    Gpu(
        name="rtx-3090",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 3090",
        memory_bytes=25_286_672_384,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        multiprocessors=82,
        peak_flops={"fp32": 35.6e12, "tf32": 35.6e12, "bf16": 71e12, "fp16": 71e12},
        bandwidth_bytes_per_s=936e9,
        source=_GA102_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (142)",
        memory_source="https://github.com/Jumperkables/cuda-benchmarking/blob/main/00_deviceQuery/README.md",
        memory_exact=True,
    ),
    Gpu(
        name="a30",
        device_name_pattern=r"NVIDIA A30",
        memory_bytes=printed_gib(23.50),
        datasheet_memory_gb=24,
        compute_capability=(8, 0),
        multiprocessors=56,
        peak_flops={"fp64": 10.3e12, "fp32": 10.3e12, "tf32": 82e12, "bf16": 165e12, "fp16": 165e12},
        bandwidth_bytes_per_s=933e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/data-center/products/a30-gpu/pdf/a30-datasheet.pdf",
        memory_source="https://github.com/LHRLAB/ChatKBQA/issues/2",
    ),
    Gpu(
        name="a40",
        device_name_pattern=r"NVIDIA A40",
        memory_bytes=printed_mib(45416),
        datasheet_memory_gb=48,
        compute_capability=(8, 6),
        multiprocessors=84,
        peak_flops={"fp32": 37.4e12, "tf32": 74.8e12, "bf16": 149.7e12, "fp16": 149.7e12},
        bandwidth_bytes_per_s=696e9,
        source="https://images.nvidia.com/content/Solutions/data-center/a40/nvidia-a40-datasheet.pdf",
        memory_source="https://github.com/songxf1024/CaPGNN/blob/495ccec9751c95e006b02fdee795aa9ba76d90eb/main.py",
    ),
    Gpu(
        name="rtx-a5000",
        device_name_pattern=r"(NVIDIA )?RTX A5000",
        memory_bytes=None,
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        multiprocessors=64,
        peak_flops={"fp32": 27.8e12, "tf32": 55.55e12, "bf16": 111.1e12, "fp16": 111.1e12},
        bandwidth_bytes_per_s=768e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/gtcs21/rtx-a5000/nvidia-rtx-a5000-datasheet.pdf",
        note=_HALVED,
    ),
    Gpu(
        name="rtx-a4000",
        device_name_pattern=r"(NVIDIA )?RTX A4000",
        memory_bytes=printed_gib(15.61),
        datasheet_memory_gb=16,
        compute_capability=(8, 6),
        multiprocessors=48,
        peak_flops={"fp32": 19.2e12, "tf32": 38.35e12, "bf16": 76.7e12, "fp16": 76.7e12},
        bandwidth_bytes_per_s=448e9,
        source="https://www.nvidia.com/content/dam/en-zz/Solutions/gtcs21/rtx-a4000/nvidia-rtx-a4000-datasheet.pdf",
        note=_HALVED,
        memory_source="https://github.com/DengKaiCQ/VGGT-Long/issues/6",
    ),
    Gpu(
        name="rtx-3090-ti",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 3090 Ti",
        memory_bytes=printed_mib(24114),
        datasheet_memory_gb=24,
        compute_capability=(8, 6),
        multiprocessors=84,
        peak_flops={"fp32": 40e12, "tf32": 40e12, "bf16": 80e12, "fp16": 80e12},
        bandwidth_bytes_per_s=1008e9,
        source=_ADA_PAPER,
        note="16-bit with fp32 accumulate, half the rate of fp16 accumulate (160)",
        memory_source="https://github.com/mathisweil/minihack-ReMDM-planner/blob/main/PERF_MEASURE_3090_RESULTS_MINIHACK.md",
    ),
    Gpu(
        name="rtx-3080",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 3080",
        memory_bytes=printed_gib(9.78),
        datasheet_memory_gb=10,
        compute_capability=(8, 6),
        multiprocessors=68,
        peak_flops={"fp32": 29.8e12, "tf32": 29.8e12, "bf16": 59.5e12, "fp16": 59.5e12},
        bandwidth_bytes_per_s=760e9,
        source=_GA102_PAPER,
        note="the card with 10 GB; the one with 12 GB, a little faster, has the same device name; "
        "16-bit with fp32 accumulate, half the rate of fp16 accumulate (119)",
        memory_source="https://github.com/zai-org/CogVideo/issues/34",
    ),
    Gpu(
        name="rtx-3060-12gb",
        device_name_pattern=r"(NVIDIA )?GeForce RTX 3060",
        memory_bytes=printed_gib(11.75),
        datasheet_memory_gb=12,
        compute_capability=(8, 6),
        multiprocessors=28,
        peak_flops={"fp32": 12.7e12, "tf32": 12.7e12, "bf16": 25.5e12, "fp16": 25.5e12},
        bandwidth_bytes_per_s=360e9,
        source="https://www.nvidia.com/en-us/geforce/graphics-cards/30-series/rtx-3060-3060ti/",
        note="the card with 8 GB and less bandwidth has the same device name; peaks worked out from "
        "the page's cores and boost clock, 16-bit with fp32 accumulate",
        memory_source="https://github.com/Kunhao-Liu/StyleGaussian/issues/12",
    ),
)
