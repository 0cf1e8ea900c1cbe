"""`lorafa-prof doctor`: what this machine can measure, and why not."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from lorafa_prof.cli.capability import Capability
from lorafa_prof.cli.countdown import Countdown
from lorafa_prof.cli.json_output import JsonOutput, json_option
from lorafa_prof.cli.several_machines import distributed_backends, gpu_peers, ray_cluster
from lorafa_prof.cli.tables import print_table
from lorafa_prof.errors import UsageError
from lorafa_prof.words.numbers import size

if TYPE_CHECKING:
    from lorafa_prof.running.progress_bar import Tell

FREE_DISK_BYTES = 2**30
"""Room that a sweep's records, traces and figures fit into with ease."""


def examine(tell: Tell) -> list[Capability]:
    """Try each capability on this machine, and tell of each; initialises CUDA where there is one."""
    found = []
    for done, probe in enumerate(PROBES):
        tell(done, len(PROBES), "")
        found.append(probe())
    return found


def cuda_device() -> Capability:
    """Whether PyTorch sees a CUDA device to measure on."""
    import torch

    name = "CUDA device"
    if torch.cuda.is_available():
        properties = torch.cuda.get_device_properties(torch.cuda.current_device())
        total = size(properties.total_memory)
        count = torch.cuda.device_count()
        return Capability(name, True, f"{properties.name}, {total} ({count} visible)")
    if torch.version.cuda is None:
        return Capability(
            name,
            False,
            f"torch {torch.__version__} is built without CUDA",
            "install a CUDA build of torch (https://pytorch.org), or predict: --device sim:h100-80gb",
        )
    return Capability(
        name,
        False,
        "no GPU is visible",
        "check nvidia-smi and CUDA_VISIBLE_DEVICES, or predict: --device sim:h100-80gb",
    )


def allocator_counters() -> Capability:
    """Whether PyTorch's caching allocator counts allocated and reserved bytes here."""
    import torch

    name = "allocator counters"
    if not torch.cuda.is_available():
        return Capability(name, False, "no CUDA device", "the twin models them, the CPU has none")
    if os.environ.get("PYTORCH_NO_CUDA_MEMORY_CACHING"):
        return Capability(name, False, "caching is switched off", "unset PYTORCH_NO_CUDA_MEMORY_CACHING")
    backend = torch.cuda.get_allocator_backend()
    if backend != "native":
        return Capability(
            name,
            False,
            f"the allocator is '{backend}', whose blocks and peaks are others",
            "remove backend:… from PYTORCH_ALLOC_CONF and PYTORCH_CUDA_ALLOC_CONF",
        )
    return Capability(name, True, "native caching allocator")


def nvml_memory() -> Capability:
    """Whether NVML tells the memory in use on the whole device."""
    return _by_nvml("NVML: memory in use", "device_used_bytes")


def nvml_energy() -> Capability:
    """Whether NVML has an energy counter for the device."""
    return _by_nvml("NVML: energy counter", "energy_mj")


def _by_nvml(name: str, reading: str) -> Capability:
    import torch

    from lorafa_prof.instruments.nvml import INSTALL_HINT, Unavailable, open_device, torch_device_uuid

    if importlib.util.find_spec("pynvml") is None:
        return Capability(name, False, "nvidia-ml-py is not installed", INSTALL_HINT)
    if not torch.cuda.is_available():
        return Capability(name, False, "no CUDA device", "needs an NVIDIA GPU and its driver")
    device = open_device(torch_device_uuid())
    if isinstance(device, Unavailable):
        return Capability(name, False, device.reason, "check that the driver's libnvidia-ml is visible")
    value = getattr(device, reading)()
    device.close()
    if isinstance(value, Unavailable):
        return Capability(name, False, value.reason, "this GPU or container does not offer it")
    return Capability(name, True, f"reads on {device.uuid}")


def known_gpu() -> Capability:
    """Whether the GPU's peak FLOP/s is in the catalogue, as MFU needs."""
    import torch

    from lorafa_prof.devices.gpus import find_gpu

    name = "peak FLOP/s for MFU"
    if not torch.cuda.is_available():
        return Capability(name, False, "no CUDA device", "needs a GPU of `lorafa-prof list gpus`")
    device_name = torch.cuda.get_device_name()
    gpu = find_gpu(device_name)
    if gpu is None:
        return Capability(
            name,
            False,
            f"'{device_name}' is not in the catalogue",
            "add it to lorafa_prof/devices/gpus/catalogue or by an entry point lorafa_prof.gpus",
        )
    return Capability(name, True, f"'{device_name}' is {gpu.name}")


