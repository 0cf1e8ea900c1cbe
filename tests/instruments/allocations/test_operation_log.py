from __future__ import annotations

import itertools

import torch
from toy_step import toy_step

from lorafa_prof.instruments.allocations.operation_log import OperationLog


def test_operations_have_step_phase_and_place_between_events():
    counted = itertools.count()
    log = OperationLog(lambda: next(counted))
    with log:
        torch.empty(4)
        step = toy_step("cpu")
        log.watch(step.model)
        for _ in range(2):
            step.run((log,))
    first, *_ = log.operations
    assert (first.step, first.phase, first.module, first.name) == (0, "build", "", "aten.empty.memory_format")
    assert (first.start, first.end) == (0, 1)
    assert all(one.start < one.end for one in log.operations)
    assert log.end == log.operations[-1].end + 1
    assert {(one.step, one.phase) for one in log.operations if one.step} == {
        (step, phase) for step in (1, 2) for phase in ("forward", "backward", "optimizer")
    }


def test_it_tells_modules_and_lets_go_of_them_at_the_end():
    model = torch.nn.Sequential(torch.nn.Linear(4, 4))
    log = OperationLog(lambda: 0)
    with log:
        log.watch(model)
        log.phase_started("forward")
        model(torch.ones(1, 4))
    assert "0" in {one.module for one in log.operations}
    seen = len(log.operations)
    model(torch.ones(1, 4))
    assert len(log.operations) == seen
    assert not torch.nn.modules.module._global_forward_hooks


def test_micro_batches_are_one_step():
    log = OperationLog(lambda: 0)
    for phase in ("forward", "backward", "forward", "backward", "optimizer", "forward"):
        log.phase_started(phase)  # type: ignore[arg-type]
    with log:
        torch.zeros(1)
    assert [operation.step for operation in log.operations] == [2]
