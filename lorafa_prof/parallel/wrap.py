"""Spreading a model over the ranks of a mesh: its gradients (DDP), or its parameters too (FSDP2)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.fsdp import CPUOffloadPolicy, MixedPrecisionPolicy, OffloadPolicy, fully_shard
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from lorafa_prof.errors import UsageError
from lorafa_prof.parallel.local import local_part, with_local_part
from lorafa_prof.parallel.shard import Parallel, Shard


def wrap(model: nn.Module, parallel: Parallel, shard: Shard, mesh: DeviceMesh) -> nn.Module:
    """Return what trains on each rank of `mesh` in the place of `model`.

    The model is on the ranks' device. For FSDP2 it may have no values yet, on the meta device: its shards
    have none either then, but room for them.

    DDP is a module around the model. FSDP2 changes the model in place: its parameters become other objects,
    of which each rank has its rows, so an optimizer made before must be handed the new ones
    (`parameters.py`).

    Args:
        model: ready to train: with adapters, kernels and checkpointing.
        parallel: "none" leaves the model as it is.
        shard: how FSDP2 spreads it.
        mesh: of one dimension, one rank for each GPU.

    Raises:
        UsageError: FSDP2 cannot shard a parameter; the line names it.
    """
    if parallel == "ddp":
        return DistributedDataParallel(model, process_group=mesh.get_group())
    if parallel == "fsdp2":
        _shard(model, shard, mesh)
    return model


def repeated_layers(model: nn.Module) -> Iterator[nn.Module]:
    """Yield the transformer layers of `model`, which are what checkpointing recomputes as a whole."""
    from transformers.modeling_layers import GradientCheckpointingLayer

    return (module for module in model.modules() if isinstance(module, GradientCheckpointingLayer))


def _shard(model: nn.Module, shard: Shard, mesh: DeviceMesh) -> None:
    """Shard each layer by itself, frozen and trained parameters alike, and with the root what is left."""
    for name, parameter in model.named_parameters():
        if not parameter.dim():
            raise UsageError(
                f"fsdp2 shards rows, and '{name}' is a number without dimensions; set parallel to ddp",
                about="parallel",
            )
    options: dict[str, Any] = {
        "mesh": mesh,
        "reshard_after_forward": shard.reshard_after_forward,
        "mp_policy": _mixed_precision(shard),
        "offload_policy": CPUOffloadPolicy() if shard.offload == "cpu" else OffloadPolicy(),
    }
    for layer in repeated_layers(model):
        fully_shard(layer, **options)
    fully_shard(model, **options)
    _make_room(model, torch.device("cpu" if shard.offload == "cpu" else mesh.device_type))


def _make_room(model: nn.Module, device: torch.device) -> None:
    """Give shards without values room on `device`."""

    def there(tensor: Tensor) -> Tensor:
        local = local_part(tensor)
        if not (isinstance(tensor, DTensor) and local.is_meta):
            return tensor
        return with_local_part(tensor, torch.empty_like(local, device=device))

    model._apply(there)


def _mixed_precision(shard: Shard) -> MixedPrecisionPolicy:
    if shard.mp == "none":
        return MixedPrecisionPolicy()
    return MixedPrecisionPolicy(param_dtype=torch.bfloat16, reduce_dtype=torch.float32)
