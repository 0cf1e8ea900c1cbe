"""The tensors that are there now, whoever made them."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn


def living_tensors(device_type: str) -> list[Tensor]:
    """Every tensor with a storage on this type of device, gradients among them.

    What only C++ holds (what autograd saved in a graph from before) is not found. The list keeps its tensors
    alive: let go of it before anything is measured.
    """
    everywhere = _tensors()
    # A gradient that nobody has looked at has no Python object yet.
    everywhere += [leaf.grad for leaf in everywhere if leaf.is_leaf and leaf.grad is not None]
    return [one for one in everywhere if one.device.type == device_type and torch._C._has_storage(one)]


def bare_leaves() -> list[weakref.ref[Tensor]]:
    """Every tensor that can have a gradient and has none."""
    return [weakref.ref(t) for t in _tensors() if t.is_leaf and t.requires_grad and t.grad is None]


def living_linear_weights() -> list[Tensor]:
    """Every linear layer's weight that 4-bit quantization takes (no `lm_head`, no embedding's)."""
    modules = [one for one in gc.get_objects() if issubclass(type(one), nn.Module)]
    heads = [vars(one).get("_modules", {}).get("lm_head") for one in modules]
    kept = {id(_weight(one)) for one in [*heads, *_of(nn.Embedding, modules)]}
    weights = (_weight(one) for one in _of(nn.Linear, modules))
    return [weight for weight in weights if weight is not None and id(weight) not in kept]


def _of(kind: type[nn.Module], modules: Iterable[nn.Module]) -> Iterator[nn.Module]:
    return (one for one in modules if issubclass(type(one), kind))


def _weight(module: nn.Module | None) -> Tensor | None:
    """Its weight; None if it has none, as while it is being made."""
    parameters: dict[str, Tensor | None] = vars(module).get("_parameters", {}) if module is not None else {}
    return parameters.get("weight")


def _tensors() -> list[Tensor]:
    # By its type: isinstance would ask lazy modules and proxies for their __class__, and load them.
    return [one for one in gc.get_objects() if issubclass(type(one), Tensor)]
