"""What a scenario's `device` and `gpu` are on this machine."""

from __future__ import annotations

import re

import torch

from lorafa_prof.cell import Cell, ResolvedDevice, twin_device, twin_gpu
from lorafa_prof.devices.gpus.gpu import GPUS, find_gpu
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest

DEVICES = ("auto", "cuda", "cpu", "sim:<gpu>")


def resolve_device(device: str, gpu: str) -> ResolvedDevice:
    """Return where a cell runs: `auto` is CUDA where there is one, else the twin of `gpu`.

    On CUDA the GPU is the one that is there, whatever the scenario's `gpu` says: that one is for predictions.

    Raises:
        UsageError: there is no such device here, or no such GPU in the catalogue.
    """
    _check_gpu(gpu, about="gpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else twin_device(gpu)
    if device == "cpu":
        return ResolvedDevice("cpu", None)
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                "device 'cuda': PyTorch sees no CUDA GPU here (`lorafa-prof doctor` says why)", about="device"
            )
        return ResolvedDevice("cuda", gpu_name(torch.cuda.get_device_name()))
    if (twin_of := twin_gpu(device)) is not None:
        _check_gpu(twin_of, about="device")
        return ResolvedDevice(device, twin_of)
    raise UsageError(
        f"unknown device '{device}'{nearest(device, list(DEVICES))}; known: {', '.join(DEVICES)}",
        about="device",
    )


def resolve_twin_by_default(device: str, gpu: str) -> ResolvedDevice:
    """As `resolve_device`, but `auto` is the twin also beside a GPU: a gate says the same everywhere."""
    return resolve_device(twin_device(gpu) if device == "auto" else device, gpu)


def resolve_twin_of_gpu_here(device: str, gpu: str) -> ResolvedDevice:
    """A twin, whatever the device: that of the GPU that is there, else of `gpu`, unless `device` names one.

    A GPU that the catalogue does not have has no twin, and counts as none.
    """
    resolved = resolve_device("auto" if device in ("cpu", "cuda") else device, gpu)
    if resolved.kind == "cuda":
        here = resolved.gpu if resolved.gpu in GPUS else None
        return resolve_device(twin_device(here or gpu), gpu)
    return resolved


def resolve_twin(device: str, gpu: str) -> ResolvedDevice:
    """The twin of `gpu`, whatever the scenario's device."""
    return resolve_device(twin_device(gpu), gpu)


def cell_on_twin(cell: Cell) -> Cell | None:
    """The cell on the twin of the GPU that it runs on; None where there is no such twin."""
    if cell.is_predicted:
        return cell
    return cell.on_twin() if cell.device_kind == "cuda" and cell.gpu in GPUS else None


def _check_gpu(gpu: str, *, about: str) -> None:
    if gpu not in GPUS:
        raise UsageError(
            f"unknown GPU '{gpu}'{nearest(gpu, list(GPUS))}; `lorafa-prof list gpus` shows all", about=about
        )


def gpu_name(device_name: str) -> str:
    """The catalogue's name of a GPU, or one made from CUDA's name for it."""
    known = find_gpu(device_name)
    return known.name if known else re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
