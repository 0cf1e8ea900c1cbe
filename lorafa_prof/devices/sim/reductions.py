"""The buffers that a CUDA reduction takes (ATen/native/cuda/Reduce.cuh, setReduceConfig)."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod

from lorafa_prof.devices.sim.machine import Machine

WARP = 32
MAX_THREADS = 512
MIN_VALUES_PER_THREAD = 16
MAX_VALUES_PER_THREAD = 256


def reduction_buffers(
    shape: Sequence[int],
    strides: Sequence[int],
    reduced: Sequence[int],
    *,
    accumulate_bytes: int,
    processors: Machine,
) -> tuple[int, int] | None:
    """Return the bytes of a reduction's two buffers, for partial results and for semaphores.

    None if the reduction is not split over blocks and so has no buffers.

    Args:
        shape: shape of the input.
        strides: strides of the input, in elements.
        reduced: the dimensions that are summed over.
        accumulate_bytes: size of the type that partial results have: 4 for a 16-bit or float32 sum.
        processors: the GPU.
    """
    reduce_dims, kept_dims = _iterator(shape, strides, reduced)
    outputs = prod(size for size, _ in kept_dims)
    inputs = prod(size for size, _ in reduce_dims)
    if outputs == 0 or inputs == 0:
        return None
    fastest_reduced = not kept_dims or bool(reduce_dims and reduce_dims[0][1] < kept_dims[0][1])
    dims = [*reduce_dims, *kept_dims]
    if not dims:
        return None
    dim0, dim1 = (inputs, outputs) if fastest_reduced else (outputs, inputs)
    moving_stride = dims[0][1] if fastest_reduced else kept_dims[0][1]
    output_vector = 1
    if moving_stride == 1:
        if fastest_reduced and dim0 > 128 and len(dims) == 1:
            dim0 //= 4
        elif not fastest_reduced:
            output_vector = _output_vector(kept_dims, reduce_dims)
            dim0 //= output_vector
    width, height = _block(dim0, dim1, MAX_THREADS // output_vector)
    step_input, step_output = (width, 1) if fastest_reduced else (1, width)
    if _ceil(inputs, step_input) < min(height * 16, MAX_VALUES_PER_THREAD):
        return None
    step_input *= height
    values = _ceil(inputs, step_input)
    grid = _ceil(outputs // output_vector, step_output)
    target = processors.multiprocessors * (processors.threads_per_multiprocessor // (width * height))
    if values < MAX_VALUES_PER_THREAD or grid > target:
        return None
    blocks = max(
        min(_ceil(target, grid), _ceil(values, MIN_VALUES_PER_THREAD)), _ceil(values, MAX_VALUES_PER_THREAD)
    )
    if blocks <= 1:
        return None
    partial = accumulate_bytes * outputs * blocks
    if not fastest_reduced:
        partial *= width * output_vector
    return partial, 4 * grid


Dim = tuple[int, int]


def _iterator(
    shape: Sequence[int], strides: Sequence[int], reduced: Sequence[int]
) -> tuple[list[Dim], list[Dim]]:
    """Return reduced and kept dimensions as TensorIterator orders them: fastest first, neighbours merged."""
    kept = [dim for dim in range(len(shape)) if dim not in set(reduced)]
    # Strides of the output are those of a contiguous tensor over the kept dimensions; all that is needed of
    # them is the order in which dimensions merge.
    reduce_dims = _merged(sorted(_dims(shape, strides, reduced), key=lambda dim: dim[1]))
    kept_dims = _merged(sorted(_dims(shape, strides, kept), key=lambda dim: dim[1]))
    return reduce_dims, kept_dims


def _dims(shape: Sequence[int], strides: Sequence[int], selected: Sequence[int]) -> list[Dim]:
    return [(shape[dim], strides[dim]) for dim in selected if shape[dim] != 1]


def _merged(dims: list[Dim]) -> list[Dim]:
    merged: list[Dim] = []
    for size, stride in dims:
        if merged and merged[-1][0] * merged[-1][1] == stride:
            merged[-1] = (merged[-1][0] * size, merged[-1][1])
        else:
            merged.append((size, stride))
    return merged


def _output_vector(kept: list[Dim], reduce_dims: list[Dim]) -> int:
    vector = 4
    for number in (kept[0][0], *(stride for _, stride in (*reduce_dims, *kept[1:]))):
        while number % vector:
            vector //= 2
    return vector


def _block(dim0: int, dim1: int, most: int) -> tuple[int, int]:
    power0 = _last_power(dim0) if dim0 < most else most
    power1 = _last_power(dim1) if dim1 < most else most
    width = min(power0, WARP)
    height = min(power1, most // width)
    return min(power0, most // height), height


def _last_power(number: int) -> int:
    return max(1, 1 << (number.bit_length() - 1)) if number > 0 else 1


def _ceil(a: int, b: int) -> int:
    return -(-a // b)
