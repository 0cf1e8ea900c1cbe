"""What a scenario's `device` and `gpu` are on this machine."""

from __future__ import annotations

import re

import torch

from lorafa_prof.devices.gpus.gpu import GPUS, find_gpu
from lorafa_prof.errors import UsageError
from lorafa_prof.registry import nearest
from lorafa_prof.scenario.expand import ResolvedDevice

DEVICES = ("auto", "cuda", "cpu", "sim:<gpu>")


def resolve_device(device: str, gpu: str) -> ResolvedDevice:
    """Return where a cell runs: `auto` is CUDA where there is one, else the twin of `gpu`.

    On CUDA the GPU is the one that is there, whatever the scenario's `gpu` says: that one is for predictions.

    Raises:
        UsageError: there is no such device here, or no such GPU in the catalogue.
    """
    _check_gpu(gpu, about="gpu")
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else f"sim:{gpu}"
    if device == "cpu":
        return ResolvedDevice("cpu", None)
    if device == "cuda":
        if not torch.cuda.is_available():
            raise UsageError(
                "device 'cuda': PyTorch sees no CUDA GPU here (`lorafa-prof doctor` says why)", about="device"
            )
        return ResolvedDevice("cuda", gpu_name(torch.cuda.get_device_name()))
    if device.startswith("sim:"):
        return _twin_of(device.removeprefix("sim:"))
    raise UsageError(
        f"unknown device '{device}'{nearest(device, list(DEVICES))}; known: {', '.join(DEVICES)}",
        about="device",
    )


def _twin_of(gpu: str) -> ResolvedDevice:
    _check_gpu(gpu, about="device")
    return ResolvedDevice(f"sim:{gpu}", gpu)


def _check_gpu(gpu: str, *, about: str) -> None:
    if gpu not in GPUS:
        raise UsageError(
            f"unknown GPU '{gpu}'{nearest(gpu, list(GPUS))}; `lorafa-prof list gpus` shows all", about=about
        )


def gpu_name(device_name: str) -> str:
    """The catalogue's name of a GPU, or one made from CUDA's name for it."""
    known = find_gpu(device_name)
    return known.name if known else re.sub(r"[^a-z0-9]+", "-", device_name.lower()).strip("-")
