"""Memory by phase of a step with known allocations."""

from __future__ import annotations

from dataclasses import replace

import torch
from tiny_cells import memory_of, step_of
from torch.optim import SGD
from toy_step import (
    Toy,
    check_accumulated_profile,
    check_toy_profile,
    take_much_in_the_first_forward,
    toy_step,
)

from lorafa_prof.instruments.memory.storages import storage_bytes
from lorafa_prof.methods.base import Prepared


def test_every_number_of_a_known_step() -> None:
    step = toy_step("cpu")
    profile = memory_of(Prepared(step.model, step.optimizer), step)
    check_toy_profile(profile, block=1)
    check_toy_profile(profile, block=1, counter="requested")
    assert profile.static_bytes == 4000 + 4000  # weight and input
    assert profile.peak_reserved_bytes is None
    assert profile.num_alloc_retries is None
    assert profile.phases["forward"].peak.active is None


def test_each_phase_has_its_own_peak() -> None:
    step = toy_step("cpu")
    phases = memory_of(Prepared(step.model, step.optimizer), step).phases
    peaks = {phase: memory.peak.allocated for phase, memory in phases.items()}
    assert peaks["optimizer"] < peaks["forward"] < peaks["backward"]


def test_micro_batches_tell_their_last_one_and_the_largest_peak() -> None:
    step = replace(toy_step("cpu"), accumulation=3)
    take_much_in_the_first_forward(step)
    profile = memory_of(Prepared(step.model, step.optimizer), step)
    check_accumulated_profile(profile, block=1)
    assert profile.static_bytes == 4000 + 4000 + 4000  # weight, input and gradient


def test_a_steady_step_ends_where_it_started_but_for_the_loss() -> None:
    prepared, step = step_of("tiny-llama", "lora", dtype="bf16")
    step.run()
    profile = memory_of(prepared, step)
    assert profile.phases["optimizer"].end.allocated - profile.static_bytes == 4
    trained = [p for p in prepared.model.parameters() if p.requires_grad]
    assert profile.gradients_bytes == storage_bytes(trained)


def test_gradients_that_share_a_storage_count_once() -> None:
    model = Toy()
    shared = torch.zeros(2, 1000)
    other = torch.nn.Parameter(torch.zeros(1000))
    model.register_parameter("other", other)
    model.weight.grad, other.grad = shared[0], shared[1]
    step = toy_step("cpu")
    profile = memory_of(Prepared(model, SGD([other], lr=0.1)), step)
    assert profile.gradients_bytes == 8000
