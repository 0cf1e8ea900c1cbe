"""The catalogue: names found, peaks against the SM count and clock where the vendor prints those."""

from __future__ import annotations

import dataclasses

import pytest

from lorafa_prof.devices.gpus import GPUS, find_gpu, peak_flops
from lorafa_prof.devices.gpus.gpu import DTYPES
from lorafa_prof.errors import UsageError


@pytest.mark.parametrize(
    ("device_name", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie-80gb"),
        ("NVIDIA H100 NVL", "h100-nvl-94gb"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA GeForce RTX 2080 Ti", "rtx-2080-ti"),
        ("NVIDIA GeForce RTX 3090", "rtx-3090"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 5090", "rtx-5090"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40S", "l40s"),
        ("Tesla T4", "t4"),
    ],
)
def test_device_name_finds_its_gpu(device_name: str, name: str) -> None:
    found = find_gpu(device_name)
    assert found is not None
    assert found.name == name


@pytest.mark.parametrize(
    "device_name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA H200 NVL",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 3090 Ti",
        "NVIDIA L40",
        "NVIDIA A100-SXM-64GB",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_a_similar_name_is_another_card(device_name: str) -> None:
    assert find_gpu(device_name) is None


# Multiply-adds per SM and clock for 16-bit input with fp32 accumulate, from the architecture papers, times
# SMs, times the boost clock in GHz: another way to the datasheet's figure, which would show a sparse rate
# (twice) or an fp16-accumulate rate (twice on GeForce).
@pytest.mark.parametrize(
    ("name", "sms", "per_sm", "ghz"),
    [
        ("t4", 40, 512, 1.59),
        ("rtx-2080-ti", 68, 256, 1.545),
        ("a100-80gb", 108, 1024, 1.41),
        ("a10", 72, 512, 1.695),
        ("rtx-a6000", 84, 512, 1.80),
        ("rtx-3090", 82, 256, 1.695),
        ("rtx-4090", 128, 256, 2.52),
        ("l4", 58, 512, 2.04),
        ("l40s", 142, 512, 2.52),
        ("h100-80gb", 132, 2048, 1.83),
        ("h100-pcie-80gb", 114, 2048, 1.62),
        ("rtx-5090", 170, 256, 2.407),
        ("b200", 148, 4096, 1.86),
    ],
)
def test_peak_is_dense_with_fp32_accumulation(name: str, sms: int, per_sm: int, ghz: float) -> None:
    peak = peak_flops(GPUS[name], "fp16")
    assert peak == pytest.approx(2 * sms * per_sm * ghz * 1e9, rel=0.02)


def test_measured_matrix_product_is_below_the_peak() -> None:
    """795 TFLOP/s were measured on the H100 SXM; the peak lies above, the sparse one too far."""
    peak = peak_flops(GPUS["h100-80gb"], "bf16")
    assert peak is not None
    assert 0.5 < 795e12 / peak < 1


@pytest.mark.parametrize("name", list(GPUS))
def test_every_entry_is_whole(name: str) -> None:
    gpu = GPUS[name]
    assert name == name.lower()
    assert gpu.source.startswith("https://")
    assert set(gpu.peak_flops) <= set(DTYPES)
    assert all(1e12 < peak < 1e16 for peak in gpu.peak_flops.values())
    assert 1e11 < gpu.bandwidth_bytes_per_s < 1e13
    if gpu.memory_bytes is not None:
        assert 0.9 < gpu.memory_bytes / 2**30 / gpu.datasheet_memory_gb <= 1.0


def test_turing_has_no_bf16() -> None:
    assert peak_flops(GPUS["t4"], "bf16") is None


def test_unknown_dtype_is_an_error_not_unknown() -> None:
    with pytest.raises(ValueError, match="bfloat16"):
        peak_flops(GPUS["t4"], "bfloat16")


def test_unknown_gpu_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'h100-80gb'"):
        GPUS["h100-80g"]


def test_entries_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPUS["t4"].name = "t5"  # type: ignore[misc]
