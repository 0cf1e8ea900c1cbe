"""The part of a sharded tensor that this rank has."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor
from torch.distributed.tensor import DTensor
from torch.distributed.tensor._dtensor_spec import DTensorSpec, TensorMeta


def local_part(tensor: Tensor) -> Tensor:
    """Return what of `tensor` is on this rank, sharing its storage; all of a tensor that is not sharded."""
    return tensor._local_tensor if isinstance(tensor, DTensor) else tensor


def with_local_part(like: Tensor, local: Tensor) -> Tensor:
    """Return `local` as this rank's part of a tensor sharded as `like`, which it is a new value of.

    It stays where it is: `DTensor.from_local` would move what is offloaded to the host to the mesh's GPU.
    """
    if not isinstance(like, DTensor):
        return local
    meta = TensorMeta(like.shape, like.stride(), local.dtype)
    return DTensor(local, DTensorSpec(like.device_mesh, like.placements, meta), requires_grad=False)


def whole(tensor: Tensor) -> Tensor:
    """Return all of `tensor`, gathered from the ranks if it is sharded: each of them must call this."""
    return tensor.full_tensor() if isinstance(tensor, DTensor) else tensor


def first_row_here(tensor: Tensor) -> int:
    """Return which row of `tensor` is the first of this rank's part: 0 if it is not sharded."""
    if not isinstance(tensor, DTensor):
        return 0
    from torch.distributed.tensor._utils import compute_local_shape_and_global_offset

    mesh, placements = tensor.device_mesh, tensor.placements
    _, offset = compute_local_shape_and_global_offset(tensor.shape, mesh, placements)
    return int(offset[0])


def has_sharded(types: Iterable[type]) -> bool:
    """Whether an operation's arguments, of these `types`, have a sharded tensor among them.

    A dispatch mode that answers NotImplemented to such an operation is asked again for each operation on this
    rank that it comes to.
    """
    return any(issubclass(kind, DTensor) for kind in types)
