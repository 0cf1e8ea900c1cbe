"""Trying the places that `cuda_build.py` changes, in a process of its own, on a PyTorch that nobody tried.

They are addresses inside of PyTorch's libraries: one that means something else would end the process.
"""

from __future__ import annotations

import faulthandler
import os
import platform
import signal
import sys
import time
import warnings
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_map_only

from lorafa_prof.devices.sim.device_tensors import DeviceTensors, Shadows, on_shapes
from lorafa_prof.errors import LorafaProfError, described
from lorafa_prof.versions import release

#: Versions of PyTorch on which the twin ran, on 64-bit Linux.
TRIED = ((2, 11), (2, 13))
_LONGEST_S = 60
_LONGEST_TEXT = 300


def check_build(on_cuda: AbstractContextManager[None]) -> None:
    """Check that autograd runs on CUDA tensors in this context; not entered here, and not on known versions.

    Raises:
        LorafaProfError: a step in it fails or ends its process; the line names PyTorch's version.
    """
    if not _is_tried() and (failed := _tried_once(on_cuda)):
        raise LorafaProfError(
            f"the twin does not work on torch {torch.__version__}: a small step on it {failed}"
        )


def _is_tried() -> bool:
    return release(torch.__version__) in TRIED and sys.platform == "linux" and platform.machine() == "x86_64"


_outcome: list[str] = []


def _tried_once(on_cuda: AbstractContextManager[None]) -> str:
    if not _outcome:
        _outcome.append(how_it_failed(on_cuda))
    return _outcome[0]


def how_it_failed(on_cuda: AbstractContextManager[None]) -> str:
    """Return how a step in this context failed, in a process of its own; empty where it ran."""
    if not hasattr(os, "fork"):
        return "cannot be tried on this system"
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        # Python warns of threads that a forked process lacks; this one waits for none.
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        _try_and_exit(on_cuda, writing)
    os.close(writing)
    with os.fdopen(reading, errors="replace") as said:
        status = _waited_for(child)
        if status is None:
            return f"does not end within {_LONGEST_S} s"
        if os.WIFSIGNALED(status):
            return f"ends by {signal.Signals(os.WTERMSIG(status)).name}"
        return said.read()


def _try_and_exit(on_cuda: AbstractContextManager[None], writing: int) -> None:
    """Run the step in this forked process, say how it failed, and end it."""
    try:
        faulthandler.disable()
        silent = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silent, 1)
        os.dup2(silent, 2)
        with on_cuda:
            small_step()
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is said in the other process
        os.write(writing, f"fails: {described(error)}"[:_LONGEST_TEXT].encode())
    finally:
        os._exit(0)


def _waited_for(child: int) -> int | None:
    """Return the status of a process that ended, or None of one that had to be ended."""
    end = time.monotonic() + _LONGEST_S
    while time.monotonic() < end:
        pid, status = os.waitpid(child, os.WNOHANG)
        if pid:
            return status
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return None


def small_step() -> None:
    """Run forward and backward of a product on CUDA tensors, under autocast."""
    tensors = DeviceTensors()
    x, weight = (tensors.empty_strided((4, 4), (4, 1), torch.float32).requires_grad_() for _ in range(2))
    with _OnShapes(tensors):
        with torch.autocast("cuda", dtype=torch.bfloat16):
            y = torch.nn.functional.linear(x, weight)
        if y.dtype != torch.bfloat16:
            raise TypeError("autocast does not cast")
        y.sum().backward()
    for tensor in (x, weight):
        if tensor.grad is None or not tensor.grad.is_cuda:
            raise TypeError("a gradient is not on the device")


class _OnShapes(TorchDispatchMode):
    def __init__(self, tensors: DeviceTensors) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._tensors = tensors

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        shadows = Shadows(self._tensors)
        shapes, options = tree_map_only(Tensor, shadows.shape_of, (args, kwargs or {}))
        if "device" in options:
            options["device"] = torch.device("meta")
        with on_shapes(False):
            result = func(*shapes, **options)
        return tree_map_only(Tensor, shadows.on_device, result)
