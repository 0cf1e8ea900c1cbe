"""On a GPU: the allocator's counters at the borders of phases, against allocations known beforehand."""

from __future__ import annotations

import gc
from dataclasses import replace
from typing import Any

import pytest
import torch
from layer_formulas import FORMULAS, IDS, bytes_per_token, multi_head_llama
from tiny_cells import RANK, saved_of, step_of
from toy_step import (
    NUMBERS,
    check_accumulated_profile,
    check_toy_profile,
    take_much_in_the_first_forward,
    toy_step,
)

from lorafa_prof.instruments.memory.cuda import CudaMemoryMeter
from lorafa_prof.instruments.memory.profile import MemoryProfile
from lorafa_prof.instruments.timing import CudaClock, time_steps
from lorafa_prof.step import PHASES, TrainingStep

CUDA_BLOCK_BYTES = 512  # c10/cuda/CUDACachingAllocator.cpp, kMinBlockSize

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
]


@pytest.fixture(autouse=True)
def nothing_of_other_tests() -> None:
    """What they left for the garbage collector would be let go in the midst of a measured step."""
    gc.collect()
    torch.cuda.empty_cache()


def profile_of(step: TrainingStep, steps_before: int = 2) -> MemoryProfile:
    for _ in range(steps_before):
        step.run()
    meter = CudaMemoryMeter(step.model)
    step.run((meter,))
    return meter.profile()


def test_every_number_of_a_known_step() -> None:
    profile = profile_of(toy_step("cuda"))
    check_toy_profile(profile, block=CUDA_BLOCK_BYTES)
    check_toy_profile(profile, block=1, counter="requested")


def test_micro_batches_tell_their_last_one_and_the_largest_peak() -> None:
    outside = torch.cuda.memory_allocated()
    step = replace(toy_step("cuda"), accumulation=3)
    for _ in range(2):
        step.run()
    take_much_in_the_first_forward(step)
    profile = profile_of(step, steps_before=0)
    check_accumulated_profile(profile, block=CUDA_BLOCK_BYTES)
    assert profile.static_bytes == outside + 3 * 4096  # weight, input and gradient


def test_static_bytes_are_those_there_before() -> None:
    outside = torch.cuda.memory_allocated()
    step = toy_step("cuda")
    vector = 4096  # NUMBERS floats in blocks
    assert 4 * NUMBERS == 4000
    assert profile_of(step).static_bytes == outside + 2 * vector


def test_counters_are_ordered() -> None:
    for phase in profile_of(toy_step("cuda")).phases.values():
        for counters in (phase.start, phase.end, phase.peak):
            assert counters.requested is not None
            assert counters.active is not None
            assert counters.reserved is not None
            assert counters.requested <= counters.allocated <= counters.active <= counters.reserved


def test_peaks_of_before_are_not_of_this_step_but_reserved_is_the_processs() -> None:
    step = toy_step("cuda")
    step.run()
    large = torch.empty(2**28, dtype=torch.uint8, device="cuda")
    before = torch.cuda.max_memory_reserved()
    del large
    torch.cuda.empty_cache()
    profile = profile_of(step)
    assert profile.peak_allocated_bytes < profile.static_bytes + 2**20
    assert profile.peak_reserved_bytes is not None
    assert profile.peak_reserved_bytes >= before >= 2**28
    assert profile.num_alloc_retries == torch.cuda.memory_stats()["num_alloc_retries"]


def test_one_phases_peak_is_not_anothers() -> None:
    """The toy's forward, with a large tensor made and let go in its optimizer phase."""
    step = toy_step("cuda")

    def take_much(*args: Any) -> None:
        torch.empty(2**26, dtype=torch.uint8, device="cuda")

    step.optimizer.register_step_pre_hook(take_much)
    profile = profile_of(step)
    peaks = {phase: profile.phases[phase].peak.allocated - profile.static_bytes for phase in PHASES}
    assert peaks["optimizer"] >= 2**26
    assert max(peaks["forward"], peaks["backward"]) < 2**20
    assert profile.peak_allocated_bytes == profile.static_bytes + peaks["optimizer"]


def test_times_on_the_gpu_are_positive_and_add_up() -> None:
    prepared, step = step_of("tiny-llama", "lora-fa", device="cuda", dtype="bf16")
    step.run()
    times = time_steps(TrainingStep(prepared.model, step.inputs, prepared.optimizer), 5, CudaClock())
    assert len(times.step_ms) == 5
    assert all(ms > 0 for ms in times.step_ms)
    assert all(ms > 0 for phase in PHASES for ms in times.phase_ms[phase])
    for index, step_ms in enumerate(times.step_ms):
        assert sum(times.phase_ms[phase][index] for phase in PHASES) == pytest.approx(
            step_ms, rel=1e-2, abs=1e-2
        )
    assert times.step_percentile(5) <= times.step_percentile(50) <= times.step_percentile(95)


HIDDEN, INTERMEDIATE, HEADS = 256, 688, 4


def held_by(
    layers: int, seq: int, method: str, adapter_dtype: str, options: dict[str, Any]
) -> tuple[int, int]:
    """Saved bytes, and bytes requested for activations, of two sequences."""
    model = multi_head_llama(layers, hidden=HIDDEN, intermediate=INTERMEDIATE, heads=HEADS)
    prepared, step = step_of(
        model, method, device="cuda", dtype="bf16", adapter_dtype=adapter_dtype, batch=2, seq=seq, **options
    )
    forward = profile_of(step, steps_before=1).phases["forward"]
    assert forward.start.requested is not None
    assert forward.end.requested is not None
    return saved_of(prepared, step).total_bytes, forward.end.requested - forward.start.requested


@pytest.mark.parametrize(("method", "options", "adapter_dtype", "coefficients"), FORMULAS, ids=IDS)
def test_one_more_layer_keeps_what_the_formula_says(
    method: str, options: dict[str, Any], adapter_dtype: str, coefficients: tuple[int, int, int]
) -> None:
    """By the token: of two lengths the difference, so that a layer's constants (random state) cancel."""
    expected = bytes_per_token(coefficients, hidden=HIDDEN, intermediate=INTERMEDIATE, heads=HEADS, rank=RANK)
    held = {
        (layers, seq): held_by(layers, seq, method, adapter_dtype, options)
        for layers in (2, 3)
        for seq in (128, 256)
    }
    tokens = 2 * 128
    for kind in (0, 1):  # as saved; as requested of the allocator
        longer = held[3, 256][kind] - held[2, 256][kind]
        shorter = held[3, 128][kind] - held[2, 128][kind]
        assert (longer - shorter) / tokens == expected
