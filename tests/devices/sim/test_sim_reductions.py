"""The buffers of reductions, as recorded on an H100 and by what they must obey."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from ledger import A100, H100, L4, T4, on_meta, recording

from lorafa_prof.devices.sim.machine import Machine
from lorafa_prof.devices.sim.reductions import reduction_buffers


def buffers(
    shape: tuple[int, ...], reduced: list[int], *, accumulate_bytes: int = 4, machine: Machine = H100
) -> tuple[int, int] | None:
    strides = torch.empty(shape, device="meta").stride()
    return reduction_buffers(shape, strides, reduced, accumulate_bytes=accumulate_bytes, processors=machine)


# Partial results and semaphores, in the order they are taken. H100 SXM, torch 2.11.
RECORDED = [
    ((1, 1024, 4096), [0, 1], (33554432, 128)),
    ((1024, 768), [0], (6291456, 24)),
    ((1024, 2304), [0], (18874368, 72)),
    ((1024, 3072), [0], (25165824, 96)),
    ((4, 256, 2048), [0, 1], (16777216, 64)),
    ((4, 256, 896), [0, 1], (7340032, 28)),
    ((1024, 128), [0], (1048576, 4)),
]


@pytest.mark.parametrize(("shape", "reduced", "expected"), RECORDED, ids=str)
def test_sums_recorded_on_an_h100(
    shape: tuple[int, ...], reduced: list[int], expected: tuple[int, int]
) -> None:
    assert buffers(shape, reduced) == expected
    with recording(H100) as memory:
        x = on_meta(*shape, dtype=torch.bfloat16)
        start = len(memory.events)
        total = x.sum(reduced)
        partial, semaphores = expected
        assert memory.events[start:] == [total.nbytes, partial, semaphores, -semaphores, -partial]
        del x, total


def test_any_recorded_on_an_h100() -> None:
    assert buffers((327680,), [0], accumulate_bytes=1) == (40, 4)
    with recording(H100) as memory:
        found = on_meta(4, 256, 320, dtype=torch.bool).any()
        assert memory.events == [327680, 1, 40, 4, -4, -40, -327680]
        del found


@pytest.mark.parametrize(
    ("shape", "reduced"),
    [
        ((1024, 768), [1]),  # a row fits into one block
        ((8, 8), [0, 1]),
        ((3,), [0]),
        ((0, 5), [0]),
        ((5, 0), [0]),
        ((), []),
        ((1, 1), [0, 1]),
        ((4096, 4096), []),
    ],
    ids=str,
)
def test_small_and_row_wise_sums_take_none(shape: tuple[int, ...], reduced: list[int]) -> None:
    assert buffers(shape, reduced) is None


def test_dimensions_of_one_and_neighbours_that_merge_do_not_matter() -> None:
    assert buffers((1, 1024, 1, 4096), [0, 1, 2]) == buffers((1024, 4096), [0])
    assert buffers((4, 256, 2048), [0, 1]) == buffers((1024, 2048), [0])
    assert buffers((1024, 32, 64), [0]) == buffers((1024, 2048), [0])


def test_wider_partial_results_take_more() -> None:
    assert buffers((1024, 768), [0], accumulate_bytes=8) == (2 * 6291456, 24)


@pytest.mark.parametrize(
    ("machine", "threads"),
    [(H100, 2048), (A100, 2048), (L4, 1536), (T4, 1024), (Machine((12, 0), 170), 1536)],
)
def test_resident_threads_of_a_multiprocessor(machine: Machine, threads: int) -> None:
    assert machine.threads_per_multiprocessor == threads


def test_a_gpu_with_fewer_threads_splits_into_fewer_blocks() -> None:
    few, many = (buffers((65536, 1024), [0], machine=machine) for machine in (T4, H100))
    assert few is not None
    assert many is not None
    assert few[0] < many[0]


sizes = st.lists(st.integers(1, 700), min_size=1, max_size=4)


@settings(max_examples=150)
@given(sizes, st.data())
def test_what_every_reduction_obeys(shape: list[int], data: st.DataObject) -> None:
    reduced = data.draw(st.lists(st.integers(0, len(shape) - 1), unique=True))
    machine = data.draw(st.sampled_from([H100, A100, L4, T4]))
    found = buffers(tuple(shape), reduced, machine=machine)
    assert found == buffers(tuple(shape), sorted(reduced), machine=machine)
    inputs = outputs = 1
    for dim, size in enumerate(shape):
        if dim in reduced:
            inputs *= size
        else:
            outputs *= size
    if found is None:
        # A block adds up 256 values a thread and has 512 threads at most.
        assert inputs <= 512 * 256 or outputs > 1
        return
    partial, semaphores = found
    assert inputs > 256
    assert partial % 4 == 0
    assert partial >= 2 * 4 * outputs - 4 * 32 * 4  # two blocks at least, of whole warps
    assert 0 < semaphores <= 4 * outputs
