"""What a build of PyTorch without CUDA lacks to run autograd on CUDA tensors, supplied while a twin is on.

The dispatcher, autograd and autocast know CUDA on every build: the keys of a CUDA tensor, its formulas and
autocast's list of operations are compiled into the CPU library. Three things are not:

- the *device guard* of CUDA, which autograd asks for a tensor's stream. PyTorch has a fake one, for
  `FakeTensorMode`, with streams that are all the same; it sets it only where a guard sees no device, so one
  that sees none is put there first (c10/core/impl/DeviceGuardImplInterface.cpp, ensureCUDADeviceGuardSet);
- the *hooks* of CUDA, which say that it is built, and whether a device has a context
  (ATen/detail/AcceleratorHooksInterface.h: isBuilt, isAvailable, hasPrimaryContext);
- the note that CUDA is initialised, without which any use of a CUDA tensor calls `torch.cuda._lazy_init`.

They are put back as they were. Where there is a real GPU they hide it, so that nothing takes a context on it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import torch

from lorafa_prof.errors import LorafaProfError

_CUDA = 1
_DEVICE_TYPES = 20
#: Of the hooks' virtual functions: two destructors, isBuilt, isAvailable, hasPrimaryContext, ...
_ANSWERED_YES = (2, 3, 4)
_HEADER_WORDS = 2
#: CUDAHooksInterface has 48 in PyTorch 2.13, and none behind them is called here.
_FUNCTIONS = 48


class _Object(ctypes.Structure):
    """The start of a C++ object with virtual functions."""

    _fields_ = (("functions", ctypes.c_void_p),)
    functions: int


@contextmanager
def as_built_with_cuda() -> Iterator[None]:
    """A context in which autograd runs on CUDA tensors whether or not PyTorch was built with CUDA.

    Raises:
        LorafaProfError: the libraries of this PyTorch have no such places.
    """
    with ExitStack() as stack:
        for part in (_fake_guard, _hooks_that_say_built, _initialised, _lifted_by_the_dispatcher):
            stack.enter_context(part())
        # The engine has threads for as many devices as there were when it first ran.
        stack.enter_context(torch.autograd.set_multithreading_enabled(False))
        yield


@cache
def _library(name: str) -> ctypes.CDLL:
    folder = Path(torch.__file__).parent / "lib"
    path = next((path for path in folder.glob(f"lib{name}.*") if path.suffix in (".so", ".dylib")), None)
    if path is None:
        raise LorafaProfError(f"the twin needs PyTorch's library {name}, which is not in {folder}")
    return ctypes.CDLL(str(path))


def _symbol(library: str, name: str) -> Any:
    try:
        return getattr(_library(library), name)
    except AttributeError:
        raise _unknown(name) from None


def _unknown(name: str) -> LorafaProfError:
    return LorafaProfError(f"the twin does not know torch {torch.__version__}: it has no {name}")


@contextmanager
def _fake_guard() -> Iterator[None]:
    name = "_ZN3c104impl26device_guard_impl_registryE"
    try:
        guards = (ctypes.c_void_p * _DEVICE_TYPES).in_dll(_library("c10"), name)
    except ValueError:
        raise _unknown(name) from None
    before = guards[_CUDA]
    sees_none = ctypes.CFUNCTYPE(ctypes.c_int)(lambda: 0)
    functions = (ctypes.c_void_p * _FUNCTIONS)(*[_address(sees_none)] * _FUNCTIONS)
    without_devices = _Object(ctypes.addressof(functions))
    try:
        guards[_CUDA] = ctypes.addressof(without_devices)
        torch._C._ensureCUDADeviceGuardSet()
        if guards[_CUDA] == ctypes.addressof(without_devices):
            raise _unknown("fake CUDA device guard")
        yield
    finally:
        guards[_CUDA] = before


@contextmanager
def _hooks_that_say_built() -> Iterator[None]:
    get_hooks = _symbol("torch_cpu", "_ZN2at6detail12getCUDAHooksEv")
    get_hooks.restype = ctypes.c_void_p
    hooks = _Object.from_address(get_hooks())
    before = hooks.functions
    words = ctypes.c_void_p * (_HEADER_WORDS + _FUNCTIONS)
    word = ctypes.sizeof(ctypes.c_void_p)
    copied = words.from_buffer_copy(words.from_address(before - _HEADER_WORDS * word))
    # A function that is there in every Python, takes nothing and returns 1.
    yes = _address(ctypes.pythonapi.Py_IsInitialized)
    for index in _ANSWERED_YES:
        copied[_HEADER_WORDS + index] = yes
    hooks.functions = ctypes.addressof(copied) + _HEADER_WORDS * word
    try:
        yield
    finally:
        hooks.functions = before


@contextmanager
def _initialised() -> Iterator[None]:
    requires_init = _symbol("torch_python", "_ZN5torch5utils24set_requires_device_initEN3c1010DeviceTypeEb")
    requires_init(ctypes.c_int(_CUDA), ctypes.c_bool(False))
    try:
        yield
    finally:
        requires_init(ctypes.c_int(_CUDA), ctypes.c_bool(not torch.cuda.is_initialized()))


@contextmanager
def _lifted_by_the_dispatcher() -> Iterator[None]:
    """What `torch.tensor` reads stays on the host, and goes to the device by a copy that modes see."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)
    try:
        yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def _address(function: Any) -> int | None:
    return ctypes.cast(function, ctypes.c_void_p).value
