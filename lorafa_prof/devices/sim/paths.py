"""Making PyTorch take CUDA's code paths on `meta`, where it asks for the device above the dispatcher."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lorafa_prof.devices.sim.attention import Attention, attend
from lorafa_prof.devices.sim.machine import Machine

_dropout = F.dropout
_set = Tensor.__setitem__
_to_list = Tensor.tolist
_attention = F.scaled_dot_product_attention


@contextmanager
def cuda_paths(machine: Machine) -> Iterator[None]:
    """A context in which calls on `meta` take the code path that they would take on CUDA.

    It replaces functions of PyTorch for the whole process. A `TorchFunctionMode` would not do: it is off
    inside of `backward`, and what checkpointing recomputes there would go another way than in forward.
    """
    optimizer = import_module("torch.optim.optimizer")  # torch.optim hides it as an attribute
    replaced: tuple[tuple[Any, str, Callable[..., Any]], ...] = (
        (F, "dropout", _cuda_dropout),
        (F, "scaled_dot_product_attention", _attention_on(machine)),
        (Tensor, "__setitem__", _set_item),
        (Tensor, "tolist", _values_as_list),
        (torch, "tensor", _keeping_values(torch.tensor)),
        (torch, "as_tensor", _keeping_values(torch.as_tensor)),
        (optimizer, "_get_fused_kernels_supported_devices", lambda: ["cuda", "cpu", "meta"]),
        (optimizer, "_get_foreach_kernels_supported_devices", lambda: ["cuda", "meta"]),
    )
    originals = [(module, name, getattr(module, name)) for module, name, _ in replaced]
    try:
        for module, name, function in replaced:
            setattr(module, name, function)
        yield
    finally:
        for module, name, function in originals:
            setattr(module, name, function)


def _cuda_dropout(input: Tensor, p: float = 0.5, training: bool = True, inplace: bool = False) -> Tensor:
    # ATen/native/Dropout.cpp, is_fused_kernel_acceptable.
    if input.is_meta and training and 0.0 < p < 1.0 and input.numel() and not inplace:
        return torch.native_dropout(input, p, True)[0]
    return _dropout(input, p, training, inplace)


def _attention_on(machine: Machine) -> Callable[..., Tensor]:
    def scaled_dot_product_attention(query: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        if query.is_meta:
            return attend(Attention(query, *args, **kwargs), machine)
        return _attention(query, *args, **kwargs)

    return scaled_dot_product_attention


def _set_item(self: Tensor, index: Any, value: Any) -> None:
    if self.is_meta and isinstance(value, (bool, int, float)):
        # For a CUDA tensor the number becomes a tensor on the host, not on the device:
        # torch/csrc/autograd/python_variable_indexing.cpp, THPVariable_setitem.
        value = torch.scalar_tensor(value, dtype=self.dtype)
    _set(self, index, value)


def _values_as_list(self: Tensor) -> Any:
    # PyTorch reads the memory itself here, past every dispatch mode.
    return _to_list(self.cpu() if self.is_meta else self)


def _keeping_values(make: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """Return `make` so that it makes its tensor on the host and copies it to `meta`.

    A tensor made on `meta` has no value; of a copied one the twin knows it.
    """

    def make_on_host(*args: Any, device: Any = None, **kwargs: Any) -> Tensor:
        if device is None or torch.device(device).type != "meta":
            return make(*args, device=device, **kwargs)
        return make(*args, device="cpu", **kwargs).to("meta")

    return make_on_host
