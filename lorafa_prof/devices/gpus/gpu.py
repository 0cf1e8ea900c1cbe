"""What is known of a GPU model from its datasheet, and finding the model that CUDA names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from lorafa_prof.errors import UsageError
from lorafa_prof.registry import Registry, nearest

_VENDORS = ("", "NVIDIA ", "Tesla ", "NVIDIA GeForce ")
_VENDOR = re.compile(r"(nvidia |tesla |geforce )*", re.IGNORECASE)

DTYPES: tuple[str, ...] = ("fp64", "fp32", "tf32", "bf16", "fp16", "fp8")


@dataclass(frozen=True)
class Gpu:
    """One GPU model, as its vendor describes it.

    Attributes:
        name: the catalogue's name, lower case, such as ``h100-80gb``.
        device_name_pattern: regular expression that matches the whole of `torch.cuda.get_device_name()`.
            Laptop, MIG and regional variants have other peaks under similar names and must not match.
        memory_bytes: `total_memory` of `torch.cuda.get_device_properties()` on Linux, ECC in the vendor's
            default, in bytes; the smallest of the readings that could be traced. It is below the capacity by
            what firmware and driver keep, so newer drivers often report up to 1 % less. (nvidia-smi prints
            more, and Windows reports nearly the whole capacity.) None where no reading was traced.
        datasheet_memory_gb: the capacity as printed on the datasheet. Vendors do not say whether they mean
            10^9 or 2^30 bytes, so it is for reading and for bounds, not for arithmetic in bytes.
        compute_capability: CUDA compute capability, major and minor.
        multiprocessors: number of streaming multiprocessors, from the vendor's paper on the architecture.
        peak_flops: dense FLOP/s (a multiply-add is two) for a matrix product per dtype, sparsity not
            counted, accumulating in fp32 as PyTorch does by default. `fp64` and the 16-bit types are of the
            tensor cores where the card has them; `fp32` is of the CUDA cores, because PyTorch leaves TF32
            off unless asked; `tf32` is what it reaches when asked. A missing dtype is unknown or has no
            hardware support.
        bandwidth_bytes_per_s: memory bandwidth, bytes per second.
        source: URL of the vendor's datasheet or white paper that the figures are from.
        note: what a reader must know to compare the figures.
        memory_source: URL of the text that `memory_bytes` was read in, or the driver under which this project
            measured it. Empty without `memory_bytes`.
        memory_exact: whether `memory_bytes` was read to the byte. Otherwise it was printed in MiB or GiB, and
            `memory_bytes` is the fewest bytes that print so.
        context_bytes: device memory, in bytes, that is used outside PyTorch's allocator once the kernels of a
            training step are loaded: the CUDA context, the kernels' code, libraries' own workspaces. The
            allocator can get `memory_bytes` less this. None where it was not measured.
    """

    name: str
    device_name_pattern: str
    memory_bytes: int | None
    datasheet_memory_gb: float
    compute_capability: tuple[int, int]
    multiprocessors: int
    peak_flops: Mapping[str, float] = field(hash=False)
    bandwidth_bytes_per_s: float
    source: str
    note: str = ""
    memory_source: str = ""
    memory_exact: bool = False
    context_bytes: int | None = None

    @property
    def computes_in_bf16(self) -> bool:
        """Whether it has bf16 in hardware; elsewhere PyTorch emulates it.

        It asks for the same capability: `torch.cuda.is_bf16_supported(including_emulation=False)`.
        """
        return self.compute_capability >= (8, 0)


def printed_gib(value: float) -> int:
    """Return the fewest bytes that print as `value` GiB to two decimals.

    PyTorch's out-of-memory message has the memory of a GPU in this form.
    """
    return math.ceil((value - 0.005) * 2**30)


def printed_mib(value: int, *, rounded: bool = False) -> int:
    """Return the fewest bytes that print as `value` MiB, cut off (as PyTorch and hashcat do) or rounded."""
    return value * 2**20 - (2**19 if rounded else 0)


GPUS: Registry[Gpu] = Registry(
    kind="gpu",
    package="lorafa_prof.devices.gpus.catalogue",
    attribute="GPUS",
    group="lorafa_prof.gpus",
    name_of=lambda gpu: gpu.name,
)


def catalogued(name: str | None) -> Gpu | None:
    """Return the catalogue's entry of this name, or None if it has none, or there is no GPU."""
    return GPUS[name] if name is not None and name in GPUS else None


def find_gpu(device_name: str) -> Gpu | None:
    """Return the catalogue's entry for the name CUDA gives a device, or None if it has none."""
    for gpu in GPUS.values():
        if re.fullmatch(gpu.device_name_pattern, device_name.strip()):
            return gpu
    return None


def meant_gpu(name: str) -> Gpu | None:
    """Return the entry that a person means by `name`, or None.

    It is the catalogue's own name or what CUDA and nvidia-smi print, with or without the vendor's words
    before it; capitals do not count, nor do spaces in the place of hyphens.
    """
    if name in GPUS:
        return GPUS[name]
    model = _VENDOR.sub("", name.strip())
    own = model.casefold().replace(" ", "-")
    if own in GPUS:
        return GPUS[own]
    printed = [f"{vendor}{model}" for vendor in _VENDORS]
    for gpu in GPUS.values():
        if any(re.fullmatch(gpu.device_name_pattern, each, re.IGNORECASE) for each in printed):
            return gpu
    return None


def gpu_called(name: str, *, about: str | None = None) -> Gpu:
    """Return the entry that a person means by `name`.

    Raises:
        UsageError: there is none; `about` is the setting at fault.
    """
    gpu = meant_gpu(name)
    if gpu is None:
        raise UsageError(
            f"unknown GPU '{name}'{nearest(name, GPUS)}; `lorafa-prof list gpus` shows all", about=about
        )
    return gpu


def peak_flops(gpu: Gpu, dtype: str) -> float | None:
    """Return the dense peak for matrix products in `dtype`, FLOP/s, or None where it is not known.

    Raises:
        ValueError: `dtype` is none of `DTYPES`; a misspelt one must not read as "not known".
    """
    if dtype not in DTYPES:
        raise ValueError(f"unknown dtype '{dtype}'; one of {', '.join(DTYPES)}")
    return gpu.peak_flops.get(dtype)
