"""Resolving a scenario's `device` and `gpu`: the device on this machine that its cells run on."""

from __future__ import annotations

import re
from collections.abc import Callable

import torch

from lorafa_prof.cell import Cell, ResolvedDevice, twin_device, twin_gpu
from lorafa_prof.devices.gpus.gpu import GPUS, find_gpu
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.versions import check_version_for_twin

DEVICES = ("auto", "cuda", "cpu", "sim:<gpu>")


def resolve_device(device: str, gpu: str) -> ResolvedDevice:
    """Return where a cell runs; `auto` is CUDA where there is a GPU, else the twin of `gpu`.

    On CUDA the cell runs on the GPU that is there, whatever `gpu` says: that names the GPU to predict.

    Raises:
        UsageError: there is no such device here, or no such GPU in the catalogue; or PyTorch is too old for a
            twin.
    """
    why_none = "PyTorch sees no CUDA GPU here (`lorafa-prof doctor` says why)"
    return resolve_among(device, gpu, _gpu_name_here, why_none)


def _gpu_name_here() -> str | None:
    return gpu_name(torch.cuda.get_device_name()) if torch.cuda.is_available() else None


def resolve_among(
    device: str, gpu: str, measured_gpu: Callable[[], str | None], why_none: str
) -> ResolvedDevice:
    """Return where a cell runs, as `resolve_device` does, where the GPUs to measure on may be others'.

    Args:
        device, gpu: as in a scenario.
        measured_gpu: tells the name of the GPU that cells are measured on; None: there is none.
        why_none: what a cell that asks for one is told then.

    Raises:
        UsageError: as `resolve_device`.
    """
    _check_gpu(gpu, about="gpu")
    if device == "auto":
        device = "cuda" if measured_gpu() else twin_device(gpu)
    if device == "cpu":
        return ResolvedDevice("cpu", None)
    if device == "cuda":
        there = measured_gpu()
        if there is None:
            raise UsageError(f"device 'cuda': {why_none}", about="device")
        return ResolvedDevice("cuda", there)
    if (twin_of := twin_gpu(device)) is not None:
        check_version_for_twin()
        _check_gpu(twin_of, about="device")
        return ResolvedDevice(device, twin_of)
    raise UsageError(
        f"unknown device '{device}'{nearest(device, list(DEVICES))}; known: {', '.join(DEVICES)}",
        about="device",
    )


def resolve_twin_by_default(device: str, gpu: str) -> ResolvedDevice:
    """Return where a cell runs; `auto` is the twin of `gpu` even where there is a GPU.

    So a gate gives the same verdict on every machine.

    Raises:
        UsageError: there is no such device here, or no such GPU in the catalogue.
    """
    return resolve_device(twin_device(gpu) if device == "auto" else device, gpu)


def resolve_twin_of_gpu_here(device: str, gpu: str) -> ResolvedDevice:
    """Return the twin that a cell runs on: the one that `device` names, else of the GPU here, else of `gpu`.

    A GPU that the catalogue does not have has no twin, and counts as none.

    Raises:
        UsageError: there is no such device, or no such GPU in the catalogue.
    """
    resolved = resolve_device("auto" if device in ("cpu", "cuda") else device, gpu)
    if resolved.kind == "cuda":
        gpu_with_twin = resolved.gpu if resolved.gpu in GPUS else None
        return resolve_device(twin_device(gpu_with_twin or gpu), gpu)
    return resolved


def resolve_twin(device: str, gpu: str) -> ResolvedDevice:
    """Return the twin that `device` names, else that of `gpu`.

    Raises:
        UsageError: there is no such GPU in the catalogue.
    """
    return resolve_device(device if twin_gpu(device) is not None else twin_device(gpu), gpu)


def cell_on_twin(cell: Cell) -> Cell | None:
    """Return the cell on the twin of the GPU that it runs on; None if there is no such twin."""
    if cell.is_predicted:
        return cell
    return cell.on_twin() if cell.device_kind == "cuda" and cell.gpu in GPUS else None


def _check_gpu(gpu: str, *, about: str) -> None:
    if gpu not in GPUS:
        raise UsageError(
            f"unknown GPU '{gpu}'{nearest(gpu, list(GPUS))}; `lorafa-prof list gpus` shows all", about=about
        )


def gpu_name(device_name: str) -> str:
    """Return the catalogue's name of a GPU; for one that it does not have, a name made from CUDA's."""
    entry = find_gpu(device_name)
    return entry.name if entry else re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
