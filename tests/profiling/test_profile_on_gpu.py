"""On a GPU: a loop of any kind is profiled there to the byte as on the GPU's twin, and its times are told."""

from __future__ import annotations

import gc
from collections.abc import Callable
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import lorafa_prof
from lorafa_prof.devices.gpus.gpu import find_gpu
from lorafa_prof.profiling.result import Profile, ProfiledStep
from lorafa_prof.step import PHASES

GPU = find_gpu(torch.cuda.get_device_name()) if torch.cuda.is_available() else None
TWIN = f"sim:{GPU.name}" if GPU is not None else ""
STEPS = 3

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(GPU is None, reason="needs a CUDA GPU of the catalogue"),
]


def network() -> nn.Module:
    return nn.Sequential(nn.Linear(256, 1024), nn.GELU(), nn.Linear(1024, 256)).to("cuda")


def plain() -> None:
    model = network()
    optimizer = torch.optim.AdamW(model.parameters())
    for _ in range(STEPS):
        loss = model(torch.randn(512, 256, device="cuda")).square().mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()


def scaled() -> None:
    """Half precision, whose gradients are scaled, in two micro-batches."""
    model = network()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    scaler = torch.amp.GradScaler("cuda")
    for _ in range(STEPS):
        for _ in range(2):
            with torch.autocast("cuda", torch.float16):
                loss = model(torch.randn(512, 256, device="cuda")).square().mean()
            scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        optimizer.zero_grad()


def adapted() -> None:
    """PEFT's LoRA in a small Llama of transformers."""
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=512,
        hidden_size=256,
        intermediate_size=688,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
    )
    llama = LlamaForCausalLM(config).to("cuda", torch.bfloat16)
    model = get_peft_model(llama, LoraConfig(r=8, target_modules=["q_proj", "v_proj"]))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad])
    for _ in range(STEPS):
        tokens = torch.zeros(2, 128, dtype=torch.long, device="cuda")
        model(input_ids=tokens, labels=tokens).loss.backward()
        optimizer.step()
        optimizer.zero_grad()


LOOPS = (plain, scaled, adapted)


def nothing_of_others() -> None:
    """Of what other tests left, cuBLAS has workspaces, which are taken anew by the next step."""
    gc.collect()
    torch.cuda.synchronize()
    torch._C._cuda_clearCublasWorkspaces()
    torch.cuda.empty_cache()


@cache
def profiled(loop: Callable[[], None], device: str) -> Profile:
    if device == "cuda":
        nothing_of_others()
    with lorafa_prof.profile(device=device) as run:
        loop()
    return run.result


def memory_of(step: ProfiledStep) -> dict[str, Any]:
    """What was allocated and requested in each phase, beyond what was there at the step's start."""
    first = step.phases["forward"].start
    assert first.requested is not None
    return {
        f"{phase} {name}": (counters.allocated - first.allocated, counters.requested - first.requested)
        for phase, memory in step.phases.items()
        for name in ("start", "end", "peak")
        for counters in [getattr(memory, name)]
    }


@pytest.fixture(params=LOOPS, ids=lambda loop: loop.__name__)
def pair(request: pytest.FixtureRequest) -> tuple[Profile, Profile]:
    """Of the GPU, and of its twin."""
    return profiled(request.param, "cuda"), profiled(request.param, TWIN)


def test_steps_take_the_same_on_the_gpu_and_on_its_twin(pair: tuple[Profile, Profile]) -> None:
    measured, predicted = pair
    assert (measured.device, predicted.device) == ("cuda", TWIN)
    assert len(measured.steps) == len(predicted.steps) == STEPS
    for on_gpu, on_twin in list(zip(measured.steps, predicted.steps, strict=True))[1:]:
        assert memory_of(on_gpu) == memory_of(on_twin)
        assert on_gpu.held_bytes == on_twin.held_bytes
    assert (measured.activation_bytes, measured.peak_bytes, dict(measured.sizes)) == (
        predicted.activation_bytes,
        predicted.peak_bytes,
        dict(predicted.sizes),
    )


def test_the_first_step_takes_the_same_too(pair: tuple[Profile, Profile]) -> None:
    """With cuBLAS's workspaces, and the optimizer's state that it makes."""
    on_gpu, on_twin = (each.steps[0] for each in pair)
    assert memory_of(on_gpu) == memory_of(on_twin)


def test_the_same_is_saved_at_the_same_lines(pair: tuple[Profile, Profile]) -> None:
    measured, predicted = pair
    assert measured.saved_bytes == predicted.saved_bytes
    assert sorted(str(asdict(one)) for one in measured.tensors) == sorted(
        str(asdict(one)) for one in predicted.tensors
    )
    assert all(
        one.user_line.startswith("tests/profiling/test_profile_on_gpu.py:") for one in measured.tensors
    )
    assert measured.flops is not None
    assert predicted.flops is not None
    assert measured.flops.by_phase == predicted.flops.by_phase


def test_times_are_the_gpus(pair: tuple[Profile, Profile]) -> None:
    measured, predicted = pair
    for step in measured.steps:
        assert set(step.phase_ms) == set(PHASES)
        assert all(ms > 0 for ms in step.phase_ms.values())
    assert not any(step.phase_ms for step in predicted.steps)


@pytest.mark.parametrize("device", ["cuda", "twin"])
def test_a_decorated_loop_is_what_the_context_tells(device: str) -> None:
    where = TWIN if device == "twin" else device
    decorated = lorafa_prof.profile(device=where)(plain)
    nothing_of_others()
    decorated()
    (found,) = decorated.profiles
    assert found == profiled(plain, where)
    assert [memory_of(step) for step in found.steps] == [
        memory_of(step) for step in profiled(plain, where).steps
    ]


def test_a_function_that_is_called_again() -> None:
    nothing_of_others()
    measured = lorafa_prof.profile(scaled, device="cuda")
    predicted = lorafa_prof.profile(scaled, device=TWIN)
    assert (measured.activation_bytes, measured.peak_bytes) == (
        predicted.activation_bytes,
        predicted.peak_bytes,
    )
    assert measured.saved_bytes == predicted.saved_bytes
    assert dict(measured.sizes) == dict(predicted.sizes)


@pytest.mark.parametrize("device", ["cuda", "twin"])
def test_memory_that_runs_out_names_the_line_of_the_test(device: str) -> None:
    run = lorafa_prof.profile(device=TWIN if device == "twin" else device)

    def code() -> None:
        with run:
            plain()
            torch.empty(2**45, device="cuda")  # too much

    with pytest.raises(torch.OutOfMemoryError) as raised:
        code()
    lines = Path(__file__).read_text().splitlines()
    (number,) = [n for n, text in enumerate(lines, 1) if text.endswith("# too much")]
    told = run.result.notes[0]
    assert told.startswith(
        f"out of memory at tests/profiling/test_profile_on_gpu.py:{number}, step 4, forward"
    )
    assert raised.value.__notes__ == [f"lorafa-prof: {told}"]
    assert (run.result.status, run.result.failed_phase, len(run.result.steps)) == ("oom", "forward", STEPS)


def test_without_attribution_a_step_is_measured_all_the_same() -> None:
    nothing_of_others()
    with lorafa_prof.profile(device="cuda", attribute=False) as run:
        plain()
    assert run.result.saved_bytes is None
    assert run.result.peak_bytes == profiled(plain, "cuda").peak_bytes
    assert run.result.table().count("\n") > 3
