"""The catalogue: names found, peaks against the SM count and clock where the vendor prints those."""

from __future__ import annotations

import dataclasses
import re

import pytest

from lorafa_prof.devices.gpus import GPUS, find_gpu, peak_flops
from lorafa_prof.devices.gpus.gpu import DTYPES, gpu_called, meant_gpu, printed_gib, printed_mib
from lorafa_prof.errors import UsageError


@pytest.mark.parametrize(
    ("device_name", "name"),
    [
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("NVIDIA H100 PCIe", "h100-pcie-80gb"),
        ("NVIDIA H100 NVL", "h100-nvl-94gb"),
        ("NVIDIA H200", "h200"),
        ("NVIDIA GH200 480GB", "gh200-96gb"),
        ("NVIDIA GH200 120GB", "gh200-96gb"),
        ("NVIDIA B200", "b200"),
        ("NVIDIA RTX PRO 6000 Blackwell Workstation Edition", "rtx-pro-6000"),
        ("NVIDIA GeForce RTX 5070 Ti", "rtx-5070-ti"),
        ("NVIDIA GeForce RTX 5080", "rtx-5080"),
        ("NVIDIA A100-SXM4-40GB", "a100-40gb"),
        ("A100-SXM4-40GB", "a100-40gb"),
        ("NVIDIA A100-SXM4-80GB", "a100-80gb"),
        ("NVIDIA A100-PCIE-40GB", "a100-pcie-40gb"),
        ("NVIDIA A100 80GB PCIe", "a100-pcie-80gb"),
        ("NVIDIA A10", "a10"),
        ("NVIDIA A10G", "a10g"),
        ("NVIDIA A30", "a30"),
        ("NVIDIA A40", "a40"),
        ("NVIDIA RTX A4000", "rtx-a4000"),
        ("NVIDIA RTX A5000", "rtx-a5000"),
        ("NVIDIA RTX A6000", "rtx-a6000"),
        ("NVIDIA GeForce RTX 2080 Ti", "rtx-2080-ti"),
        ("NVIDIA GeForce RTX 3060", "rtx-3060-12gb"),
        ("NVIDIA GeForce RTX 3080", "rtx-3080"),
        ("NVIDIA GeForce RTX 3090", "rtx-3090"),
        ("NVIDIA GeForce RTX 3090 Ti", "rtx-3090-ti"),
        ("NVIDIA GeForce RTX 4060 Ti", "rtx-4060-ti-16gb"),
        ("NVIDIA GeForce RTX 4070", "rtx-4070"),
        ("NVIDIA GeForce RTX 4070 Ti SUPER", "rtx-4070-ti-super"),
        ("NVIDIA GeForce RTX 4080", "rtx-4080"),
        ("NVIDIA GeForce RTX 4090", "rtx-4090"),
        ("NVIDIA GeForce RTX 5090", "rtx-5090"),
        ("NVIDIA L4", "l4"),
        ("NVIDIA L40", "l40"),
        ("NVIDIA L40S", "l40s"),
        ("NVIDIA RTX 6000 Ada Generation", "rtx-6000-ada"),
        ("Tesla T4", "t4"),
        ("Tesla V100-SXM2-16GB", "v100-16gb"),
        ("Tesla V100-SXM2-32GB", "v100-32gb"),
        ("Tesla V100-PCIE-16GB", "v100-pcie-16gb"),
        ("Tesla V100-PCIE-32GB", "v100-pcie-32gb"),
        ("Tesla P100-PCIE-16GB", "p100-pcie-16gb"),
    ],
)
def test_device_name_finds_its_gpu(device_name: str, name: str) -> None:
    found = find_gpu(device_name)
    assert found is not None
    assert found.name == name
    assert [gpu.name for gpu in GPUS.values() if re.fullmatch(gpu.device_name_pattern, device_name)] == [name]


