from __future__ import annotations

import torch
from torch.distributed.device_mesh import DeviceMesh
from torch.distributed.tensor import DTensor, Shard
from torch.distributed.tensor._dtensor_spec import DTensorSpec, TensorMeta

from lorafa_prof.parallel.local import local_part, with_local_part


def sharded_without_values() -> DTensor:
    """A [4, 2] tensor of which the first of two GPUs has the first two rows."""
    mesh = DeviceMesh("cuda", [0, 1], _init_backend=False, _rank=0)
    local = torch.empty(2, 2, device="meta")
    spec = DTensorSpec(mesh, (Shard(0),), TensorMeta(torch.Size((4, 2)), (2, 1), local.dtype))
    return DTensor(local, spec, requires_grad=False)


def test_a_part_on_the_host_stays_there() -> None:
    part = torch.ones(2, 2, dtype=torch.bfloat16)
    tensor = with_local_part(sharded_without_values(), part)
    assert (tensor.device, tensor.dtype, tensor.shape) == (torch.device("cpu"), part.dtype, (4, 2))
    assert local_part(tensor) is part


def test_what_is_not_sharded_is_its_own_part() -> None:
    tensor = torch.ones(2)
    assert with_local_part(torch.empty(2), tensor) is local_part(tensor) is tensor
