"""The tensors that are there now, whoever made them."""

from __future__ import annotations

import gc
import weakref

import torch
from torch import Tensor


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


def _tensors() -> list[Tensor]:
    # By its type: isinstance would ask lazy modules and proxies for their __class__, and load them.
    return [one for one in gc.get_objects() if issubclass(type(one), Tensor)]
