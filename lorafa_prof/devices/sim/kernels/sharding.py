"""What FSDP2 copies many parameters by: into what is gathered, out of it, and into what is reduced."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.distributed.fsdp  # which defines the operations of torch.ops.fsdp
from torch import Tensor

from lorafa_prof.devices.sim.kernels.kernel import Execution, Kernel

fsdp = torch.ops.fsdp

_INDEX_BYTES = 8
_THREADS_OF_BLOCK = 128
#: TILE_SIZE: what a block of threads copies at once.
_BYTES_OF_BLOCK = 16 * _THREADS_OF_BLOCK


def _all_gather_copy_in(step: Execution, func: Any, args: Any, kwargs: Any) -> tuple[Tensor, Tensor]:
    _, output, _, numel, rank = args
    step.written(output)
    return output.narrow(0, numel * rank, numel), output


def _split_with_sizes_copy(step: Execution, func: Any, args: Any, kwargs: Any) -> None:
    source, sizes, dim = args
    chunks = math.prod(source.shape[:dim])
    chunk_bytes = [size * source.stride(dim) * source.element_size() for size in sizes]
    machine = step.machine
    most_blocks = machine.multiprocessors * machine.threads_per_multiprocessor // _THREADS_OF_BLOCK * 2
    rounds = _div_up(chunks * sum(_div_up(size, _BYTES_OF_BLOCK) for size in chunk_bytes), most_blocks)
    rounds_of_chunk = _div_up(rounds, min(math.ceil(math.sqrt(rounds)), chunks))
    blocks = sum(_div_up(size, _BYTES_OF_BLOCK * rounds_of_chunk) for size in chunk_bytes)
    _take_indices(step, 4 * len(sizes) + 1 + blocks)
    step.written(*kwargs["out"])


def _chunk_cat(step: Execution, func: Any, args: Any, kwargs: Any) -> None:
    tensors, dim, chunks = args
    out = kwargs["out"]
    blocks = 0
    for tensor in tensors:
        length = _div_up(tensor.shape[dim], chunks) * math.prod(tensor.shape[dim + 1 :])
        blocks += _div_up(length * out.element_size(), _BYTES_OF_BLOCK)
    _take_indices(step, 6 * len(tensors) + 2 + blocks)
    step.written(out)


def _take_indices(step: Execution, count: int) -> None:
    """Take what the kernel is told of its blocks, and give it back as the function returns."""
    step.give_back(step.take(count * _INDEX_BYTES))


def _div_up(number: int, by: int) -> int:
    return -(-number // by)


KERNELS = (
    Kernel(
        name="copies into what is gathered",
        ops=(fsdp.all_gather_copy_in.default,),
        model=_all_gather_copy_in,
        formula="nothing",
        source="torch/distributed/fsdp/_fully_shard/_fsdp_collectives.py: all_gather_copy_in_cuda",
    ),
    Kernel(
        name="copies out of what was gathered",
        ops=(fsdp.split_with_sizes_copy.default,),
        model=_split_with_sizes_copy,
        formula="8 B for each block of threads, 32 B for each parameter, and 8 B",
        source="ATen/native/cuda/TensorShape.cu: split_with_sizes_copy_out_cuda, pack_vecs",
    ),
    Kernel(
        name="copies into what is reduced",
        ops=(fsdp.chunk_cat.default,),
        model=_chunk_cat,
        formula="8 B for each 2 KiB of a rank's part of each gradient, 48 B for each gradient, and 16 B",
        source="ATen/native/cuda/TensorShape.cu: get_chunk_cat_metadata, pack_vecs",
    ),
)