def storage_following() -> Capability:
    """Whether storages can be followed on the CPU, by a dispatch mode."""
    import torch
    from torch.utils._python_dispatch import TorchDispatchMode

    class Counting(TorchDispatchMode):
        calls = 0

        def __torch_dispatch__(self, func, types, args=(), kwargs=None):  # type: ignore[no-untyped-def]
            Counting.calls += 1
            return func(*args, **(kwargs or {}))

    with Counting():  # type: ignore[no-untyped-call]
        torch.ones(2, device="meta").sum()
    name = "storage following (CPU)"
    if Counting.calls:
        return Capability(name, True, f"torch {torch.__version__} dispatches operations to Python")
    return Capability(name, False, f"torch {torch.__version__} hides its operations", "pip install -U torch")


def twin() -> Capability:
    """Whether GPU memory can be predicted here with the PyTorch that the twin was checked with."""
    from lorafa_prof.devices.sim.honesty import note_of_version
    from lorafa_prof.devices.sim.machine import CHECKED_TORCH
    from lorafa_prof.versions import check_version_for_twin

    name = "prediction (twin)"
    try:
        check_version_for_twin()
    except UsageError as error:
        return Capability(name, False, str(error), "pip install -U torch")
    if note := note_of_version():
        return Capability(name, True, note)
    return Capability(name, True, f"no GPU needed; checked against torch {CHECKED_TORCH} on an H100")


def forked_cells() -> Capability:
    """Whether cells can be forked from a server, or an import initialises CUDA in it."""
    import torch

    name = "cells forked from a server"
    if not torch.cuda.is_available():
        return Capability(name, True, "no CUDA device that an import could initialise")
    spoiler = _first_spoiler()
    if spoiler is None:
        return Capability(name, True, "no import initialises CUDA")
    return Capability(
        name,
        False,
        f"importing {spoiler} initialises CUDA, so cells on the GPU start afresh",
        "nothing has to be done: it costs some seconds a cell; without that package it does not",
    )


def _first_spoiler() -> str | None:
    """What initialises CUDA when it is imported, in a process that has done nothing else."""
    code = (
        "from lorafa_prof.running.preload import *\n"
        "parts = [iter(['PyTorch, or what comes with it']), imported(SUSPECTS), preload()]\n"
        "from itertools import chain\n"
        "print('spoiler:', first_spoiler(chain(*parts)) or '')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    told = [line for line in done.stdout.splitlines() if line.startswith("spoiler:")]
    return told[-1].removeprefix("spoiler:").strip() or None if told else None


def peft_peers() -> Capability:
    """Whether the peer methods of PEFT can be measured."""
    return _by_import("PEFT peers", ("peft", "accelerate"), "pip install 'lorafa-prof[peft]'")


def eight_bit_optimizers() -> Capability:
    """Whether optimizers with 8-bit states can be measured."""
    return _by_import(
        "8-bit optimizers", ("bitsandbytes",), "pip install 'lorafa-prof[gpu]' (the twin needs none)"
    )


def fvcore_flops() -> Capability:
    """Whether fvcore can give a second opinion on FLOPs."""
    return _by_import("fvcore: second opinion on FLOPs", ("fvcore",), "pip install 'lorafa-prof[flops]'")


def liger_kernels() -> Capability:
    """Whether Liger's fused kernels can be measured."""
    return _by_import("Liger kernels", ("liger_kernel", "triton"), "pip install liger-kernel (needs a GPU)")


def figures() -> Capability:
    """Whether figures can be drawn."""
    return _by_import("figures", ("matplotlib", "pandas"), "pip install --upgrade lorafa-prof")


def _by_import(name: str, modules: tuple[str, ...], remedy: str) -> Capability:
    from lorafa_prof.results.provenance import package_version

    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        return Capability(name, False, f"not installed: {', '.join(missing)}", remedy)
    versions = (f"{module} {package_version(module.replace('_', '-')) or '?'}" for module in modules)
    return Capability(name, True, ", ".join(versions))


def disk() -> Capability:
    """Whether results can be written to the current folder."""
    here = Path.cwd()
    free = shutil.disk_usage(here).free
    if not os.access(here, os.W_OK):
        return Capability("disk", False, "the current folder is not writable", "name another: -o OUT")
    if free < FREE_DISK_BYTES:
        return Capability("disk", False, f"{size(free)} free in the current folder", "name another: -o OUT")
    return Capability("disk", True, f"{size(free)} free in the current folder")


PROBES: tuple[Callable[[], Capability], ...] = (
    cuda_device,
    allocator_counters,
    nvml_memory,
    nvml_energy,
    known_gpu,
    twin,
    storage_following,
    forked_cells,
    peft_peers,
    eight_bit_optimizers,
    fvcore_flops,
    liger_kernels,
    distributed_backends,
    gpu_peers,
    ray_cluster,
    figures,
    disk,
)


@click.command("doctor")
@json_option
def doctor_command(as_json: JsonOutput) -> None:
    """Tell what this machine can measure, and what to do about the rest.

    Always exits with 0.
    """
    with Countdown("looking") as tell:
        found = examine(tell)
    rows = [(each.name, "ok" if each.ok else "no", each.reason, each.remedy) for each in found]
    print_table("what this machine can measure", ("capability", "here", "found", "what to do"), rows)
    as_json.give_bare([asdict(each) for each in found])
