"""Making PyTorch answer as on the GPU that a twin stands for, where no dispatch mode is asked.

A tensor on the twin is a CUDA tensor, so most of PyTorch goes CUDA's way by itself. What is left is
attention, whose choice of a kernel asks CUDA's own library, and the functions of `torch.cuda`.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import torch
from torch import Tensor

from lorafa_prof.devices.sim.attention import Attention, attend
from lorafa_prof.devices.sim.cuda_answers import answers_of
from lorafa_prof.devices.sim.cuda_build import as_built_with_cuda
from lorafa_prof.devices.sim.cuda_trial import check_build
from lorafa_prof.devices.sim.library_caches import answers_forgotten
from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.models.replaced import replaced

#: native_functions.yaml: those with kernels for CUDA among others, and CompositeImplicitAutograd beside.
_ONE_KERNEL_ON_CUDA = ("silu_backward", "mish_backward", "native_channel_shuffle", "_fused_rms_norm")

_TORCHSCRIPT: Any = torch.jit


@contextmanager
def cuda_paths(machine: Machine, answers: Mapping[str, Callable[..., Any]] | None = None) -> Iterator[None]:
    """A context in which CUDA tensors take the code path that they would take on `machine`.

    Args:
        machine: the GPU and its CUDA build.
        answers: functions of `torch.cuda` beside those that `machine` alone answers.

    Raises:
        LorafaProfError: this PyTorch has no such places, or others.
    """
    _import_what_looks_for_cuda()
    check_build(_cuda_paths(machine, answers or {}))
    with _cuda_paths(machine, answers or {}):
        yield


def _import_what_looks_for_cuda() -> None:
    """Import bitsandbytes, if it is installed: inside, where PEFT would, it would look for CUDA's library.

    Whoever needs what cannot be imported is told there.
    """
    if find_spec("bitsandbytes") is not None:
        with suppress(Exception):
            import_module("bitsandbytes")


@contextmanager
def _cuda_paths(machine: Machine, answers: Mapping[str, Callable[..., Any]]) -> Iterator[None]:
    with ExitStack() as stack:
        stack.enter_context(answers_forgotten())
        stack.enter_context(as_built_with_cuda())
        stack.enter_context(_kernels_that_cuda_has())
        stack.enter_context(_attention_of(machine))
        # Else TorchScript's functions (DeBERTa's) are compiled for the GPU once they have run twice.
        stack.enter_context(_TORCHSCRIPT.optimized_execution(False))
        stack.enter_context(replaced(torch.cuda, {**answers_of(machine), **answers}))
        stack.enter_context(replaced(Tensor, {"__deepcopy__": _deepcopy_by_operations}))
        yield


@contextmanager
def _kernels_that_cuda_has() -> Iterator[None]:
    """Operations that are one kernel on CUDA, and without it are put together from others, are one.

    The dispatcher asks only whether CUDA has a kernel; a dispatch mode is what runs the operation.
    """
    library = torch.library.Library("aten", "IMPL", "CUDA")
    try:
        for name in _ONE_KERNEL_ON_CUDA:
            if not torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "CUDA"):
                library.impl(name, _never_run)
        yield
    finally:
        library._destroy()


def _never_run(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("an operation on the twin that its dispatch mode did not see")


@contextmanager
def _attention_of(machine: Machine) -> Iterator[None]:
    """Attention by the kernel that `machine` would take, at the place in the dispatcher where that is chosen.

    It is below autocast, above autograd, and the same from Python, C++ and TorchScript.
    """

    def scaled_dot_product_attention(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return attend(Attention(query, *args, **kwargs), machine)

    library = torch.library.Library("aten", "IMPL", "AutogradCUDA")
    try:
        library.impl("scaled_dot_product_attention", scaled_dot_product_attention)
        yield
    finally:
        library._destroy()


_deepcopy: Callable[[Tensor, dict[Any, Any]], Tensor] = Tensor.__deepcopy__


@torch.no_grad()
def _deepcopy_by_operations(self: Tensor, memo: dict[Any, Any]) -> Tensor:
    """`copy.deepcopy` of a leaf, for which PyTorch copies its storage unseen by dispatch modes."""
    if not self.is_cuda or type(self) is not Tensor or id(self) in memo or not self.is_leaf:
        return _deepcopy(self, memo)
    storages = memo.setdefault("storages of a twin", {})
    storage = self.untyped_storage()
    if storage._cdata not in storages:
        storages[storage._cdata] = torch.empty(storage.nbytes(), dtype=torch.uint8, device=self.device)
    # As PyTorch does, beside the copied storage, until the copy takes that over.
    self.new_empty([])
    whole = storages[storage._cdata].view(self.dtype)
    copied: Tensor = whole.as_strided(self.size(), self.stride(), self.storage_offset()).detach()
    copied.requires_grad_(self.requires_grad)
    if self.grad is not None:
        copied.grad = copy.deepcopy(self.grad, memo)
    copied.__dict__ = copy.deepcopy(self.__dict__, memo)
    memo[id(self)] = copied
    return copied