@pytest.mark.parametrize(
    "device_name",
    [
        "NVIDIA H100 80GB HBM3 MIG 1g.10gb",
        "NVIDIA H200 NVL",
        "NVIDIA GeForce RTX 4090 Laptop GPU",
        "NVIDIA GeForce RTX 4090 D",
        "NVIDIA GeForce RTX 4080 SUPER",
        "NVIDIA GeForce RTX 4070 Ti",
        "NVIDIA GeForce RTX 4070 SUPER",
        "NVIDIA GeForce RTX 5070",
        "NVIDIA GeForce RTX 3080 Ti",
        "NVIDIA RTX PRO 6000 Blackwell Max-Q Workstation Edition",
        "NVIDIA RTX A5000 Laptop GPU",
        "NVIDIA GH200 144G HBM3e",
        "NVIDIA A100-SXM-64GB",
        "NVIDIA A800-SXM4-80GB",
        "NVIDIA T4G",
        "Tesla V100S-PCIE-32GB",
        "AMD Instinct MI300X",
        "",
    ],
)
def test_a_similar_name_is_another_card(device_name: str) -> None:
    assert find_gpu(device_name) is None
    assert meant_gpu(device_name) is None


@pytest.mark.parametrize(
    ("written", "name"),
    [
        ("NVIDIA A10G", "a10g"),
        ("A10G", "a10g"),
        ("A100-SXM4-80GB", "a100-80gb"),
        ("nvidia a100-sxm4-80gb ", "a100-80gb"),
        ("NVIDIA H100 80GB HBM3", "h100-80gb"),
        ("H100 80GB", "h100-80gb"),
        ("Tesla T4", "t4"),
        ("V100-SXM2-16GB", "v100-16gb"),
        ("GeForce RTX 4090", "rtx-4090"),
        ("RTX 4090", "rtx-4090"),
        ("RTX 3060", "rtx-3060-12gb"),
    ],
)
def test_a_person_may_write_what_the_card_is_called(written: str, name: str) -> None:
    assert gpu_called(written) is GPUS[name]


def test_a_card_that_there_is_none_of_is_told_with_what_may_be_meant() -> None:
    with pytest.raises(UsageError, match=r"unknown GPU 'h10' \(did you mean 'h100-80gb', ") as caught:
        gpu_called("h10", about="gpu")
    assert caught.value.about == "gpu"


# Multiply-adds per SM and clock for 16-bit input with fp32 accumulate, from the architecture papers, times
# SMs, times the boost clock in GHz: another way to the datasheet's figure, which would show a sparse rate
# (twice) or an fp16-accumulate rate (twice on GeForce).
@pytest.mark.parametrize(
    ("name", "sms", "per_sm", "ghz"),
    [
        ("v100-16gb", 80, 512, 1.53),
        ("v100-32gb", 80, 512, 1.53),
        ("v100-pcie-16gb", 80, 512, 1.38),
        ("v100-pcie-32gb", 80, 512, 1.38),
        ("t4", 40, 512, 1.59),
        ("rtx-2080-ti", 68, 256, 1.545),
        ("a100-80gb", 108, 1024, 1.41),
        ("a10", 72, 512, 1.695),
        ("a30", 56, 1024, 1.44),
        ("a40", 84, 512, 1.74),
        ("rtx-a4000", 48, 512, 1.56),
        ("rtx-a5000", 64, 512, 1.695),
        ("rtx-a6000", 84, 512, 1.80),
        ("rtx-3060-12gb", 28, 256, 1.777),
        ("rtx-3080", 68, 256, 1.71),
        ("rtx-3090", 82, 256, 1.695),
        ("rtx-3090-ti", 84, 256, 1.86),
        ("rtx-4060-ti-16gb", 34, 256, 2.535),
        ("rtx-4070", 46, 256, 2.475),
        ("rtx-4070-ti-super", 66, 256, 2.61),
        ("rtx-4080", 76, 256, 2.505),
        ("rtx-4090", 128, 256, 2.52),
        ("l4", 58, 512, 2.04),
        ("l40", 142, 256, 2.49),
        ("l40s", 142, 512, 2.52),
        ("rtx-6000-ada", 142, 512, 2.505),
        ("h100-80gb", 132, 2048, 1.83),
        ("h100-pcie-80gb", 114, 2048, 1.62),
        ("gh200-96gb", 132, 2048, 1.83),
        ("rtx-5070-ti", 70, 256, 2.452),
        ("rtx-5080", 84, 256, 2.617),
        ("rtx-5090", 170, 256, 2.407),
        ("rtx-pro-6000", 188, 512, 2.617),
        ("b200", 148, 4096, 1.86),
    ],
)
def test_peak_is_dense_with_fp32_accumulation(name: str, sms: int, per_sm: int, ghz: float) -> None:
    assert GPUS[name].multiprocessors == sms
    peak = peak_flops(GPUS[name], "fp16")
    assert peak == pytest.approx(2 * sms * per_sm * ghz * 1e9, rel=0.02)


