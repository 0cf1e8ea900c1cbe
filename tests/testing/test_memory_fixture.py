"""The fixture's object on the twin, and on a GPU: blocks of 512 bytes, and the numbers that `run` has."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from tiny_cells import step_of, tiny_cell
from torch import nn
from toy_steps import TOY_STEPS, ToyStep, bound, returns_the_loss

from lorafa_prof.cell import Steps
from lorafa_prof.errors import NothingToJudgeError, UsageError
from lorafa_prof.running.measure import measure_cell
from lorafa_prof.testing.memory import Memory

VECTOR, SCALAR = 4096, 512  # 4000 and 4 bytes in blocks
GPU = (
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU"),
)
TWIN = "h100-80gb"


@pytest.fixture
def memory() -> Memory:
    return Memory()


@pytest.fixture(params=["twin", pytest.param("cuda", marks=GPU)])
def device(request: pytest.FixtureRequest, memory: Memory) -> Iterator[str]:
    if request.param == "cuda":
        yield "cuda"
    else:
        with memory.twin(TWIN) as twin:
            yield twin.type


@pytest.mark.parametrize("step", TOY_STEPS, ids=lambda step: step.__name__)
def test_every_number_of_a_known_step(
    request: pytest.FixtureRequest, memory: Memory, device: str, step: ToyStep
) -> None:
    (held_vectors, held_scalars), (peak_vectors, peak_scalars) = TOY_STEPS[step]
    taken = memory.profile(bound(step, device)[0])
    assert taken.activation_bytes == held_vectors * VECTOR + held_scalars * SCALAR
    assert taken.saved_bytes == 4000
    assert taken.peak_bytes == peak_vectors * VECTOR + peak_scalars * SCALAR
    assert taken.device == {"twin": f"sim:{TWIN}", "cuda": "cuda"}[request.node.callspec.params["device"]]
    assert memory.profiles == [taken]


def test_peaks_and_leftovers_of_before_do_not_leak(memory: Memory, device: str) -> None:
    step, _ = bound(returns_the_loss, device)
    alone = memory.profile(step)
    kept = torch.empty(2**22, device=device)
    first = [True]

    def takes_much_at_first() -> Any:
        if first:
            torch.empty(2**24, device=device)
            first.clear()
        return step()

    assert memory.profile(takes_much_at_first) == alone
    del kept


@pytest.mark.parametrize("device_type", ["sim", pytest.param("cuda", marks=GPU)])
@pytest.mark.parametrize(("family", "method"), [("tiny-llama", "lora-fa"), ("tiny-gpt2", "full-ft")])
def test_a_cells_step_is_measured_as_run_measures_it(
    memory: Memory, family: str, method: str, device_type: str
) -> None:
    name = f"sim:{TWIN}" if device_type == "sim" else "cuda"
    result = measure_cell(tiny_cell(family, method, device=name, gpu=TWIN, steps=Steps(warmup=3, timed=1)))
    row: Any = result.row
    if device_type == "cuda":
        prepared, step = step_of(family, method, device="cuda")
        taken = memory.profile(step.run, model=prepared.model, warmup=3)
    else:
        with memory.twin(TWIN) as device:
            prepared, step = step_of(family, method, device=str(device))
            taken = memory.profile(step.run, model=prepared.model, warmup=3)
    static = result.details["memory"]["phases"]["forward"]["start"]["allocated"]
    recorded = [s for s in result.details["saved"]["storages"] if not s["from_before"]]
    assert taken.activation_bytes == row["activation_bytes"]
    assert taken.peak_bytes == row["peak_allocated_bytes"] - static
    assert taken.saved_bytes == sum(s["nbytes"] for s in recorded)
    assert sorted(s.line for s in taken.tensors) == sorted(s["line"] for s in recorded)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA GPU")
def test_where_a_step_is_measured_when_nobody_says() -> None:
    memory = Memory()
    on_gpu, _ = bound(returns_the_loss, "cuda")
    on_cpu, _ = bound(returns_the_loss, "cpu")
    assert memory.profile(on_gpu).device == "cuda"
    assert memory.profile(on_cpu).device == "cpu"
    assert memory.profile(on_gpu, device="cpu").activation_bytes == 0
    with pytest.raises(UsageError, match="say device= or model="):
        memory.profile(on_gpu, warmup=0)


def test_a_twin_is_left_as_it_was_entered(memory: Memory) -> None:
    with pytest.raises(ZeroDivisionError), memory.twin(TWIN):
        raise ZeroDivisionError
    with memory.twin("a100-40gb") as device:
        step, _ = bound(returns_the_loss, str(device))
        assert memory.profile(step).device == "sim:a100-40gb"
    assert memory.profile(bound(returns_the_loss, "cpu")[0]).device == "cpu"


def test_a_step_that_takes_nothing_of_the_twin_is_not_measured(memory: Memory) -> None:
    on_cpu, _ = bound(returns_the_loss, "cpu")
    with memory.twin(TWIN), pytest.raises(NothingToJudgeError, match=r"takes no memory of sim:h100-80gb"):
        memory.profile(on_cpu)
    assert memory.profiles == []


def test_a_module_of_the_users_own_on_the_twin(memory: Memory) -> None:
    """An nn.Linear on bf16 keeps its input: 2 bytes for each of 4096 × 1024 numbers; its output is let go."""
    with memory.twin(TWIN) as device:
        linear = nn.Linear(1024, 2048, bias=False, dtype=torch.bfloat16, device=device)
        x = torch.randn(4096, 1024, dtype=torch.bfloat16, device=device)
        taken = memory.profile(lambda: linear(x + 1).sum())
    (storage,) = taken.tensors
    assert (storage.kind, storage.shape, storage.nbytes) == ("linear_input", (4096, 1024), 2 * 4096 * 1024)
    assert taken.activation_bytes == 2 * 4096 * 1024 + SCALAR


def test_a_twin_that_there_is_none_of(memory: Memory) -> None:
    with pytest.raises(UsageError, match=r"memory.twin\('h100-80g'\): .*did you mean 'h100-80gb'"):
        memory.twin("h100-80g")


def test_a_twin_in_a_twin(memory: Memory) -> None:
    with memory.twin(TWIN), pytest.raises(UsageError, match="inside the twin of h100-80gb already"):
        memory.twin("a100-40gb")
