"""What FSDP2 gathers and scatters by: copies of many tensors at once, and collectives."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed.fsdp  # noqa: F401 - defines the operations of torch.ops.fsdp
from torch import Tensor
from torch._C._distributed_c10d import _create_work_from_future

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel
from lorafa_prof.devices.sim.shapes import tensors_in

aten, c10d, fsdp = torch.ops.aten, torch.ops.c10d, torch.ops.fsdp
_INDEX_BYTES = 8
_THREADS_OF_BLOCK = 128
_BYTES_OF_BLOCK = 16 * _THREADS_OF_BLOCK
"""TILE_SIZE: what a block of threads copies at once."""


def _split_with_sizes_copy(step: Execution, func: Any, args: Any, kwargs: Any) -> None:
    source, sizes, *given = args
    dim = given[0] if given else kwargs.get("dim", 0)
    out = kwargs["out"]
    chunk_bytes = [size * source.stride(dim) * source.element_size() for size in sizes]
    chunks = math.prod(source.shape[:dim])
    machine = step.machine
    most_blocks = machine.multiprocessors * machine.threads_per_multiprocessor // _THREADS_OF_BLOCK * 2
    rounds = _div_up(sum(_div_up(size, _BYTES_OF_BLOCK) for size in chunk_bytes) * chunks, most_blocks)
    rounds_of_chunk = _div_up(rounds, min(math.ceil(math.sqrt(rounds)), chunks))
    blocks = sum(_div_up(size, _BYTES_OF_BLOCK * rounds_of_chunk) for size in chunk_bytes)
    _take_indices(step, 4 * len(sizes) + 1 + blocks)
    step.written(*out)


def _chunk_cat(step: Execution, func: Any, args: Any, kwargs: Any) -> None:
    tensors, dim, chunks = args if len(args) == 3 else (args[0], kwargs["dim"], kwargs["num_chunks"])
    out = kwargs["out"]
    blocks = 0
    for tensor in tensors:
        padded = _div_up(tensor.shape[dim], chunks) * math.prod(tensor.shape[dim + 1 :])
        blocks += _div_up(padded * out.element_size(), _BYTES_OF_BLOCK)
    _take_indices(step, 6 * len(tensors) + 2 + blocks)
    step.written(out)


def _all_gather_copy_in(step: Execution, func: Any, args: Any, kwargs: Any) -> tuple[Tensor, Tensor]:
    _, output, _, numel, rank = args
    step.written(output)
    return output.narrow(0, numel * rank, numel), output


def _take_indices(step: Execution, count: int) -> None:
    """Take what the kernel is told of its blocks, and give it back as the function returns."""
    step.give_back(step.take(count * _INDEX_BYTES))


def _collective(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Run a collective with nobody at the other end: what it writes is unknown."""
    step.written(*tensors_in(args[0]))
    return args[0], _done(args[0])


def _broadcast(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Leave values as they are: ranks differ in shards, and not in what is broadcast."""
    return args[0], _done(args[0])


def _allgather(step: Execution, func: Any, args: Any, kwargs: Any) -> Any:
    """Gather from all ranks what this one has."""
    for gathered, given in zip(*args[:2], strict=True):
        for tensor in gathered:
            step.run(aten.copy_.default, (tensor, given), {})
    return args[0], _done(args[0])


def _done(result: Any) -> Any:
    """Return the work of a collective that has ended with this result."""
    future: torch.futures.Future[Any] = torch.futures.Future()
    future.set_result(result)
    return _create_work_from_future(future).boxed()


def _div_up(number: int, by: int) -> int:
    return -(-number // by)


_READ_IN = "ATen/native/cuda/TensorShape.cu: pack_vecs"

KERNELS = (
    Kernel(
        name="copies out of what was gathered",
        ops=(fsdp.split_with_sizes_copy.default,),
        model=_split_with_sizes_copy,
        formula="8 B for each block of threads, and 4 times for each parameter and once more",
        source=f"{_READ_IN}, split_with_sizes_copy_out_cuda_contiguous_no_cast",
    ),
    Kernel(
        name="copies into what is reduced",
        ops=(fsdp.chunk_cat.default,),
        model=_chunk_cat,
        formula="8 B for each 2 KiB of a rank's part of each gradient, and 6 times for each and twice more",
        source=f"{_READ_IN}, get_chunk_cat_metadata",
    ),
    Kernel(
        name="copies into what is gathered",
        ops=(fsdp.all_gather_copy_in.default,),
        model=_all_gather_copy_in,
        formula="nothing",
        source="torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py; ATen/native/cuda/ForeachBinaryOpList.cu",
    ),
    Kernel(
        name="collectives",
        ops=(
            c10d._allgather_base_.default,
            c10d._reduce_scatter_base_.default,
            c10d.allreduce_.default,
        ),
        model=_collective,
        formula="nothing of the allocator's: NCCL's own buffers are beside it",
        source="torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
    ),
    Kernel(
        name="broadcasts",
        ops=(c10d.broadcast_.default,),
        model=_broadcast,
        formula="nothing of the allocator's",
        source="torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
    ),
    Kernel(
        name="gathers into a list",
        ops=(c10d.allgather_.default,),
        model=_allgather,
        formula="",
        source="torch/csrc/distributed/c10d/ProcessGroupNCCL.cpp",
    ),
)