@pytest.mark.parametrize("name", [name for name, gpu in GPUS.items() if "fp8" in gpu.peak_flops])
def test_8_bit_floats_are_twice_as_fast_as_16_bits_from_ada_on(name: str) -> None:
    gpu = GPUS[name]
    assert gpu.compute_capability >= (8, 9)
    assert gpu.peak_flops["fp8"] == pytest.approx(2 * gpu.peak_flops["bf16"], rel=0.02)


def test_measured_products_of_8_bit_floats_are_below_the_peak() -> None:
    """1,550 TFLOP/s were measured on the H200, rows of 8192 by the shapes of Llama-2-7B."""
    peak = peak_flops(GPUS["h200"], "fp8")
    assert peak is not None
    assert 0.5 < 1550e12 / peak < 1


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


@pytest.mark.parametrize("name", list(GPUS))
def test_memory_is_plausible_and_says_where_it_was_read(name: str) -> None:
    gpu = GPUS[name]
    if gpu.memory_bytes is None:
        assert not gpu.memory_source
        assert not gpu.memory_exact
        assert gpu.context_bytes is None
        return
    # Vendors print 10^9 or 2^30 bytes to the GB: the bounds hold for both.
    assert 0.9 * gpu.datasheet_memory_gb * 1e9 < gpu.memory_bytes < 1.02 * gpu.datasheet_memory_gb * 2**30
    assert gpu.memory_source.startswith(("https://", "measured: driver "))
    if gpu.context_bytes is not None:
        assert 0 < gpu.context_bytes < gpu.memory_bytes / 10


@pytest.mark.parametrize(("name", "memory_bytes"), [("h100-80gb", 85_017_493_504), ("h200", 150_109_880_320)])
def test_memory_measured_here(name: str, memory_bytes: int) -> None:
    gpu = GPUS[name]
    assert (gpu.memory_bytes, gpu.memory_exact) == (memory_bytes, True)


def test_printed_sizes_become_the_fewest_bytes_that_print_so() -> None:
    least = printed_gib(23.49)
    assert f"{least / 2**30:.2f}" == "23.49"
    assert f"{(least - 1) / 2**30:.2f}" == "23.48"
    assert printed_mib(15109) // 2**20 == 15109
    assert (printed_mib(15109) - 1) // 2**20 == 15108
    assert printed_mib(15109, rounded=True) / 2**20 == 15108.5


@pytest.mark.parametrize("name", ["p100-pcie-16gb", "v100-16gb", "v100-pcie-32gb", "t4", "rtx-2080-ti"])
def test_no_bf16_before_ampere(name: str) -> None:
    assert peak_flops(GPUS[name], "bf16") is None


def test_unknown_dtype_is_an_error_not_unknown() -> None:
    with pytest.raises(ValueError, match="bfloat16"):
        peak_flops(GPUS["t4"], "bfloat16")


def test_unknown_gpu_names_the_nearest() -> None:
    with pytest.raises(UsageError, match="did you mean 'h100-80gb'"):
        GPUS["h100-80g"]


def test_entries_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        GPUS["t4"].name = "t5"  # type: ignore[misc]
